"""Candidates -> clusters of exactly five related, non-duplicate pairs ([Hu24] §3.2, A.2.2).

A pair is an (image, caption) record. The tightest clusters are cut first: a seed stands as high
as its fourth nearest candidate that is still free is similar. When candidates of a seed have been
used since, it is put back at its new place; that happens at most once a candidate, so that N seeds
with k candidates take O(N k log N).

Memory: arrays, and one whole number a waiting seed; besides what is given at most 200 bytes a pair
with 10 candidates.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .by_concept import CLUSTER_SIZE
from .rows import ClusterError
from .union_find import UnionFind

KEPT = "in a cluster"
REASONS = (
    KEPT,
    "a near-duplicate is kept instead",
    f"fewer than {CLUSTER_SIZE - 1} candidates are similar enough and no near-duplicates",
    "its candidates are in tighter clusters",
)
"""What became of a pair, by the numbers of `Cut.fates`."""

_ROWS = 2**12  # whose candidates are sorted together
_RANK_BITS = 32
_RANK = 2**_RANK_BITS - 1
_SIZE = 2**63 - 1  # the bits of a float64 but its sign


class CutError(ClusterError):
    """Candidates that no clusters can be cut from; one line with cause and cure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """Clusters, and what became of every pair.

    Attributes:
        clusters: (C, 5) int64 numbers of pairs, the seed first, then from the most similar on;
            no number twice. The tightest cluster comes first.
        similarities: (C, 5) float32 to the seed, itself 1.
        fates: (N,) int8 into `REASONS`.
    """

    clusters: np.ndarray
    similarities: np.ndarray
    fates: np.ndarray

    def counts(self) -> Mapping[str, int]:
        """Reason -> number of pairs, all reasons, adding up to N."""
        found = np.bincount(self.fates, minlength=len(REASONS)).tolist()
        return dict(zip(REASONS, found, strict=True))


