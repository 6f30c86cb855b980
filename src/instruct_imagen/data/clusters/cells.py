"""Vectors in cells of similar ones, on two levels: groups of cells, and cells.

The number of cells grows with that of the vectors, so that a cell stays as large as it is. A
vector's cell is looked for in the few nearest groups only, or looking would grow as N squared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType

import numpy as np

from .best import Best
from .vectors import BLOCK, NeighbourError, UnitVectors

CELL = 128
"""Vectors in a cell, on average."""

GROUPS = 6
"""Groups in which a vector's nearest cells are looked for."""

_SAMPLE = 40  # vectors a centroid is the mean of while cells are learnt
_ROUNDS = 8  # of k-means


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """A partition of N vectors.

    Attributes:
        centroids: (C, D) float32 of length 1, those of a group side by side.
        starts: (G + 1,) int64; group g has the centroids ``starts[g]`` to ``starts[g + 1] - 1``.
        groups: (G, D) float32 of length 1.
        members: (N,) int64 ids, those of a cell side by side, ascending.
        bounds: (C + 1,) int64; cell c has the members ``bounds[c]`` to ``bounds[c + 1] - 1``.
    """

    centroids: np.ndarray = field(repr=False)
    starts: np.ndarray = field(repr=False)
    groups: np.ndarray = field(repr=False)
    members: np.ndarray = field(repr=False)
    bounds: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        """Count the cells."""
        return len(self.centroids)

    def of(self, cell: int) -> np.ndarray:
        """The ids in a cell, ascending."""
        return self.members[self.bounds[cell] : self.bounds[cell + 1]]


def build_cells(vectors: UnitVectors, *, seed: int = 0, size: int = CELL) -> Cells:
    """Learns the centroids on a sample and puts every vector into a cell.

    Memory: one block, the sample (`_SAMPLE` vectors a cell, about a third of all as float32, never
    more than a million) and 16 bytes a vector.

    Args:
        vectors: All of them.
        seed: Of the sample and of k-means; the same seed and vectors give the same cells.
        size: Vectors in a cell, on average.
    """
    rng = np.random.default_rng(seed)
    count = max(1, round(len(vectors) / size))
    group_count = max(1, round(count**0.5))
    sample = _sample(vectors, count, rng)
    groups = _means(sample, group_count, seed)
    nearest = nearest_centroids(sample, groups, 1)[:, 0]
    parts = []
    for group in range(len(groups)):
        inside = sample[nearest == group]
        parts.append(_means(inside, max(1, round(count * len(inside) / len(sample))), seed))
    centroids = np.concatenate(parts)
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    learnt = Cells(
        centroids=centroids,
        starts=starts,
        groups=groups,
        members=np.empty(0, np.int64),
        bounds=np.zeros(len(centroids) + 1, np.int64),
    )
    cell_of = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), BLOCK * 4):
        part = slice(start, start + BLOCK * 4)
        cell_of[part] = nearest_cells(vectors.rows(part), learnt, 1, groups=2)[:, 0]
    members = np.argsort(cell_of, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(cell_of, minlength=len(centroids)))])
    return Cells(centroids=centroids, starts=starts, groups=groups, members=members, bounds=bounds)


def nearest_cells(
    rows: np.ndarray, cells: Cells, count: int, *, groups: int = GROUPS
) -> np.ndarray:
    """The cells whose centroids are nearest, among those of the nearest groups.

    Args:
        rows: (n, D) float32 of length 1.
        cells: Where to look.
        count: Cells wanted for each row.
        groups: Groups that are looked at for each row.

    Returns:
        (n, count) int64, nearest first; -1 where the groups have fewer cells.
    """
    chosen = nearest_centroids(rows, cells.groups, min(groups, len(cells.groups)))
    best = Best(len(rows), count)
    for group, queries in inverted(chosen, len(cells.groups)):
        inside = np.arange(cells.starts[group], cells.starts[group + 1])
        best.offer(queries, rows[queries] @ cells.centroids[inside].T, inside)
    return best.found()[0]


def nearest_centroids(rows: np.ndarray, centroids: np.ndarray, count: int) -> np.ndarray:
    """(n, D) and (G, D) float32 of length 1 -> the ids (n, count) of the nearest, nearest first."""
    best = Best(len(rows), count)
    ids = np.arange(len(centroids))
    for start in range(0, len(rows), BLOCK):
        queries = np.arange(start, min(start + BLOCK, len(rows)))
        best.offer(queries, rows[queries] @ centroids.T, ids)
    return best.found()[0]


def inverted(lists: np.ndarray, count: int) -> list[tuple[int, np.ndarray]]:
    """Rows of numbers below `count` (or -1) -> (number, rows that hold it), where any does."""
    numbers = lists.ravel()
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(count + 1))
    rows = order // lists.shape[1]
    return [
        (number, rows[bounds[number] : bounds[number + 1]])
        for number in range(count)
        if bounds[number] < bounds[number + 1]
    ]


def _sample(vectors: UnitVectors, count: int, rng: np.random.Generator) -> np.ndarray:
    size = min(len(vectors), count * _SAMPLE, 1_000_000)
    chosen = np.sort(rng.choice(len(vectors), size, replace=False))
    sample = np.empty((size, vectors.dimensions), np.float32)
    for start in range(0, size, BLOCK):
        part = slice(start, start + BLOCK)
        sample[part] = vectors.rows(chosen[part])
    return sample


def _means(rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Spherical k-means: (n, D) float32 -> (at most count, D) float32 of length 1."""
    count = min(count, len(rows))
    if count < 2:
        mean = rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1], np.float32)
        return _unit(mean[None])
    faiss = load_faiss()
    means = faiss.Kmeans(
        rows.shape[1], count, niter=_ROUNDS, seed=seed, spherical=True, min_points_per_centroid=1,
        max_points_per_centroid=_SAMPLE * 8,
    )  # fmt: skip
    means.train(np.ascontiguousarray(rows))
    return _unit(means.centroids)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(lengths, 1e-30)).astype(np.float32)


def load_faiss() -> ModuleType:
    """The faiss module.

    Raises:
        NeighbourError: It is not installed.
    """
    try:
        import faiss
    except ModuleNotFoundError:
        raise NeighbourError(
            "cells need faiss, which is not installed: pip install 'instruct-imagen[clusters]'"
        ) from None
    return faiss
