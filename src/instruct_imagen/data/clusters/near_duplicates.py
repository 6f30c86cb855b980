"""Which candidate pairs of pictures are near-duplicates of each other ([Hu24] §3.2, A.2.2).

Three grounds, each enough: embeddings that are too similar, small copies that are the same once
laid over each other (`aligned`), and the same URL, page or file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .aligned import compare
from .hashes import hash_pairs, unique_pairs
from .rows import ClusterError

_ROWS = 2**16  # whose neighbours become pairs together


class DuplicateError(ClusterError):
    """Pairs or thresholds that cannot be used; one line with cause and cure."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From where on a pair is a near-duplicate.

    The defaults but the first were learnt by `learn_thresholds` from planted near-duplicates and
    hard other pairs of emoji and stamps, at 0.25% false merges, and rounded: the train half of
    ``benchmarks/near_duplicates.py``, which prints them.

    Attributes:
        similarity: Least cosine of the embeddings. It depends on what embeds, and 2 switches it
            off; the default is cautious.
        correlation: Least correlation of the small copies' slopes, together with `difference`.
        difference: Largest difference of the small copies, in standard deviations; see
            `aligned.Alikeness`.
        hash_radius: Bits in which the hashes of pairs that are looked at at all may differ.
    """

    similarity: float = 0.99
    correlation: float = 0.94
    difference: float = 0.92
    hash_radius: int = 8

    def __post_init__(self) -> None:
        """Refuse what no pair could be measured against.

        Raises:
            DuplicateError: A threshold is out of range.
        """
        if not -1 <= self.similarity <= 2 or not 0 <= self.correlation <= 1.5:
            raise DuplicateError(
                f"similarity={self.similarity} must be in [-1, 2] and "
                f"correlation={self.correlation} in [0, 1.5]; above 1 switches either off"
            )
        if not self.difference >= 0 or not 0 <= self.hash_radius <= 64:
            raise DuplicateError(
                f"difference={self.difference} must be 0 or more and "
                f"hash_radius={self.hash_radius} in [0, 64]"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What was measured of P pairs; the arrays have one entry each.

    Attributes:
        similarity: float32, cosine of the embeddings; -inf where there are none.
        correlation: float32 in [0, 1]; see `aligned.Alikeness`.
        difference: float32 ≥ 0; see `aligned.Alikeness`.
    """

    similarity: np.ndarray
    correlation: np.ndarray
    difference: np.ndarray

    def __post_init__(self) -> None:
        """Compare the lengths.

        Raises:
            DuplicateError: They differ, or a value is NaN.
        """
        parts = (self.similarity, self.correlation, self.difference)
        if len({len(part) for part in parts}) != 1 or any(np.isnan(part).any() for part in parts):
            raise DuplicateError("a pair has one similarity, correlation and difference, none NaN")


@dataclass(frozen=True, kw_only=True, eq=False)
class Borderline:
    """The pairs nearest to the thresholds, for people to look at.

    Attributes:
        above: Rows of pairs that just are near-duplicates, the nearest first.
        below: Rows of pairs that just are none, the nearest first.
    """

    above: np.ndarray
    below: np.ndarray


def candidate_pairs(ids: np.ndarray, hashes: np.ndarray, radius: int) -> np.ndarray:
    """Pairs worth a look: neighbours by embedding, and pictures of similar hash.

    Args:
        ids: (N, k) int64 neighbours of each picture, -1 where none.
        hashes: (N, 2) uint64; see `hashes.perceptual_hashes`.
        radius: Bits in which hashes may differ.

    Returns:
        (M, 2) int64, lower number first, ascending, each once.
    """
    found = [hash_pairs(hashes, radius)]
    for start in range(0, len(ids), _ROWS):
        some = np.asarray(ids[start : start + _ROWS])
        rows, columns = np.nonzero(some >= 0)
        found.append(unique_pairs([np.stack([start + rows, some[rows, columns]], axis=1)]))
    return unique_pairs(found)