def cut(
    ids: np.ndarray,
    similarities: np.ndarray,
    duplicates: np.ndarray,
    *,
    keys: np.ndarray | None = None,
    least: float = 0.0,
) -> Cut:
    """Cuts clusters of five.

    Args:
        ids: (N, k) int64 candidates of each pair, -1 where none; k from 4 on, 10 in the paper.
        similarities: (N, k) floating-point.
        duplicates: (M, 2) int64 pairs of near-duplicates. All that hang together are represented
            by the one of the least key; a candidate stands for its representative.
        keys: (N,) different values that decide between equals, such as the records' keys, so that
            the clusters do not depend on the order of the pairs; None: their numbers.
        least: Similarity that every member must have to the seed.

    Raises:
        CutError: Shapes, numbers or keys that do not fit.
    """
    _check(ids, similarities, duplicates, keys)
    count, needed = len(ids), CLUSTER_SIZE - 1
    rank = np.arange(count, dtype=np.int32) if keys is None else _ranks(keys)
    representative = _representatives(duplicates, rank)
    near, alike, counts = _candidates(ids, similarities, representative, rank, least)
    alone = representative != np.arange(count)
    fates = np.full(count, 3, np.int8)
    fates[counts < needed] = 2
    fates[alone] = 1
    seeds = np.flatnonzero(fates == 3)
    waiting = _places(alike[seeds, needed - 1], rank[seeds])
    by_rank = np.argsort(rank).astype(np.int32)
    heapq.heapify(waiting)
    used = bytearray(count)
    clusters = np.empty((count // CLUSTER_SIZE, CLUSTER_SIZE), np.int64)
    found = np.empty(clusters.shape, np.float32)
    made = 0
    while waiting:
        place = heapq.heappop(waiting)
        seed = int(by_rank[place & _RANK])
        if used[seed]:
            continue
        some = near[seed, : counts[seed]].tolist()
        free = [column for column, one in enumerate(some) if not used[one]][:needed]
        if len(free) < needed:
            continue
        now = _place(float(alike[seed, free[-1]]), place & _RANK)
        if now > place:
            heapq.heappush(waiting, now)
            continue
        members = [seed, *(some[column] for column in free)]
        clusters[made], found[made] = members, [1.0, *alike[seed, free].tolist()]
        made += 1
        for member in members:
            used[member] = True
    clusters, found = clusters[:made].copy(), found[:made].copy()
    fates[clusters.ravel()] = 0
    return Cut(clusters=clusters, similarities=found, fates=fates)


def _place(similarity: float, rank: int) -> int:
    """Where a seed waits, as one whole number: most similar first, and equals by their rank."""
    (bits,) = struct.unpack("<q", struct.pack("<d", 0.0 - similarity))
    return (bits if bits >= 0 else bits ^ _SIZE) << _RANK_BITS | rank


def _places(similarities: np.ndarray, ranks: np.ndarray) -> list[int]:
    """`_place` of each, some at a time."""
    found: list[int] = []
    for start in range(0, len(ranks), _ROWS):
        some = slice(start, start + _ROWS)
        pairs = zip(similarities[some].tolist(), ranks[some].tolist(), strict=True)
        found += [_place(similarity, rank) for similarity, rank in pairs]
    return found


def inside_pairs(clusters: np.ndarray) -> np.ndarray:
    """All pairs of members of one cluster: (C, 5) -> (10 C, 2), lower number first.

    Near-duplicates that nobody proposed can still meet in a cluster. Measure these pairs; where
    some are, cut again with them among the `duplicates`.
    """
    places = list(combinations(range(clusters.shape[1]), 2))
    pairs = np.stack([clusters[:, list(pair)] for pair in places], axis=1).reshape(-1, 2)
    return np.sort(pairs, axis=1)


def _check(
    ids: np.ndarray, similarities: np.ndarray, duplicates: np.ndarray, keys: np.ndarray | None
) -> None:
    if ids.ndim != 2 or ids.shape != similarities.shape or ids.shape[1] < CLUSTER_SIZE - 1:
        raise CutError(
            f"candidates of shape {ids.shape} with similarities of shape {similarities.shape}: "
            f"both must be (N, k), k at least {CLUSTER_SIZE - 1}"
        )
    if ids.size and not -1 <= ids.min() <= ids.max() < len(ids):
        raise CutError(f"candidates must be numbers from -1 (none) to {len(ids) - 1}")
    if np.isnan(similarities).any():
        raise CutError("a similarity is NaN: give -inf where there is no candidate")
    if duplicates.ndim != 2 or duplicates.shape[1] != 2:
        raise CutError(f"near-duplicates must be pairs (M, 2), not of shape {duplicates.shape}")
    if duplicates.size and not 0 <= duplicates.min() <= duplicates.max() < len(ids):
        raise CutError(f"near-duplicates must be numbers from 0 to {len(ids) - 1}")
    if keys is not None and (len(keys) != len(ids) or len(np.unique(keys)) != len(ids)):
        raise CutError("every pair needs a key, and no other pair may have the same")


def _ranks(keys: np.ndarray) -> np.ndarray:
    order = np.argsort(keys, kind="stable")
    rank = np.empty(len(keys), np.int32)
    rank[order] = np.arange(len(keys))
    return rank


def _representatives(duplicates: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """(N,) int32, the pair of least rank in each pair's group of near-duplicates."""
    groups = UnionFind(len(rank))
    for start in range(0, len(duplicates), _ROWS):
        for one, other in rank[duplicates[start : start + _ROWS]].tolist():
            groups.union(one, other)
    return np.argsort(rank).astype(np.int32)[groups.roots()[rank]]


def _candidates(
    ids: np.ndarray,
    similarities: np.ndarray,
    representative: np.ndarray,
    rank: np.ndarray,
    least: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Representatives of each pair's candidates, each once.

    Most similar first, and equals by their keys.

    Returns:
        Numbers (N, k) int32, similarities (N, k) of the same dtype, and how many each pair has;
        what stands beyond is nothing.
    """
    near = np.empty(ids.shape, np.int32)
    alike = np.empty(ids.shape, similarities.dtype)
    counts = np.empty(len(ids), np.int32)
    for start in range(0, len(ids), _ROWS):
        some = slice(start, start + _ROWS)
        stands = representative[np.maximum(ids[some], 0)]
        good = (ids[some] >= 0) & (similarities[some] >= least)
        good &= stands != representative[some, None]
        rows, columns = np.nonzero(good)
        numbers, values = stands[rows, columns], similarities[some][rows, columns]
        order = np.lexsort((-values, numbers, rows))
        rows, numbers, values = rows[order], numbers[order], values[order]
        first = np.ones(len(rows), bool)  # of those that one representative stands for
        first[1:] = (rows[1:] != rows[:-1]) | (numbers[1:] != numbers[:-1])
        rows, numbers, values = rows[first], numbers[first], values[first]
        order = np.lexsort((rank[numbers], -values, rows))
        rows, numbers, values = rows[order], numbers[order], values[order]
        counts[some] = np.bincount(rows, minlength=len(stands))
        places = np.arange(len(rows)) - (np.cumsum(counts[some]) - counts[some])[rows]
        near[some][rows, places] = numbers
        alike[some][rows, places] = values
    return near, alike, counts
