"""Candidates that nobody was asked about, and how many each pair stands for."""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.clusters.borderline_pairs import BY, candidates_of, kinds_of, part_of
from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.near_duplicates import (
    Measured,
    Thresholds,
    margins,
    near_duplicates,
)

STRATA = range(2 * len(BY))
"""Kinds of pairs: which measure decides, and to which side."""


def far_from(
    found: Finished, answered: Measured, thresholds: Thresholds, *, seed: int = 0
) -> tuple[Measured, np.ndarray, np.ndarray, tuple[int, int]]:
    """Candidates that are farther from the thresholds than all answered pairs of their kind.

    Args:
        found: The build.
        answered: Pairs that somebody has looked at.
        thresholds: Of the build.
        seed: Of what is drawn by lot, where there are very many.

    Returns:
        Those that were measured; how many each stands for; how many of each of `STRATA` are as
        near as answered ones, (6,); and how many were measured of all.
    """
    drawn = candidates_of(found, np.random.default_rng(seed))
    totals = {domain: len(found.candidates(domain)) for domain in drawn}
    parts = [found.measured(domain, pairs) for domain, pairs in drawn.items()]
    every = parts[0]
    for part in parts[1:]:
        every = joined(every, part)
    sizes = [len(pairs) for pairs in drawn.values()]
    shares = [totals[domain] / max(len(pairs), 1) for domain, pairs in drawn.items()]
    weights = np.repeat(shares, sizes)
    reach = np.zeros(len(STRATA))
    np.maximum.at(reach, strata_of(answered, thresholds), np.abs(margins(answered, thresholds)))
    strata = strata_of(every, thresholds)
    is_far = np.abs(margins(every, thresholds)) > reach[strata] + 1e-9
    near = np.bincount(strata[~is_far], weights[~is_far], minlength=len(STRATA))
    places = np.flatnonzero(is_far)
    return part_of(every, places), weights[places], near, (sum(sizes), sum(totals.values()))


def stand_for(strata: np.ndarray, near: np.ndarray) -> np.ndarray:
    """How many candidates each answered pair stands for: (P,) float64, at least 1.

    Args:
        strata: (P,) of `STRATA`, the kind of each.
        near: (6,) candidates of each kind that are as near to the thresholds as answered ones.
    """
    answers = np.bincount(strata, minlength=len(near))
    return (np.maximum(near, answers) / np.maximum(answers, 1))[strata]


def strata_of(measured: Measured, thresholds: Thresholds) -> np.ndarray:
    """Which measure decides, and to which side: (P,) int64 of `STRATA`."""
    return 2 * kinds_of(measured, thresholds) + near_duplicates(measured, thresholds)


def joined(one: Measured, other: Measured) -> Measured:
    """What was measured of some pairs, and of others behind them."""
    return Measured(
        similarity=np.concatenate([one.similarity, other.similarity]),
        correlation=np.concatenate([one.correlation, other.correlation]),
        difference=np.concatenate([one.difference, other.difference]),
    )
