"""How good a picture looks, without anything to compare it to: a score in [0, 1].

`SimpleQuality` measures what makes a picture useless to learn from: blur and lack of contrast. It
knows nothing of taste; `quality_models` runs networks that were taught by people's ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from instruct_imagen.data.clusters.rows import ClusterError

VIEW = 256
"""Longest side, in pixels, at which pictures are looked at; smaller ones are left as they are."""

_SMEAR = 9  # pixels that the second blur averages over, as Crete et al. do
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Quality(Protocol):
    """Scores pictures.

    Attributes:
        fingerprint: Of all that a score depends on besides the picture.
        batch_size: Pictures that are scored at once.
    """

    batch_size: int

    @property
    def fingerprint(self) -> str:
        """See above."""

    def __call__(self, views: Sequence[Image.Image]) -> list[float]:
        """Scores in [0, 1], higher is better, of RGB pictures whose longest side is `VIEW`."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured of a picture.

    Attributes:
        sharpness: Share of the differences between neighbours that a second blur takes away, in
            [0, 1], by the weaker direction [Crete et al. 2007, "The blur effect"]: near 0 where the
            picture is already as smooth as that blur makes it. Does not depend on contrast.
        contrast: Lightness between its 1st and 99th percentile, in [0, 1].
        colourfulness: Of Hasler and Süsstrunk 2003, over the 109 that they call extremely
            colourful; 0 for greys.
    """

    sharpness: float
    contrast: float
    colourfulness: float


def measures(view: Image.Image) -> Measures:
    """Of an RGB picture."""
    pixels = np.asarray(view, np.float32) / 255
    light = pixels @ _LUMA
    low, high = np.percentile(light, (1, 99))
    red, green, blue = np.moveaxis(pixels * 255, -1, 0)
    pair, single = red - green, (red + green) / 2 - blue
    colour = np.hypot(pair.std(), single.std()) + 0.3 * np.hypot(pair.mean(), single.mean())
    return Measures(
        sharpness=min(_sharpness(light), _sharpness(light.T)),
        contrast=float(high - low),
        colourfulness=min(float(colour) / 109, 1.0),
    )


def _sharpness(light: np.ndarray) -> float:
    """Along the rows of (H, W) lightness."""
    if light.shape[1] < 2:
        return 0.0
    half = _SMEAR // 2
    padded = np.pad(light.astype(np.float64), ((0, 0), (half + 1, half)), mode="edge")
    sums = padded.cumsum(axis=1)
    smeared = (sums[:, _SMEAR:] - sums[:, :-_SMEAR]) / _SMEAR
    before = np.abs(np.diff(light, axis=1))
    lost = np.maximum(before - np.abs(np.diff(smeared, axis=1)), 0)
    total = before.sum(dtype=np.float64)
    return float(lost.sum(dtype=np.float64) / total) if total > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class SimpleQuality:
    """The mean of sharpness and contrast, each on a ramp from useless to good enough.

    The geometric mean, so that a fault in one is not made up for by the other; colour adds at most
    a tenth, as greys are no fault. Where the ramps begin and end was read off photographs and
    drawings and the same made worse; see ``benchmarks/corpus_figures.py quality``.

    Attributes:
        blurred: Sharpness at which a picture is useless.
        sharp: Sharpness that is good enough.
        faint: Contrast at which a picture is useless.
        strong: Contrast that is good enough.
    """

    blurred: float = 0.15
    sharp: float = 0.6
    faint: float = 0.05
    strong: float = 0.5

    batch_size = 16

    def __post_init__(self) -> None:
        for low, high in (("blurred", "sharp"), ("faint", "strong")):
            if not 0 <= getattr(self, low) < getattr(self, high) <= 1:
                raise ClusterError(
                    f"quality: {low}={getattr(self, low)} and {high}={getattr(self, high)} must be "
                    "from 0 to 1, the first below the second"
                )

    @property
    def fingerprint(self) -> str:
        """See `Quality`."""
        return f"simple 1 {self}"

    def __call__(self, views: Sequence[Image.Image]) -> list[float]:
        """See `Quality`."""
        return [self.of(measures(view)) for view in views]

    def of(self, found: Measures) -> float:
        """The score of what was measured."""
        sharp = _ramp(found.sharpness, self.blurred, self.sharp)
        strong = _ramp(found.contrast, self.faint, self.strong)
        return float(np.sqrt(sharp * strong) * (0.9 + 0.1 * min(found.colourfulness / 0.4, 1)))


def _ramp(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0)
