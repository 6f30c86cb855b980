"""Pictures made worse on purpose, in three strengths: what perceptual quality must tell.

Nothing here changes what a picture is of, and none of it comes from a model: thresholds that are
fixed on it are not fixed on what they will judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from instruct_imagen.evaluation.faults import colours, pixels, shapes
from instruct_imagen.evaluation.faults.tools import Fault, Given, as_bytes, places, sampled, smooth

STRENGTHS = ("light", "medium", "strong")
"""A light fault is seen on a second look, a strong one spoils the picture."""

LEAST_CHANGE: Mapping[str, float] = MappingProxyType({"light": 2.0, "medium": 3.5, "strong": 6.0})
"""Root of the mean squared difference, of 255, from which a fault can be seen at all: colours do
not bleed in a drawing of black ink."""

_BLEED = (1.6, 3.0, 5.5)  # pixels, at 32
_SMEAR = (0.6, 1.1, 2.0)  # pixels, at 32


def corrupted(
    image: np.ndarray, name: str, strength: str, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """A worse picture.

    Args:
        image: uint8 (side, side, 3).
        name: One of `CORRUPTIONS` or `UNTAUGHT`.
        strength: One of `STRENGTHS`.
        rng: The only source of randomness.
        other: Another picture of the same size, which some faults are made of.

    Returns:
        uint8 (side, side, 3).
    """
    given = Given(
        image=image,
        things=np.ones(image.shape[:2]),  # none of these faults asks where things are
        other=other,
        strength=STRENGTHS.index(strength),
        rng=rng,
    )
    return as_bytes({**CORRUPTIONS, **UNTAUGHT}[name](given))


def is_seen(image: np.ndarray, worse: np.ndarray, strength: str) -> bool:
    """Whether a fault changes enough for its strength; see `LEAST_CHANGE`."""
    difference = image.astype(np.float64) - worse
    return float(np.sqrt((difference**2).mean())) >= LEAST_CHANGE[strength]


def _bled(given: Given) -> np.ndarray:
    return colours.bled(given, _BLEED)


def _smeared(given: Given) -> np.ndarray:
    """Outlines waver, as if drawn with a trembling hand and wiped."""
    field = smooth(given.rng.normal(size=(given.side, given.side, 2)), 1.3 * given.unit)
    field *= given.level(_SMEAR) * given.unit / field.std()
    rows, columns = places(given)
    return sampled(given.image, rows + field[..., 0], columns + field[..., 1])


CORRUPTIONS: Mapping[str, Fault] = MappingProxyType(
    {
        "blur": pixels.blurred,
        "noise": pixels.noised,
        "covered by grey": colours.covered_grey,
        "covered by another": colours.covered_other,
        "bleeding": _bled,
        "compression": pixels.compressed,
        "smear": _smeared,
        "blend": colours.blended,
        "smudge": shapes.smudged,
    }
)
"""Every fault that judges are asked about, by its name; all of them are taught."""

UNTAUGHT: Mapping[str, Fault] = MappingProxyType({"melt": shapes.melted, "break": shapes.broken})
"""Faults that perceptual quality is not taught, the likest to those of generated pictures: what it
makes of them is what may be expected of faults that nobody has thought of."""
