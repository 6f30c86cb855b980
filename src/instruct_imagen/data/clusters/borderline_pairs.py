"""The pairs nearest to the thresholds of near-duplicates, for people to look at."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.near_duplicates import (
    Measured,
    Thresholds,
    borderline,
    margins,
)
from instruct_imagen.data.clusters.rows import ClusterError

COLUMNS = (
    "pair", "domain", "first", "second", "kind", "similarity", "correlation", "difference",
    "verdict", "same",
)  # fmt: skip
"""Of the file that people fill: the last one, with yes or no."""

SAME, OTHER = "near-duplicates", "two pictures"
"""Verdicts."""

BY = ("embedding", "correlation", "difference")
"""What may decide on a pair, by the numbers of `kinds_of`."""

LOOK = 30_000
"""Candidates that are measured again; of more, about so many drawn by lot."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows near to a threshold.

    Attributes:
        domain: Of both.
        ids: Numbers in the corpus.
        keys: Of the rows.
        kind: Which measure decides, and to which side: e.g. ``"just below by correlation"``.
        measures: Similarity, correlation, difference.
        same: Whether the build took them for near-duplicates.
    """

    domain: str
    ids: tuple[int, int]
    keys: tuple[str, str]
    kind: str
    measures: tuple[float, float, float]
    same: bool


def kinds_of(measured: Measured, thresholds: Thresholds) -> np.ndarray:
    """Which measure decides on each pair: (P,) int64 into `BY`."""
    never = np.full(len(measured.similarity), -np.inf, np.float32)
    perfect = np.zeros(len(never), np.float32)
    sight = margins(replace(measured, similarity=never), thresholds)
    correlated = margins(replace(measured, similarity=never, difference=perfect), thresholds)
    every = margins(measured, thresholds)
    return np.where(every > sight, 0, np.where(correlated <= sight, 1, 2))


def nearest_pairs(found: Finished, count: int, seed: int = 0) -> list[Pair]:
    """The pairs nearest to the thresholds of a build, as many of each kind as there are.

    Args:
        found: The build.
        count: Of all kinds together.
        seed: Of the candidates that are looked at where there are very many, and of the order,
            which tells nothing of the verdict.

    Raises:
        ClusterError: Nothing was compared in this build.
    """
    rng = np.random.default_rng(seed)
    thresholds = found.thresholds
    groups: dict[str, list[tuple[float, Pair]]] = {}
    for domain, pairs in candidates_of(found, rng).items():
        for name, distance, pair in _nearest(found, domain, pairs, thresholds, count):
            groups.setdefault(name, []).append((distance, pair))
    waiting = [[pair for _, pair in sorted(group, key=lambda one: (one[0], one[1].ids))]
               for _, group in sorted(groups.items())]  # fmt: skip
    chosen: list[Pair] = []
    while any(waiting) and len(chosen) < count:
        for group in waiting:
            if group and len(chosen) < count:
                chosen.append(group.pop(0))
    keys = found.rows({number for pair in chosen for number in pair.ids})
    return [
        replace(chosen[place], keys=tuple(keys[number].key for number in chosen[place].ids))
        for place in rng.permutation(len(chosen)).tolist()
    ]


def candidates_of(found: Finished, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Domain → pairs (P, 2) of its rows that were compared; of very many, some drawn by lot.

    Raises:
        ClusterError: There are none.
    """
    total = sum(len(found.candidates(domain)) for domain in found.domains)
    if not total:
        raise ClusterError(f"no pair was compared in {found.root}: too few rows are left of it")
    chosen = {}
    for domain in found.domains:
        pairs = found.candidates(domain)
        if total > LOOK:
            # At least one of each domain: what has no chance to be drawn, nothing stands for.
            some = rng.choice(len(pairs), -(-len(pairs) * LOOK // total), replace=False)
            pairs = pairs[np.sort(some)]
        chosen[domain] = np.asarray(pairs)
    return chosen


def _nearest(
    found: Finished, domain: str, pairs: np.ndarray, thresholds: Thresholds, count: int
) -> list[tuple[str, float, Pair]]:
    """Kind, distance and pair of the nearest of each kind in a domain; keys are still missing."""
    measured = found.measured(domain, pairs)
    kinds, distance = kinds_of(measured, thresholds), margins(measured, thresholds)
    ids = found.gathered(domain, "ids")
    near = []
    for number, by in enumerate(BY):
        mine = np.flatnonzero(kinds == number)
        part = borderline(part_of(measured, mine), thresholds, count)
        for side, places in (("above", part.above), ("below", part.below)):
            for place in mine[places].tolist():
                first, second = (int(ids[row]) for row in pairs[place])
                pair = Pair(
                    domain=domain,
                    ids=(first, second),
                    keys=("", ""),
                    kind=f"just {side} by {by}",
                    measures=tuple(
                        float(values[place])
                        for values in (
                            measured.similarity, measured.correlation, measured.difference
                        )
                    ),
                    same=side == "above",
                )  # fmt: skip
                near.append((pair.kind, abs(float(distance[place])), pair))
    return near


def to_csv(pairs: Sequence[Pair]) -> str:
    """The file to be filled; pairs are numbered from 1."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(csv_rows(pairs))
    return file.getvalue()


def csv_rows(pairs: Sequence[Pair]) -> list[list[str]]:
    """The cells of each pair, without an answer."""
    return [
        [
            str(number), pair.domain, *pair.keys, pair.kind,
            *(f"{value:.4f}" for value in pair.measures), SAME if pair.same else OTHER, "",
        ]
        for number, pair in enumerate(pairs, 1)
    ]  # fmt: skip


def part_of(measured: Measured, places: np.ndarray) -> Measured:
    """What was measured of some of the pairs."""
    return Measured(
        similarity=measured.similarity[places],
        correlation=measured.correlation[places],
        difference=measured.difference[places],
    )
