"""Which pictures of a corpus are those of a hold-out, or near-duplicates of them.

What proposes pairs and what measures them is that of near-duplicates inside the corpus: similar
hashes and near embeddings propose, small copies laid over each other and embeddings decide. But a
hold-out has no captions, so embeddings are those of images alone; and a pair of similar hashes is
never missed here, as all are compared with all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .near_duplicates import Measured, Thresholds, margins, measure

NEAREST = 5
"""Pictures of the hold-out that each one of the corpus is laid over because of its embedding."""

SAME_BYTES = "the same bytes"
SAME_PICTURE = "the same picture"
ALIKE = "embeddings too similar"
"""Why a row is taken out."""

_BLOCK = 256  # pictures of the corpus that are compared with the whole hold-out at a time …
_COMPARED = 2**22  # … but no more pairs than this
_AT_ONCE = 4096  # pairs


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """What is compared of N pictures.

    Attributes:
        sha256: (N,) of the encoded images, hexadecimal.
        thumbs: (N, THUMB, THUMB, 3) uint8, see `hashes.thumbnail`.
        hashes: (N, 2) uint64, see `hashes.perceptual_hashes`.
        vectors: (N, D) of the images alone, of any length but zero.
    """

    sha256: Sequence[str]
    thumbs: np.ndarray
    hashes: np.ndarray
    vectors: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Leak:
    """A picture of the corpus that is one of the hold-out's.

    Attributes:
        row: Which of the corpus'.
        held: Which of the hold-out's; of several, that of equal bytes or else the most alike.
        why: `SAME_BYTES`, `SAME_PICTURE` or `ALIKE`.
        similarity: Of the embeddings.
        correlation: See `near_duplicates.Measured`.
        difference: See `near_duplicates.Measured`.
    """

    row: int
    held: int
    why: str
    similarity: float
    correlation: float
    difference: float


def leaks_of(corpus: Pictures, held: Pictures, thresholds: Thresholds) -> list[Leak]:
    """What lies in the hold-out, too: at most one entry a picture of the corpus, ascending."""
    exact = equal_bytes(corpus.sha256, held.sha256)
    near = proposed(corpus, held, thresholds.hash_radius)
    pairs = np.unique(np.concatenate([exact, near]), axis=0)
    if not len(pairs):
        return []
    measured = measure_across(pairs, corpus, held)
    margin = margins(measured, thresholds)
    is_exact = np.isin(_coded(pairs, held), _coded(exact, held))
    margin[is_exact] = np.inf
    # The last of each row in this order is its most alike.
    order = np.lexsort((-pairs[:, 1], margin, pairs[:, 0]))
    last = order[np.append(pairs[order][1:, 0] != pairs[order][:-1, 0], True)]
    by_sight = margins(
        Measured(
            similarity=np.full(len(pairs), -np.inf, np.float32),
            correlation=measured.correlation,
            difference=measured.difference,
        ),
        thresholds,
    )
    return [
        Leak(
            row=int(pairs[place, 0]),
            held=int(pairs[place, 1]),
            why=SAME_BYTES if is_exact[place] else SAME_PICTURE if by_sight[place] >= 0 else ALIKE,
            similarity=float(measured.similarity[place]),
            correlation=float(measured.correlation[place]),
            difference=float(measured.difference[place]),
        )
        for place in last.tolist()
        if margin[place] >= 0
    ]


def equal_bytes(corpus: Sequence[str], held: Sequence[str]) -> np.ndarray:
    """(P, 2) int64 of a corpus' and a hold-out's pictures whose files are the same."""
    first: dict[str, int] = {}
    for number, name in enumerate(held):
        first.setdefault(name, number)
    found = [(row, first[name]) for row, name in enumerate(corpus) if name in first]
    return np.array(found, np.int64).reshape(-1, 2)


def proposed(corpus: Pictures, held: Pictures, radius: int) -> np.ndarray:
    """(P, 2) int64 of a corpus' and a hold-out's pictures that are worth a look."""
    found = [np.empty((0, 2), np.int64)]
    nearest = min(NEAREST, len(held.sha256))
    if not nearest:
        return found[0]
    vectors = _unit(held.vectors)
    block = max(1, min(_BLOCK, _COMPARED // len(held.sha256)))
    for start in range(0, len(corpus.sha256), block):
        stop = min(start + block, len(corpus.sha256))
        alike = _unit(corpus.vectors[start:stop]) @ vectors.T
        ids = np.argpartition(-alike, nearest - 1, axis=1)[:, :nearest]
        rows = np.repeat(np.arange(start, stop), nearest)
        found.append(np.stack([rows, ids.ravel()], axis=1))
        # As they are, and mirrored: one side's mirror image is enough.
        own = corpus.hashes[start:stop, :1]
        bits = np.minimum(*(np.bitwise_count(own ^ held.hashes[:, side]) for side in (0, 1)))
        rows, ids = np.nonzero(bits <= radius)
        found.append(np.stack([rows + start, ids], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def measure_across(pairs: np.ndarray, corpus: Pictures, held: Pictures) -> Measured:
    """What is measured of pairs (P, 2) of a corpus' and a hold-out's pictures."""
    parts = []
    for start in range(0, max(1, len(pairs)), _AT_ONCE):
        rows, others = pairs[start : start + _AT_ONCE].T
        both = np.concatenate([corpus.thumbs[rows], held.thumbs[others]])
        places = np.arange(len(rows))
        alike = np.einsum("pd,pd->p", _unit(corpus.vectors[rows]), _unit(held.vectors[others]))
        parts.append(measure(np.stack([places, places + len(rows)], axis=1), both, alike))
    return Measured(
        similarity=np.concatenate([one.similarity for one in parts]),
        correlation=np.concatenate([one.correlation for one in parts]),
        difference=np.concatenate([one.difference for one in parts]),
    )


def _coded(pairs: np.ndarray, held: Pictures) -> np.ndarray:
    """One number a pair."""
    return pairs[:, 0] * max(len(held.sha256), 1) + pairs[:, 1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    found = np.asarray(vectors, np.float32)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
