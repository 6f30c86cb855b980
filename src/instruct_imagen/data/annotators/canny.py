"""`canny`: thin edges without a network, for when `edge` is too slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from instruct_imagen.data.annotators.base import (
    EXTRA,
    AnnotatorError,
    check_images,
    check_positive,
    fingerprint,
    need,
)


@dataclass(frozen=True, kw_only=True)
class Canny:
    """Edges by Canny, "A Computational Approach to Edge Detection", PAMI 1986.

    Gaussian blur, Sobel gradients (at each place those of the colour channel that is steepest
    there, so that two colours of one brightness have an edge too), thinning across the edge, and
    two thresholds: a line is kept where all of it reaches `low` and some of it `high`. Lines are
    white on black, one pixel wide, without half tones. Deterministic.

    Attributes:
        sigma: Of the blur, in pixels.
        low: Height of a step between two colours, of 255, from which a line goes on.
        high: Height of a step from which a line may begin.
    """

    name: ClassVar[str] = "canny"
    batch_size: ClassVar[int] = 1
    sigma: float = 1.4
    low: float = 15.0
    high: float = 40.0

    def __post_init__(self) -> None:
        check_positive(self, "sigma", "low", "high")
        if self.low > self.high:
            raise AnnotatorError(f"canny: low={self.low} must be at most high={self.high}")

    @property
    def fingerprint(self) -> str:
        """See `base.Annotator`."""
        return fingerprint(self, version=1)

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """See `base.Annotator`."""
        check_images(images)
        return [
            Image.fromarray(self._edges(np.asarray(image)).astype(np.uint8) * 255)
            for image in images
        ]

    def _edges(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (H, W) bool."""
        ndimage = need("scipy.ndimage", why="canny", install=EXTRA)
        down, across = steepest(pixels, self.sigma)
        # A step of height h, blurred, rises by h / (√(2π) σ) a pixel where it is steepest.
        heights = np.hypot(down, across) * (np.sqrt(2 * np.pi) * self.sigma)
        thin = crest(heights, down, across)
        lines, _ = ndimage.label(thin & (heights >= self.low), structure=np.ones((3, 3)))
        kept = np.unique(lines[thin & (heights >= self.high)])
        return np.isin(lines, kept[kept > 0])


def steepest(pixels: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradients down and across of the channel that is steepest at each place.

    Args:
        pixels: (H, W, 3) uint8.
        sigma: Of the blur before, in pixels.

    Returns:
        Two (H, W) float64, in values of 255 a pixel.
    """
    ndimage = need("scipy.ndimage", why="canny", install=EXTRA)
    smooth = ndimage.gaussian_filter(pixels.astype(np.float64), (sigma, sigma, 0), mode="nearest")
    # Channel by channel: Sobel's filter also blurs along every axis that it is not asked about.
    down, across = (
        np.stack([ndimage.sobel(smooth[..., c], axis, mode="nearest") / 8 for c in range(3)], 2)
        for axis in (0, 1)
    )
    best = np.argmax(down**2 + across**2, axis=2)[..., None]
    return np.take_along_axis(down, best, 2)[..., 0], np.take_along_axis(across, best, 2)[..., 0]


def crest(heights: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Where the heights are highest along the gradient, between their neighbours.

    The neighbours lie on the square of eight pixels around a pixel, between two of them. Of two
    equal ones that follow each other the first is taken, so that a line is one pixel wide.

    Args:
        heights: (H, W).
        down: Gradient along rows' numbers, (H, W).
        across: Gradient along columns' numbers, (H, W).

    Returns:
        (H, W) bool.
    """
    ringed = np.pad(heights, 1)
    row, column = np.indices(heights.shape) + 1
    level = np.abs(across) >= np.abs(down)  # the gradient is nearer to a row than to a column
    longer = np.where(level, np.abs(across), np.abs(down))
    shorter = np.where(level, np.abs(down), np.abs(across))
    slant = np.divide(shorter, longer, out=np.zeros_like(longer), where=longer > 0)
    step_row, step_column = np.sign(down).astype(int), np.sign(across).astype(int)

    def neighbour(way: int) -> np.ndarray:
        corner = ringed[row + way * step_row, column + way * step_column]
        straight = np.where(
            level,
            ringed[row, column + way * step_column],
            ringed[row + way * step_row, column],
        )
        return (1 - slant) * straight + slant * corner

    return (heights > neighbour(-1)) & (heights >= neighbour(1))


ANNOTATOR = Canny
