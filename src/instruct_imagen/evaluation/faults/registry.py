"""Every fault that the pixel network is taught: any strength, a picture or things alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from instruct_imagen.evaluation.faults import colours, pixels, shapes
from instruct_imagen.evaluation.faults.tools import Fault, Given, as_bytes, grown

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "blur": pixels.blurred,
        "noise": pixels.noised,
        "covered by grey": colours.covered_grey,
        "covered by another": colours.covered_other,
        "bleeding": colours.bled,
        "compression": pixels.compressed,
        "smear": shapes.smeared,
        "blend": colours.blended,
        "smudge": shapes.smudged,
        "speckle": pixels.speckled,
        "checkerboard": pixels.checkered,
        "reduced": pixels.reduced,
        "restored": pixels.restored,
        "ragged": shapes.ragged,
        "double contours": shapes.doubled,
        "exchanged patches": shapes.exchanged,
        "scribble": shapes.scribbled,
        "blotches": colours.blotched,
        "flattened": colours.flattened,
        "washed out": colours.washed,
        "mixed drawings": colours.mixed,
    }
)
"""By name."""

OF_THINGS = frozenset(
    {
        "speckle", "ragged", "double contours", "blotches", "flattened",
        "washed out", "mixed drawings",
    }
)  # fmt: skip
"""Faults of things alone: the ground stays as it is."""

_RIM = 0.9
"""Pixels at 32 around a thing that a fault of it reaches."""


def spoiled(given: Given, name: str, *, alone: bool = False) -> np.ndarray:
    """A worse picture, uint8 (side, side, 3).

    Args:
        given: The picture, and what its fault is made of.
        name: One of `FAULTS`.
        alone: Only things are spoiled, by any fault; those of `OF_THINGS` spoil no more anyway.
    """
    worse = FAULTS[name](given)
    if alone or name in OF_THINGS:
        share = grown(given.things, _RIM * given.unit)
        worse = (1 - share) * given.image + share * worse
    return as_bytes(worse)
