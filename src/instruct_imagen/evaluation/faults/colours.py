"""Faults of colours, and of another picture's pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from instruct_imagen.evaluation.faults.tools import (
    Given,
    as_bytes,
    inside_mean,
    smooth,
    waves,
)

_COVER = (0.2, 0.33, 0.5)  # of the frame
_BLEED = (1.3, 2.2, 4.0)  # pixels, at 32
_BLEND = (0.14, 0.26, 0.45)  # of the other picture
_BLOTCH = (12.0, 26.0, 55.0)  # of 255
_FLAT = (0.7, 1.2, 2.0)  # pixels, at 32
_WASH = (0.3, 0.5, 0.8)  # of the ground
_MIX = (0.2, 0.36, 0.65)  # of a thing
_GREY = 128


def covered_grey(given: Given) -> np.ndarray:
    """A grey bar from one side over up to half of it."""
    return _covered(given, np.full_like(given.image, _GREY))


def covered_other(given: Given) -> np.ndarray:
    """Up to half of it is of another picture."""
    return _covered(given, given.other)


def bled(given: Given, widths: Sequence[float] = _BLEED) -> np.ndarray:
    """Colours run over the outlines, brightness stays."""
    colours = np.asarray(Image.fromarray(given.image).convert("YCbCr")).astype(np.float64)
    colours[..., 1:] = smooth(colours[..., 1:], given.level(widths) * given.unit)
    return np.asarray(Image.fromarray(as_bytes(colours), "YCbCr").convert("RGB"))


def blended(given: Given) -> np.ndarray:
    """Another picture shines through."""
    share = given.level(_BLEND)
    return (1 - share) * given.image + share * given.other


def blotched(given: Given) -> np.ndarray:
    """Stains of other colours, with soft borders or sharp ones."""
    stains = waves(given, 3, given.rng.uniform(0.7, 2.4) * given.unit)
    if given.rng.random() < 0.5:
        stains = 1.5 * np.sign(stains) * (np.abs(stains) > 0.8)
    return given.image + stains * given.level(_BLOTCH)


def flattened(given: Given) -> np.ndarray:
    """What is inside an outline is averaged, the outline is not."""
    things = given.things[..., None]
    inside = inside_mean(given.pixels, things, given.level(_FLAT) * given.unit)
    return things * inside + (1 - things) * given.image


def washed(given: Given) -> np.ndarray:
    """Things pale into the ground, here more and there less."""
    ground = inside_mean(given.pixels, 1 - given.things[..., None], 3 * given.unit)
    uneven = 1 + 0.35 * waves(given, 1, 2.5 * given.unit)
    share = np.clip(given.level(_WASH) * uneven, 0, 1)
    return (1 - share) * given.image + share * ground


def mixed(given: Given) -> np.ndarray:
    """Inside one outline are parts of two drawings."""
    turns = given.rng.integers(given.side, size=2) // 2 - given.side // 4
    other = np.roll(given.other, turns, (0, 1))
    where = waves(given, 1, 2.2 * given.unit)
    things = given.things > 0.5
    inner = where[things] if things.any() else where
    return np.where(where > np.quantile(inner, 1 - min(given.level(_MIX), 1)), other, given.image)


def _covered(given: Given, by: np.ndarray) -> np.ndarray:
    """From one of four sides."""
    turns = int(given.rng.integers(4))
    here, there = np.rot90(given.image, turns).copy(), np.rot90(by, turns)
    count = round(given.level(_COVER) * given.side)
    here[:count] = there[:count]
    return np.ascontiguousarray(np.rot90(here, -turns))
