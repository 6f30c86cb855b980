"""What of one picture the other explains: its grey as a mixture of the other's colours.

A tint, a grey copy, other brightness and other contrast add the same colours in other shares, so
shares of at least 0 tell of them. With negative ones nearly any two colours of a picture could be
made nearly any two of another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .hashes import grey

FLAT = 1.0
"""Standard deviation, of 255, below which there is nothing to compare."""

_REST = 0.01  # share of the picture that may differ by more than `Explained.difference`
_MIXTURES = [np.array(some) for size in (1, 2, 3) for some in combinations(range(3), size)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """Of P pairs, by the worse of the two directions.

    Attributes:
        correlation: (P,) float32 in [0, 1], of the slopes of grey: do the edges lie on each other?
        difference: (P,) float32 ≥ 0, what 99 of 100 spots do not exceed, in standard deviations.
        left: (P,) float32 ≥ 0: root of the mean squared difference, in standard deviations.
    """

    correlation: np.ndarray
    difference: np.ndarray
    left: np.ndarray


def explained(one: np.ndarray, other: np.ndarray) -> Explained:
    """Compares pictures that lie on each other: (P, S, S, 3) float32 each, in [0, 255].

    Spots are means of 3 × 3 pixels, taken twice, so that a pixel's share by which two windows miss
    each other is no difference.
    """
    one, other = _soft(one), _soft(other)
    first, second = _unexplained(one, grey(other)), _unexplained(other, grey(one))
    return Explained(
        correlation=np.minimum(first.correlation, second.correlation),
        difference=np.maximum(first.difference, second.difference),
        left=np.maximum(first.left, second.left),
    )


def _soft(pictures: np.ndarray) -> np.ndarray:
    return np.stack([blurred(pictures[..., c]) for c in range(3)], axis=-1)


def _unexplained(colours: np.ndarray, wanted: np.ndarray) -> Explained:
    """A grey picture (P, S, S) beside the best mixture of colours (P, S, S, 3)."""
    count = len(wanted)
    table = np.ascontiguousarray(colours.reshape(count, -1, 3).mT)
    table -= table.mean(axis=2, keepdims=True)
    flat = wanted.reshape(count, -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    mixed = (_mixture(table, flat)[:, None] @ table)[:, 0]
    deviation = np.maximum(flat.std(axis=1), FLAT / 2)
    left = (flat - mixed).reshape(wanted.shape)
    spots = np.abs(blurred(left)).reshape(count, -1)
    rank = spots.shape[1] - 1 - int(_REST * spots.shape[1])
    worst = np.partition(spots, rank, axis=1)[:, rank]
    return Explained(
        correlation=_same_slopes(mixed.reshape(wanted.shape), flat.reshape(wanted.shape)),
        difference=worst / deviation,
        left=np.sqrt((left**2).mean(axis=(1, 2))) / deviation,
    )


def _mixture(colours: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Weights of at least 0 that come nearest: (P, 3, n) and (P, n), means 0 -> (P, 3) float32.

    Of all sets of colours the one is taken whose least squares need no negative weight and leave
    least: three colours have seven sets.
    """
    normal = (colours @ colours.mT).astype(np.float64)
    right = (colours @ wanted[..., None])[..., 0].astype(np.float64)
    small = 1e-6 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / 3 + 1e-9
    weights, gained = np.zeros_like(right), np.zeros(len(right))
    for some in _MIXTURES:
        system = normal[:, some[:, None], some] + np.eye(len(some)) * small
        found = np.linalg.solve(system, right[:, some, None])[..., 0]
        # at the minimum the squares that are explained are the weights times the right side
        gain = (found * right[:, some]).sum(axis=1)
        better = (found >= 0).all(axis=1) & (gain > gained)
        gained[better] = gain[better]
        weights[better] = 0
        weights[np.ix_(better, some)] = found[better]
    return weights.astype(np.float32)


def _same_slopes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation in [0, 1] of the slopes, down and across, of blurred (P, S, S) planes."""
    first, second = (np.stack(np.gradient(blurred(plane), axis=(1, 2))) for plane in (one, other))
    together = (first * second).sum(axis=(0, 2, 3))
    lengths = [np.sqrt((slopes**2).sum(axis=(0, 2, 3))) for slopes in (first, second)]
    return np.clip(together / np.maximum(lengths[0] * lengths[1], 1e-6), 0, 1)


def blurred(pictures: np.ndarray) -> np.ndarray:
    """Mean of 3 × 3 pixels, those of the border repeated: (P, H, W) -> the same."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) * np.float32(1 / 9)


def solved(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Least squares of many small systems: (P, k, n) and (P, n) -> (P, k)."""
    normal = (table @ table.mT).astype(np.float64)
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal += np.eye(table.shape[1]) * (1e-6 * scale / table.shape[1] + 1e-9)
    right = (table @ wanted[..., None]).astype(np.float64)
    return np.linalg.solve(normal, right)[..., 0].astype(np.float32)
