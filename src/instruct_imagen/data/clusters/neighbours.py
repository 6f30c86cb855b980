"""The most similar vectors of every vector, exactly or, where it pays, through cells.

Exactly, every block of vectors is compared with every other: time grows as N squared. Through
cells, every vector is compared with all members of its nearest few cells. The few rows whose
neighbours are also looked for exactly tell how many cells are enough, and whether any are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np

from .best import Best, filled
from .cells import Cells, build_cells, inverted, nearest_cells
from .vectors import BLOCK, NeighbourError, UnitVectors

Method = Literal["auto", "exact", "cells"]

RECALL = 0.95
"""Least recall with which cells are used: that of the sample less two standard errors."""

FEWEST = 20_000
"""Vectors from which on ``auto`` tries cells: fewer are compared exactly within seconds."""

SAMPLE = 500
"""Rows whose neighbours are looked for exactly, to measure recall."""

PROBES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Numbers of cells that are tried in turn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """How neighbours are searched; a function of the vectors, the count and the seed.

    Attributes:
        vectors: What is searched.
        count: Neighbours of each.
        method: ``exact`` or ``cells``.
        reason: Why, in words, with the measured recall if there is one.
        recall: Share of the true neighbours of the sampled rows that were found, in [0, 1]; 1 for
            ``exact``.
        probes: Cells that each vector is compared with; 0 for ``exact``.
        cells: The cells; None for ``exact``.
    """

    vectors: UnitVectors = field(repr=False)
    count: int
    method: Literal["exact", "cells"]
    reason: str
    recall: float = 1.0
    probes: int = 0
    cells: Cells | None = field(default=None, repr=False)

    def order(self) -> np.ndarray:
        """All rows, those of a cell side by side: (N,) int64."""
        return np.arange(len(self.vectors)) if self.cells is None else self.cells.members

    def arrays(self) -> dict[str, np.ndarray]:
        """All but the vectors themselves, to be kept beside them, for example by `np.savez`."""
        about = {"count": self.count, "method": self.method, "reason": self.reason,
                 "recall": self.recall, "probes": self.probes}  # fmt: skip
        kept = {"about": np.array(json.dumps(about)), "scales": self.vectors.scales}
        if self.cells is not None:
            kept |= {f"cells.{one.name}": getattr(self.cells, one.name) for one in fields(Cells)}
        return kept

    @classmethod
    def of(cls, vectors: np.ndarray, arrays: Mapping[str, np.ndarray]) -> Plan:
        """The plan whose `arrays` these are; `vectors` must be those that it was made for.

        Raises:
            NeighbourError: The arrays are of other vectors.
        """
        scales = arrays["scales"]
        if np.ndim(vectors) != 2 or len(scales) != len(vectors):
            raise NeighbourError(
                f"the plan is of {len(scales)} vectors, not of {np.shape(vectors)}: make a new one"
            )
        found = {name: arrays[f"cells.{name}"] for name in (one.name for one in fields(Cells))
                 if f"cells.{name}" in arrays}  # fmt: skip
        return cls(
            vectors=UnitVectors(stored=vectors, scales=scales),
            cells=Cells(**found) if found else None,
            **json.loads(str(arrays["about"])),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The neighbours of some rows.

    Attributes:
        ids: (N, k) int64, most similar first, then by id; -1 where fewer were found.
        similarities: (N, k) float32, cosine, rounded to 2**-20; -inf where the id is -1.
        plan: How they were found.
    """

    ids: np.ndarray
    similarities: np.ndarray
    plan: Plan = field(repr=False)


def neighbours(
    vectors: np.ndarray,
    count: int,
    *,
    rows: range | None = None,
    method: Method = "auto",
    recall: float = RECALL,
    seed: int = 0,
) -> Neighbours:
    """The `count` most similar other vectors of each row, by cosine.

    Args:
        vectors: (N, D) floating-point, also a `np.memmap`; see `UnitVectors.check`.
        count: Neighbours of each, below N.
        rows: Whose; None for all. Many ranges one after the other: make a plan once, and use
            `search`.
        method: ``exact``, ``cells``, or ``auto`` for cells where there are at least `FEWEST`.
            Cells are given up for the exact search where their measured recall is too low.
        recall: Share of the true neighbours that cells must find, two standard errors below what
            is measured on sampled rows.
        seed: Of the cells and of the sample.

    Raises:
        NeighbourError: Vectors or arguments that cannot be used.
    """
    return search(plan_search(vectors, count, method=method, recall=recall, seed=seed), rows)


