from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruct_imagen.data.clusters.best import GRID, Best
from instruct_imagen.data.clusters.cells import CELL
from instruct_imagen.data.clusters.neighbours import Plan, neighbours, plan_search, search, shared
from instruct_imagen.data.clusters.vectors import NeighbourError, UnitVectors


def clustered(count: int, dimensions: int, seed: int = 0, *, noise: float = 0.7) -> np.ndarray:
    """Vectors around centres that are themselves around few others, as embeddings are."""
    rng = np.random.default_rng(seed)
    top = rng.standard_normal((8, dimensions))
    size = max(1, count // 30)
    centres = top[rng.integers(0, 8, size)] + rng.standard_normal((size, dimensions))
    spread = rng.standard_normal((count, dimensions)) * noise
    return (centres[rng.integers(0, size, count)] + spread).astype(np.float32)


def brute_force(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours from the whole table of similarities, rounded as documented, ties by id."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    table = np.rint(exact @ exact.T * GRID) / GRID
    np.fill_diagonal(table, -np.inf)
    order = np.argsort(-table, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(table, order, 1)


@settings(max_examples=40)
@given(data=st.data())
def test_exact_neighbours_are_those_of_brute_force(data: st.DataObject) -> None:
    # Small integers: their products are exact, and many vectors are equal or equally far.
    total = data.draw(st.integers(3, 40))
    count = data.draw(st.integers(1, total - 1))
    row = st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any)
    table = np.array(data.draw(st.lists(row, min_size=total, max_size=total)))
    vectors = table.astype(data.draw(st.sampled_from([np.float16, np.float32, np.float64])))
    found = neighbours(vectors, count, method="exact")
    ids, similarities = brute_force(vectors, count)
    # a similarity between two steps of the grid may be rounded either way
    assert np.abs(found.similarities - similarities).max() <= 1.01 / GRID
    assert not (found.ids == np.arange(total)[:, None]).any()
    clear = np.abs(np.diff(brute_force(vectors, total - 1)[1], axis=1)).min(axis=1, initial=1)
    clear = clear > 3 / GRID
    assert (found.ids[clear] == ids[clear]).all()
    assert found.plan.recall == 1.0


def test_ties_go_to_the_lower_id() -> None:
    vectors = np.tile(np.eye(4, dtype=np.float32), (5, 1))
    found = neighbours(vectors, 6, method="exact")
    assert found.ids[0].tolist() == [4, 8, 12, 16, 1, 2]
    assert found.ids[13].tolist() == [1, 5, 9, 17, 0, 2]
    assert found.similarities[0].tolist() == [1, 1, 1, 1, 0, 0]


@settings(max_examples=60)
@given(data=st.data())
def test_the_best_do_not_depend_on_how_candidates_are_cut_into_blocks(data: st.DataObject) -> None:
    total, count = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 6))
    similarity = np.array(
        data.draw(st.lists(st.integers(-4, 4), min_size=2 * total, max_size=2 * total)), np.float32
    ).reshape(2, total) / np.float32(4)  # fmt: skip
    cuts = sorted(data.draw(st.sets(st.integers(1, total), max_size=4)) | {0, total})
    blocks = list(pairwise(cuts))
    best = Best(2, count)
    for start, stop in data.draw(st.permutations(blocks)):
        best.offer(np.arange(2), similarity[:, start:stop], np.arange(start, stop))
    ids, found = best.found()
    for row in range(2):
        order = sorted(range(total), key=lambda one: (-similarity[row, one], one))[:count]
        assert ids[row].tolist() == order + [-1] * (count - len(order))
        assert found[row][: len(order)].tolist() == similarity[row, order].tolist()
        assert np.isneginf(found[row][len(order) :]).all()


