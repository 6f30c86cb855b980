from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruct_imagen.data.clusters.cutting import KEPT, REASONS, Cut, CutError, cut, inside_pairs
from instruct_imagen.data.clusters.neighbours import neighbours
from tests.data.clusters.test_union_find import grouped

NO_PAIRS = np.empty((0, 2), np.int64)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random candidates, with ties, gaps and near-duplicates."""
    count, width = draw(st.integers(5, 40)), draw(st.integers(4, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([2, 8, 1000]))
    ids = np.full((count, width), -1)
    alike = np.full((count, width), -np.inf)
    for row in range(count):
        others = rng.permutation(np.delete(np.arange(count), row))[:width]
        others = others[: rng.integers(len(others) + 1)] if rng.random() < 0.2 else others
        ids[row, : len(others)] = others
        alike[row, : len(others)] = np.sort(rng.integers(0, steps, len(others)) / steps)[::-1]
    size = draw(st.integers(0, 6))
    return ids, alike, rng.integers(0, count, (size, 2))


@settings(max_examples=150)
@given(candidates(), st.floats(0, 0.5))
def test_clusters_are_five_disjoint_related_and_without_duplicates(given_, least) -> None:
    ids, alike, duplicates = given_
    found = cut(ids, alike, duplicates, least=least)
    roots = grouped(len(ids), duplicates)
    assert found.clusters.shape == (len(found.clusters), 5) == found.similarities.shape
    used = found.clusters.ravel().tolist()
    assert len(set(used)) == len(used)
    for members, similarities in zip(found.clusters, found.similarities, strict=True):
        assert len(set(roots[members].tolist())) == 5
        groups = roots[np.maximum(ids[members[0]], 0)]
        for member, similarity in zip(members[1:], similarities[1:], strict=True):
            named = (groups == roots[member]) & (ids[members[0]] >= 0)
            assert np.float32(alike[members[0]][named].max()) == similarity >= np.float32(least)
        assert similarities[0] == 1 and (np.diff(similarities[1:]) <= 0).all()
    assert sum(found.counts().values()) == len(ids)
    assert sorted(np.flatnonzero(found.fates == 0).tolist()) == sorted(used)
    # one of each group of near-duplicates at most is used, the others are accounted for
    assert found.counts()[REASONS[1]] == len(ids) - len(set(roots.tolist()))
    # whoever could still be a seed has been one
    for seed in np.flatnonzero(found.fates == 3):
        good = (ids[seed] >= 0) & (alike[seed] >= least)
        stands = {int(roots[one]) for one in ids[seed][good]} - {int(roots[seed])}
        taken = {int(roots[one]) for one in used}
        assert len(stands) >= 4 > len(stands - taken)


@settings(max_examples=80)
@given(candidates(), st.data())
def test_the_order_of_the_pairs_does_not_matter(given_, data) -> None:
    ids, alike, duplicates = given_
    count = len(ids)
    keys = np.array([f"key {number:03}" for number in range(count)])
    order = np.array(data.draw(st.permutations(range(count))))
    place = np.argsort(order)  # old number -> new number
    moved = np.where(ids >= 0, place[ids], -1)[order]
    one = cut(ids, alike, duplicates, keys=keys)
    other = cut(moved, alike[order], place[duplicates][::-1, ::-1], keys=keys[order])
    assert (keys[one.clusters] == keys[order][other.clusters]).all()
    assert (one.similarities == other.similarities).all()
    assert (one.fates[order] == other.fates).all()


def test_the_tightest_cluster_is_cut_first() -> None:
    # 0 to 4 are close to each other, 5 to 8 are a little farther around 0, too.
    angles = np.array([0, 0.01, -0.01, 0.02, -0.02, 0.2, -0.2, 0.25, -0.25, 0.3])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    near = neighbours(vectors, 8)
    found = cut(near.ids, near.similarities, NO_PAIRS)
    assert sorted(found.clusters[0].tolist()) == [0, 1, 2, 3, 4]
    assert found.clusters[0, 0] == 0
    assert [round(float(one), 4) for one in found.similarities[0]] == [1, 1, 1, 0.9998, 0.9998]


def test_a_seed_comes_again_when_its_nearest_are_used() -> None:
    # 0 to 4 are a cluster; 9 has some of them first, and then its own four.
    ids = np.full((10, 8), -1)
    alike = np.full((10, 8), -np.inf)
    ids[0, :4], alike[0, :4] = [1, 2, 3, 4], 0.9
    ids[9], alike[9] = [1, 2, 3, 4, 5, 6, 7, 8], np.linspace(0.89, 0.5, 8)
    found = cut(ids, alike, NO_PAIRS)
    assert found.clusters.tolist() == [[0, 1, 2, 3, 4], [9, 5, 6, 7, 8]]
    assert set(found.fates.tolist()) == {0}


def test_reasons_are_counted() -> None:
    ids = np.full((9, 4), -1)
    alike = np.full((9, 4), -np.inf)
    ids[0], alike[0] = [1, 2, 3, 4], 0.9
    ids[5], alike[5] = [1, 2, 3, 4], 0.8
    ids[6], alike[6] = [1, 2, 3, 4], [0.9, 0.9, 0.9, 0.1]
    found = cut(ids, alike, np.array([[7, 0]]), least=0.5)
    assert found.clusters.tolist() == [[0, 1, 2, 3, 4]]
    assert list(found.counts().items()) == [
        (KEPT, 5), (REASONS[1], 1), (REASONS[2], 2), (REASONS[3], 1),
    ]  # fmt: skip


def test_pairs_inside_clusters_can_be_looked_at_again() -> None:
    pairs = inside_pairs(np.array([[4, 3, 2, 1, 0], [9, 5, 6, 7, 8]]))
    assert len(np.unique(pairs, axis=0)) == 20
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert {tuple(pair // 5) for pair in pairs} == {(0, 0), (1, 1)}


def test_nothing_to_cut() -> None:
    found = cut(np.full((3, 4), -1), np.full((3, 4), -np.inf), NO_PAIRS)
    assert isinstance(found, Cut) and found.clusters.shape == (0, 5)
    assert found.fates.tolist() == [2, 2, 2]


FOUR = np.tile(np.arange(4), (6, 1))


@pytest.mark.parametrize(
    ("ids", "alike", "duplicates", "keys", "message"),
    [
        (FOUR[:, :3], FOUR[:, :3] * 1.0, NO_PAIRS, None, r"must be \(N, k\), k at least 4"),
        (FOUR, FOUR[:5] * 1.0, NO_PAIRS, None, "both must be"),
        (FOUR + 4, FOUR * 1.0, NO_PAIRS, None, "from -1 .none. to 5"),
        (FOUR, FOUR * np.nan, NO_PAIRS, None, "a similarity is NaN"),
        (FOUR, FOUR * 1.0, np.zeros(3, int), None, r"pairs \(M, 2\), not of shape \(3,\)"),
        (FOUR, FOUR * 1.0, np.array([[0, 6]]), None, "from 0 to 5"),
        (FOUR, FOUR * 1.0, NO_PAIRS, np.array(list("aabcde")), "no other pair may have the same"),
        (FOUR, FOUR * 1.0, NO_PAIRS, np.array(list("abc")), "every pair needs a key"),
    ],
)
def test_bad_input_gets_one_clear_line(ids, alike, duplicates, keys, message) -> None:
    with pytest.raises(CutError, match=message) as caught:
        cut(ids, alike, duplicates, keys=keys)
    assert "\n" not in str(caught.value)


def test_a_pair_takes_less_than_200_bytes() -> None:
    count, rng = 30_000, np.random.default_rng(0)
    ids = (np.arange(count)[:, None] + rng.integers(1, 60, (count, 10))) % count
    alike = -np.sort(-rng.random((count, 10), np.float32), axis=1)
    duplicates = rng.integers(0, count, (count // 10, 2))
    tracemalloc.start()
    try:
        found = cut(ids, alike, duplicates, keys=np.arange(count), least=0.5)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(found.clusters) > count / 15
    assert peak < 200 * count