def metadata_pairs(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Pairs that share a URL, page, file hash or whatever the columns hold.

    Args:
        columns: Name -> a whole number for each picture, such as a hash: (N,); 0 for unknown.

    Returns:
        (M, 2) int64: of those that share a value each with the first one, so that they are
        one group and their number stays below N a column.
    """
    found = [np.empty((0, 2), np.int64)]
    for values in columns.values():
        known = np.flatnonzero(values)
        order = known[np.argsort(values[known], kind="stable")]
        new = np.ones(len(order), bool)
        new[1:] = values[order[1:]] != values[order[:-1]]
        first = order[new][np.cumsum(new) - 1]
        found.append(np.stack([first, order], axis=1)[~new])
    return unique_pairs(found)


def measure(
    pairs: np.ndarray, thumbnails: np.ndarray, similarity: np.ndarray | None = None
) -> Measured:
    """Compares pairs of pictures.

    Args:
        pairs: (P, 2) int64.
        thumbnails: (N, THUMB, THUMB, 3) uint8; see `hashes.thumbnail`.
        similarity: (P,) cosine of their embeddings; None: not known.
    """
    alike = compare(thumbnails[pairs[:, 0]], thumbnails[pairs[:, 1]])
    known = np.full(len(pairs), -np.inf) if similarity is None else similarity
    return Measured(
        similarity=np.asarray(known, np.float32),
        correlation=alike.correlation,
        difference=alike.difference,
    )


def near_duplicates(measured: Measured, thresholds: Thresholds) -> np.ndarray:
    """Which pairs are near-duplicates: (P,) bool."""
    return margins(measured, thresholds) >= 0


def margins(measured: Measured, thresholds: Thresholds) -> np.ndarray:
    """How far each pair is above (0 or more) or below (negative) the thresholds: (P,) float64.

    Each measure's distance is in shares of what lies between its threshold and a perfect match, so
    that the two grounds can be compared: 1 is perfect.
    """
    by_embedding = _above(measured.similarity, thresholds.similarity)
    correlated = _above(measured.correlation, thresholds.correlation)
    limit = max(thresholds.difference, 1e-6)
    same = 1 - measured.difference.astype(np.float64) / limit
    if thresholds.difference == 0:
        same[measured.difference == 0] = 0
    return np.maximum(by_embedding, np.minimum(correlated, same))


def _above(values: np.ndarray, threshold: float) -> np.ndarray:
    return (values.astype(np.float64) - threshold) / max(1 - threshold, 1e-6)


def borderline(measured: Measured, thresholds: Thresholds, count: int) -> Borderline:
    """The `count` pairs nearest to the thresholds on either side."""
    margin = margins(measured, thresholds)
    order = np.argsort(np.abs(margin), kind="stable")
    above = margin[order] >= 0
    return Borderline(above=order[above][:count], below=order[~above][:count])


def learn_thresholds(
    measured: Measured,
    same: np.ndarray,
    *,
    false_merges: float = 0.005,
    hash_radius: int = 8,
    weights: np.ndarray | None = None,
) -> Thresholds:
    """The thresholds that find most of the labelled near-duplicates.

    Args:
        measured: Labelled pairs, some of either kind.
        same: (P,) bool: is the pair one of near-duplicates?
        false_merges: Share of the other pairs that the small copies may take for some, in [0, 1).
            Embeddings get a threshold well above that of any other pair.
        hash_radius: Passed on.
        weights: (P,) float64 above 0, how many pairs each stands for; None: itself.

    Raises:
        DuplicateError: A kind of pair is missing.
    """
    same = np.asarray(same, bool)
    check_labels(same, len(measured.similarity))
    if not 0 <= false_merges < 1:
        raise DuplicateError(f"false_merges={false_merges} must be at least 0 and below 1")
    weights = np.ones(len(same)) if weights is None else weights
    allowed = false_merges * float(weights[~same].sum())
    correlation, difference = _best_corner(measured, same, weights, allowed)
    known = measured.similarity[~same & np.isfinite(measured.similarity)]
    # half-way to a perfect match from the most similar pictures that are not the same
    similarity = float((1 + known.max()) / 2) if len(known) else 2.0
    return Thresholds(
        similarity=min(similarity, 2.0),
        correlation=correlation,
        difference=difference,
        hash_radius=hash_radius,
    )


def check_labels(same: np.ndarray, pairs: int | None = None) -> None:
    """Raises a `DuplicateError` unless labels (P,) are of both kinds, and as many as `pairs`."""
    pairs = len(same) if pairs is None else pairs
    if same.shape != (pairs,) or same.all() or not same.any():
        raise DuplicateError(
            f"thresholds are learnt from pairs of both kinds, not from {int(same.sum())} "
            f"near-duplicates of {pairs} pairs with {len(same)} labels"
        )


def _best_corner(
    measured: Measured, same: np.ndarray, weights: np.ndarray, allowed: float
) -> tuple[float, float]:
    """Correlation and difference that keep most of the same, and at most `allowed` others.

    For every correlation the largest difference is taken that lets no more others in; of equally
    good ones the strictest correlation. Each lies half-way between two measured values.
    """
    best = (-1.0, 1.0, 0.0)
    order = np.argsort(measured.difference, kind="stable")
    apart, own = order[~same[order]], order[same[order]]
    levels = np.unique(np.quantile(measured.correlation[same], np.linspace(0, 0.2, 201)))
    for correlation in levels.tolist():
        others = apart[measured.correlation[apart] >= correlation]
        fits = int(np.searchsorted(np.cumsum(weights[others]), allowed, side="right"))
        limit = float(measured.difference[others[fits]]) if fits < len(others) else np.inf
        kept = own[measured.correlation[own] >= correlation]
        kept = kept[measured.difference[kept] < limit]
        kept = kept[np.isfinite(measured.difference[kept])]
        if not len(kept):
            continue
        largest = float(measured.difference[kept].max())
        between = (largest + limit) / 2 if np.isfinite(limit) else largest
        if (found := float(weights[kept].sum())) >= best[0]:
            best = (found, correlation, between)
    return best[1], best[2]