def test_cells_find_what_they_say_and_parts_are_the_whole(tmp_path: Path) -> None:
    vectors = clustered(6000, 48)
    path = tmp_path / "vectors.f16"
    vectors.astype(np.float16).tofile(path)
    mapped = np.memmap(path, np.float16, "r", shape=vectors.shape)
    plan = plan_search(mapped, 10, method="cells", seed=3)
    assert plan.method == "cells" and plan.recall >= 0.95 and 0 < plan.probes < len(plan.cells)
    assert f"{plan.recall:.4f}" in plan.reason
    whole = search(plan)
    truth = neighbours(mapped, 10, method="exact")
    assert shared(truth.ids, whole.ids).mean() >= 0.95
    assert not (whole.ids == np.arange(6000)[:, None]).any()
    for row in whole.ids:
        assert len(set(row.tolist())) == 10
    for found in (plan, truth.plan):
        parts = [search(found, range(at, min(at + 1700, 6000))) for at in range(0, 6000, 1700)]
        expected = whole if found is plan else truth
        assert (np.concatenate([part.ids for part in parts]) == expected.ids).mean() > 0.9999
        close = np.concatenate([part.similarities for part in parts]) - expected.similarities
        assert np.abs(close).max() <= 1.01 / GRID
        np.savez(tmp_path / "plan.npz", **found.arrays())
        with np.load(tmp_path / "plan.npz") as arrays:
            kept = search(Plan.of(mapped, arrays), range(1700, 3400))
        assert (kept.ids == parts[1].ids).all()
        assert kept.plan.reason == found.reason and kept.plan.recall == found.recall
        with pytest.raises(NeighbourError, match="the plan is of 6000 vectors"):
            Plan.of(vectors[:10], found.arrays())
    order = plan.order()
    sorted_parts = [search(plan, order[at : at + 1700]) for at in range(0, 6000, 1700)]
    ids = np.empty_like(whole.ids)
    ids[order] = np.concatenate([part.ids for part in sorted_parts])
    assert (ids == whole.ids).mean() > 0.9999 and not (order == np.arange(6000)).all()
    again = search(plan_search(mapped, 10, method="cells", seed=3))
    assert (again.ids == whole.ids).all() and (again.similarities == whole.similarities).all()


def test_every_vector_is_in_one_cell() -> None:
    plan = plan_search(clustered(3000, 24), 5, method="cells", recall=0.5)
    assert plan.cells is not None
    assert sorted(plan.cells.members.tolist()) == list(range(3000))
    assert plan.cells.bounds[0] == 0 and plan.cells.bounds[-1] == 3000
    cells = [plan.cells.of(cell) for cell in range(len(plan.cells))]
    assert all((np.diff(cell) > 0).all() for cell in cells)
    assert len(cells) == pytest.approx(3000 / CELL, rel=0.5)


def test_cells_that_miss_too_much_give_way_to_the_exact_search() -> None:
    # Nothing is near anything: cells cannot help.
    noise = np.random.default_rng(0).standard_normal((30_000, 64)).astype(np.float32)
    plan = plan_search(noise, 10, method="cells", recall=0.999)
    assert plan.method == "exact" and plan.recall == 1.0 and plan.cells is None
    assert "below 0.999" in plan.reason and "recall@10 0." in plan.reason


def test_few_vectors_are_searched_exactly() -> None:
    plan = plan_search(clustered(200, 8), 3)
    assert plan.method == "exact" and "200 vectors" in plan.reason


def test_lengths_do_not_matter() -> None:
    vectors = clustered(300, 16)
    lengths = np.random.default_rng(0).uniform(1e-3, 1e3, (300, 1)).astype(np.float32)
    one, other = (neighbours(part, 5) for part in (vectors, vectors * lengths))
    assert np.abs(one.similarities - other.similarities).max() < 1e-5
    assert (one.ids == other.ids).mean() > 0.99


GOOD = np.eye(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (np.vstack([GOOD, [[np.nan, 0, 0, 0]]]).astype(np.float32), {}, "vector 4 is not finite"),
        (np.vstack([[[np.inf, 0, 0, 0]], GOOD]).astype(np.float16), {}, "vector 0 is not finite"),
        (np.vstack([GOOD, np.zeros((1, 4))]).astype(np.float32), {}, "vector 4 is zero"),
        (GOOD.astype(np.int64), {}, "not int64: convert"),
        (GOOD[0], {}, r"array \(N, D\).*not \(4,\)"),
        (GOOD[:0], {}, r"not \(0, 4\)"),
        ([[1.0]], {}, "not list"),
        (GOOD, {"count": 4}, "count=4 neighbours of 4 vectors"),
        (GOOD, {"count": 0}, "count=0"),
        (GOOD, {"method": "fast"}, "method='fast' is unknown"),
        (GOOD, {"recall": 0}, "recall=0 must be"),
        (GOOD, {"rows": range(2, 6)}, "rows 2 to 5 must lie within the 4 vectors"),
        (GOOD, {"rows": np.array([-1, 2])}, "rows -1 to 2 must lie within"),
    ],
)
def test_bad_input_gets_one_clear_line(vectors, options, message) -> None:
    with pytest.raises(NeighbourError, match=message) as caught:
        neighbours(vectors, **{"count": 2, **options})
    assert "\n" not in str(caught.value)


def test_vectors_are_read_as_unit_vectors_without_change() -> None:
    vectors = (np.arange(1, 13, dtype=np.float64) * 1e4).reshape(3, 4)
    before = vectors.copy()
    unit = UnitVectors.check(vectors, block=2)
    assert np.linalg.norm(unit.rows(slice(None)), axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert (vectors == before).all() and len(unit) == 3 and unit.dimensions == 4
