"""Vectors to be compared by cosine, read a block at a time: arrays in memory or mapped files."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .rows import ClusterError

BLOCK = 4096
"""Rows that are read, or compared, at a time; 4,096 of 768 dimensions are 12.6 MB as float32."""

_DTYPES = (np.float16, np.float32, np.float64)


class NeighbourError(ClusterError):
    """Vectors that cannot be compared, or an impossible request; one line with cause and cure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitVectors:
    """Vectors that are scaled to length 1 as they are read, so that cosine is a dot product.

    Attributes:
        stored: (N, D) float16, float32 or float64; an array or a `np.memmap`, never changed.
        scales: (N,) float32, 1 / length of each.
    """

    stored: np.ndarray = field(repr=False)
    scales: np.ndarray = field(repr=False)

    @classmethod
    def check(cls, vectors: np.ndarray, *, block: int = BLOCK) -> UnitVectors:
        """Reads all vectors once, a block at a time, and measures their lengths.

        Args:
            vectors: (N, D), of a floating-point dtype; of any length but zero.
            block: Rows read at a time.

        Raises:
            NeighbourError: Wrong shape or dtype, or a vector that is zero or not finite.
        """
        _check_form(vectors)
        scales = np.empty(len(vectors), np.float32)
        for start in range(0, len(vectors), block):
            part = np.asarray(vectors[start : start + block], np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                lengths = np.sqrt(np.einsum("nd,nd->n", part, part, dtype=np.float64))
            _check_lengths(part, lengths, start)
            scales[start : start + block] = 1 / lengths
        return cls(stored=vectors, scales=scales)

    def __len__(self) -> int:
        """Count the vectors."""
        return len(self.stored)

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.stored.shape[1])

    def rows(self, ids: np.ndarray | slice) -> np.ndarray:
        """Some of the vectors, of length 1: (n, D) float32."""
        part = self.stored[ids].astype(np.float32)
        part *= self.scales[ids, None]
        return part


def _check_form(vectors: np.ndarray) -> None:
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or 0 in vectors.shape:
        found = getattr(vectors, "shape", type(vectors).__name__)
        raise NeighbourError(f"vectors must be an array (N, D) with N and D above 0, not {found}")
    if vectors.dtype not in _DTYPES:
        raise NeighbourError(
            f"vectors must be float16, float32 or float64, not {vectors.dtype}: convert them"
        )


def _check_lengths(part: np.ndarray, lengths: np.ndarray, start: int) -> None:
    finite = np.isfinite(part).all(axis=1)
    if not finite.all():
        row = start + int(np.argmin(finite))
        raise NeighbourError(f"vector {row} is not finite (NaN or infinite): leave its picture out")
    # below this, 1 / length is no number that float32 holds
    if (lengths < 1e-30).any():
        row = start + int(np.argmax(lengths < 1e-30))
        raise NeighbourError(f"vector {row} is zero and has no direction: leave its picture out")
