"""Captions that many images share: those of things, and titles of collections.

ALIGN (Jia et al. 2021, §3) drops what more than ten images share. But many drawings of one thing
share their caption, too. What tells them apart is how alike their pictures are: a title is of
pictures with nothing in common. How alike is measured from that of any two pictures of the corpus
(0) to equal ones (1), as encoders differ in what any two have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

GROUPS = 16_384
"""Captions whose sums of vectors are in memory: of 8 bytes a number."""

Parts = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]
"""Numbers (n,) int64 and vectors (n, D) of all rows, a part at a time; called more than once."""


def likeness(
    ids: np.ndarray, groups: np.ndarray, parts: Parts, *, at_once: int = GROUPS
) -> np.ndarray:
    """How alike the pictures of each group are: (G,), 0 as any two of the corpus, 1 for equal ones.

    Args:
        ids: (M,) int64 ascending, numbers of the rows that are in a group.
        groups: (M,) int64 from 0 to G - 1, the group of each.
        parts: All rows of the corpus, which groups are compared with. Vectors are of any length but
            zero.
        at_once: Groups of one reading of all parts. No result depends on it.

    Returns:
        float64, rounded to 1e-9; 1 where fewer than two rows of a group have a vector.
    """
    count = int(groups.max()) + 1 if len(groups) else 0
    found = np.ones(count)
    base = 1.0
    for start in range(0, count, at_once):
        stop = min(start + at_once, count)
        sums, sizes, squares = _summed(ids, groups - start, stop - start, parts)
        if not start:
            base = float(_cosines(sums[-1:], sizes[-1:], squares[-1:])[0])
        found[start:stop] = _cosines(sums[:-1], sizes[:-1], squares[:-1])
    if base > 1 - 1e-6:  # all pictures of the corpus are one
        return np.ones(count)
    return np.round((found - base) / (1 - base), 9)


def _summed(
    ids: np.ndarray, groups: np.ndarray, count: int, parts: Parts
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of unit vectors, counts, and sums of squared lengths: of each group, then of all rows.

    Groups below 0 or from `count` on are passed over.
    """
    sums, sizes, squares = np.zeros((0, 0)), np.zeros(count + 1, np.int64), np.zeros(count + 1)
    for numbers, vectors in parts():
        if not len(numbers):
            continue
        units = np.asarray(vectors, np.float32)
        units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
        lengths = np.einsum("nd,nd->n", units, units)
        if not sums.size:
            sums = np.zeros((count + 1, units.shape[1]))
        sums[-1] += units.sum(axis=0, dtype=np.float64)
        sizes[-1] += len(units)
        squares[-1] += lengths.sum(dtype=np.float64)
        places = np.minimum(np.searchsorted(ids, numbers), max(len(ids) - 1, 0))
        own = np.where(ids[places] == numbers, groups[places], -1)
        mine = np.flatnonzero((own >= 0) & (own < count))
        np.add.at(sums, own[mine], units[mine])
        np.add.at(sizes, own[mine], 1)
        np.add.at(squares, own[mine], lengths[mine])
    return (sums if sums.size else np.zeros((count + 1, 1))), sizes, squares


def _cosines(sums: np.ndarray, sizes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Mean cosine of all pairs of each group; 1 where there is none."""
    pairs = sizes * (sizes - 1.0)
    both = np.einsum("gd,gd->g", sums, sums) - squares
    return np.where(pairs > 0, both / np.maximum(pairs, 1), 1.0)
