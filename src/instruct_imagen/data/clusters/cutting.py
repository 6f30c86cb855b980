"""Candidates -> clusters of exactly five related, non-duplicate pairs ([Hu24] §3.2, A.2.2).

A pair is an (image, caption) record. The tightest clusters are cut first: a seed stands as high
as its fourth nearest candidate that is still free is similar. When candidates of a seed have been
used since, it is put back at its new place; that happens at most once a candidate, so that N seeds
with k candidates take O(N k log N).
"""

from __future__ import annotations

import heapq
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
    count = len(ids)
    rank = np.arange(count) if keys is None else _ranks(keys)
    representative = _representatives(duplicates, rank)
    lists = _candidates(ids, similarities, representative, rank, least)
    fates = np.full(count, 3, np.int8)
    alone = representative != np.arange(count)
    fates[alone] = 1
    needed = CLUSTER_SIZE - 1
    waiting = []
    for seed in np.flatnonzero(~alone).tolist():
        if len(lists[seed]) < needed:
            fates[seed] = 2
        else:
            waiting.append((-lists[seed][needed - 1][0], int(rank[seed]), seed))
    heapq.heapify(waiting)
    used = bytearray(count)
    clusters: list[list[int]] = []
    alike: list[list[float]] = []
    while waiting:
        score, place, seed = heapq.heappop(waiting)
        if used[seed]:
            continue
        free = [one for one in lists[seed] if not used[one[1]]]
        if len(free) < needed:
            continue
        now = -free[needed - 1][0]
        if now > score:
            lists[seed] = free
            heapq.heappush(waiting, (now, place, seed))
            continue
        members = [seed, *(number for _, number in free[:needed])]
        clusters.append(members)
        alike.append([1.0, *(similarity for similarity, _ in free[:needed])])
        for member in members:
            used[member] = True
    shape = (-1, CLUSTER_SIZE)
    found = np.array(clusters, np.int64).reshape(shape)
    fates[found.ravel()] = 0
    return Cut(clusters=found, similarities=np.array(alike, np.float32).reshape(shape), fates=fates)


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
    rank = np.empty(len(keys), np.int64)
    rank[order] = np.arange(len(keys))
    return rank


def _representatives(duplicates: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """(N,) the pair of least rank in each pair's group of near-duplicates."""
    groups = UnionFind(len(rank))
    for one, other in rank[duplicates].tolist():
        groups.union(one, other)
    return np.argsort(rank)[groups.roots()[rank]]


def _candidates(
    ids: np.ndarray,
    similarities: np.ndarray,
    representative: np.ndarray,
    rank: np.ndarray,
    least: float,
) -> list[list[tuple[float, int]]]:
    """For each pair, (similarity, representative) of candidates, each once.

    Most similar first, and equals by their keys.
    """
    stands = np.where(ids >= 0, representative[ids], -1)
    kept = (ids >= 0) & (similarities >= least) & (stands != representative[:, None])
    lists, place = [], rank.tolist()
    rows = zip(stands.tolist(), similarities.tolist(), kept.tolist(), strict=True)
    for numbers, alike, good in rows:
        seen: dict[int, float] = {}
        for number, similarity, fits in zip(numbers, alike, good, strict=True):
            if fits:
                seen[number] = max(similarity, seen.get(number, similarity))
        found = [(similarity, number) for number, similarity in seen.items()]
        lists.append(sorted(found, key=lambda one: (-one[0], place[one[1]])))
    return lists
