"""`sketch`: a pencil drawing from a picture, where no drawn sketches are at hand."""

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
    to_grey,
)


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """Strokes by differences of Gaussians with a soft threshold (XDoG).

    Winnemöller, Kyprianidis and Olsen, "XDoG: An eXtended difference-of-Gaussians compendium",
    Computers & Graphics 2012: 1 where u = G(σ) - τ G(kσ) reaches ε, else 1 + tanh(φ (u - ε)).
    Here each colour channel is drawn, and the darkest stroke is kept: two colours of one
    brightness have a contour, too. Strokes are dark on white, beside a contour, and darker where
    it is stronger.

    **It stands in for drawn sketches.** [Hu24] trains on the 15K drawings of a photo-sketch data
    set, whose lines people chose and bent; these lie exactly on the picture's contours, textures
    included.

    Attributes:
        sigma: Of the narrower Gaussian, in pixels: half the width of a stroke, about.
        ratio: Of the wider Gaussian to the narrower one.
        share: τ, how much of the wider one is taken away; below 1, even areas stay white.
        threshold: ε, the difference, of 1, below which there is a stroke; negative values leave
            out what is faint.
        softness: φ, how fast strokes darken below the threshold: higher is harder.
    """

    name: ClassVar[str] = "sketch"
    batch_size: ClassVar[int] = 1
    sigma: float = 1.4
    ratio: float = 1.6
    share: float = 0.99
    threshold: float = -0.005
    softness: float = 30.0

    def __post_init__(self) -> None:
        check_positive(self, "sigma", "ratio", "share", "softness")
        if self.ratio <= 1:
            raise AnnotatorError(f"sketch: ratio={self.ratio} must be more than 1")
        if not -1 < self.threshold < 1:
            raise AnnotatorError(f"sketch: threshold={self.threshold} must lie between -1 and 1")

    @property
    def fingerprint(self) -> str:
        """See `base.Annotator`."""
        return fingerprint(self, version=1)

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """See `base.Annotator`."""
        check_images(images)
        return [to_grey(self._paper(np.asarray(image) / 255)) for image in images]

    def _paper(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 3) in [0, 1] -> the sketch, (H, W) in [0, 1]."""
        ndimage = need("scipy.ndimage", why="sketch", install=EXTRA)
        narrow, wide = (
            ndimage.gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")
            for sigma in (self.sigma, self.sigma * self.ratio)
        )
        below = np.minimum(narrow - self.share * wide - self.threshold, 0)
        return (1 + np.tanh(self.softness * below)).min(axis=2)


ANNOTATOR = Sketch