def plan_search(
    vectors: np.ndarray,
    count: int,
    *,
    method: Method = "auto",
    recall: float = RECALL,
    seed: int = 0,
) -> Plan:
    """Checks the vectors and decides how they are searched; arguments as for `neighbours`."""
    checked = UnitVectors.check(vectors)
    if not 1 <= count < len(checked):
        raise NeighbourError(
            f"count={count} neighbours of {len(checked)} vectors: must be from 1 to one below "
            "the number of vectors"
        )
    if method not in ("auto", "exact", "cells"):
        raise NeighbourError(f"method={method!r} is unknown: use 'auto', 'exact' or 'cells'")
    if not 0 < recall <= 1:
        raise NeighbourError(f"recall={recall} must be above 0 and at most 1")
    exact = Plan(vectors=checked, count=count, method="exact", reason="asked for")
    if method == "exact":
        return exact
    if method == "auto" and len(checked) < FEWEST:
        return replace(exact, reason=f"{len(checked)} vectors, cells pay from {FEWEST} on")
    return _with_cells(exact, recall, seed)


def _with_cells(exact: Plan, goal: float, seed: int) -> Plan:
    """The fewest cells that find enough of the sample's true neighbours, or the exact plan."""
    vectors = exact.vectors
    cells = build_cells(vectors, seed=seed)
    rng = np.random.default_rng([seed, 1])
    sample = np.sort(rng.choice(len(vectors), min(SAMPLE, len(vectors)), replace=False))
    truth = _exact(vectors, sample, exact.count).found()[0]
    for probes in PROBES:
        best = _through_cells(vectors, sample, exact.count, cells, probes)
        per_row = shared(truth, best.found()[0])
        found, error = float(per_row.mean()), float(per_row.std() / len(per_row) ** 0.5)
        reason = (
            f"recall@{exact.count} {found:.4f} ± {error:.4f} with {probes} of {len(cells)} cells"
        )
        if found - 2 * error >= goal:
            return replace(
                exact,
                method="cells",
                reason=f"{reason}, on {len(sample)} rows",
                recall=found,
                probes=probes,
                cells=cells,
            )
        if probes >= len(cells):
            break
    return replace(exact, reason=f"{reason}, below {goal}")


def shared(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Which share of each row's true ids (n, k) is among those found (n, k): (n,) in [0, 1]."""
    return (truth[:, :, None] == found[:, None, :]).any(axis=2).mean(axis=1)


def search(plan: Plan, rows: range | np.ndarray | None = None) -> Neighbours:
    """The neighbours of some rows, so that a step can be done, and resumed, part by part.

    The same rows give the same result. Other sets of them give it up to the rounding of a matrix
    product of another shape: a similarity may differ by 2**-20, and the order of such equals. Sets
    that follow `Plan.order` probe fewest cells.

    Memory: a few blocks of `BLOCK` vectors, and 8 bytes for each neighbour and probed cell of
    the rows asked for.

    Args:
        plan: From `plan_search`.
        rows: Whose, numbers within the vectors; None for all.

    Raises:
        NeighbourError: Rows that are not there.
    """
    total = len(plan.vectors)
    wanted = np.arange(total) if rows is None else np.asarray(rows, np.int64)
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < total:
        raise NeighbourError(
            f"rows {wanted.min()} to {wanted.max()} must lie within the {total} vectors"
        )
    if plan.cells is None:
        best = _exact(plan.vectors, wanted, plan.count)
    else:
        best = _through_cells(plan.vectors, wanted, plan.count, plan.cells, plan.probes)
    ids, similarity = best.found()
    return Neighbours(ids=ids, similarities=similarity, plan=plan)


def _exact(vectors: UnitVectors, wanted: np.ndarray, count: int) -> Best:
    best = Best(len(wanted), count)
    for start in range(0, len(wanted), BLOCK):
        places = np.arange(start, min(start + BLOCK, len(wanted)))
        queries = vectors.rows(filled(wanted[places]))
        for first in range(0, len(vectors), BLOCK):
            ids = np.arange(first, min(first + BLOCK, len(vectors)))
            block = queries @ vectors.rows(filled(ids)).T
            best.offer(places, block[: len(places), : len(ids)], ids, own=wanted[places])
    return best


def _through_cells(
    vectors: UnitVectors, wanted: np.ndarray, count: int, cells: Cells, probes: int
) -> Best:
    probed = np.empty((len(wanted), probes), np.int64)
    for start in range(0, len(wanted), BLOCK * 4):
        part = slice(start, start + BLOCK * 4)
        probed[part] = nearest_cells(vectors.rows(wanted[part]), cells, probes)
    best = Best(len(wanted), count)
    # The nearest cell of all comes first: it leaves little for the others to beat.
    for lists in (probed[:, :1], probed[:, 1:]):
        for cell, queries in inverted(lists, len(cells)):
            _compare(vectors, wanted, queries, cells.of(cell), best)
    return best


def _compare(
    vectors: UnitVectors, wanted: np.ndarray, queries: np.ndarray, members: np.ndarray, best: Best
) -> None:
    for first in range(0, len(members), BLOCK):
        ids = members[first : first + BLOCK]
        candidates = vectors.rows(filled(ids)).T
        for start in range(0, len(queries), BLOCK):
            places = queries[start : start + BLOCK]
            block = vectors.rows(filled(wanted[places])) @ candidates
            best.offer(places, block[: len(places), : len(ids)], ids, own=wanted[places])
