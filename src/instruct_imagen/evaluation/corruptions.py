"""Pictures made worse on purpose, in three strengths: what perceptual quality must tell.

Nothing here changes what a picture is of, and none of it comes from a model: thresholds that are
fixed on it are not fixed on what they will judge.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image

STRENGTHS = ("light", "medium", "strong")
"""A light fault is seen on a second look, a strong one spoils the picture."""

LEAST_CHANGE: Mapping[str, float] = MappingProxyType({"light": 2.0, "medium": 3.5, "strong": 6.0})
"""Root of the mean squared difference, of 255, from which a fault can be seen at all: colours do
not bleed in a drawing of black ink."""

_BLUR = (0.55, 0.9, 1.6)  # pixels, at 32 of them a side
_NOISE = (9.0, 20.0, 45.0)  # of 255
_COVER = (0.2, 0.33, 0.5)  # of the frame
_BLEED = (1.6, 3.0, 5.5)  # pixels, at 32
_JPEG = (45, 20, 6)  # quality
_SMEAR = (0.6, 1.1, 2.0)  # pixels, at 32
_BLEND = (0.14, 0.26, 0.45)  # of the other picture
_SMUDGE = (0.25, 0.45, 0.75)  # of the frame
_GREY = 128

Corruption = Callable[[np.ndarray, int, np.random.Generator, np.ndarray], np.ndarray]
"""Image, strength from 0, randomness and another image, all uint8 (side, side, 3) → the same."""


def corrupted(
    image: np.ndarray, name: str, strength: str, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """A worse picture.

    Args:
        image: uint8 (side, side, 3).
        name: One of `CORRUPTIONS`.
        strength: One of `STRENGTHS`.
        rng: The only source of randomness.
        other: Another picture of the same size, which some faults are made of.

    Returns:
        uint8 (side, side, 3).
    """
    return CORRUPTIONS[name](image, STRENGTHS.index(strength), rng, other)


def is_seen(image: np.ndarray, worse: np.ndarray, strength: str) -> bool:
    """Whether a fault changes enough for its strength; see `LEAST_CHANGE`."""
    difference = image.astype(np.float64) - worse
    return float(np.sqrt((difference**2).mean())) >= LEAST_CHANGE[strength]


def blurred(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Out of focus."""
    return _bytes(_smooth(image.astype(np.float64), _BLUR[strength] * _unit(image)))


def noised(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Grain on every pixel and colour."""
    return _bytes(image + rng.normal(0.0, _NOISE[strength], image.shape))


def covered_grey(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """A grey bar from one side over up to half of it."""
    return _covered(image, np.full_like(image, _GREY), strength, rng)


def covered_other(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Up to half of it is of another picture."""
    return _covered(image, other, strength, rng)


def bled(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Colours run over the outlines, brightness stays."""
    colours = np.asarray(Image.fromarray(image).convert("YCbCr")).astype(np.float64)
    colours[..., 1:] = _smooth(colours[..., 1:], _BLEED[strength] * _unit(image))
    return np.asarray(Image.fromarray(_bytes(colours), "YCbCr").convert("RGB"))


def compressed(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Blocks and ringing."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=_JPEG[strength])
    return np.asarray(Image.open(stream).convert("RGB"))


def smeared(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Outlines waver, as if drawn with a trembling hand and wiped."""
    side, unit = image.shape[0], _unit(image)
    field = _smooth(rng.normal(size=(side, side, 2)), 1.3 * unit)
    field *= _SMEAR[strength] * unit / field.std()
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    return _bytes(_sampled(image, rows + field[..., 0], columns + field[..., 1]))


def blended(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Another picture shines through."""
    share = _BLEND[strength]
    return _bytes((1 - share) * image + share * other)


def smudged(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """A part is wiped out of shape: half-drawn things."""
    side = image.shape[0]
    radius = side * np.sqrt(_SMUDGE[strength] / np.pi)
    centre = side * rng.uniform(0.35, 0.65, 2)
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    away = np.hypot(rows - centre[0], columns - centre[1])
    share = np.clip((radius - away) / (0.1 * side) + 0.5, 0, 1)[..., None]
    wiped = _smooth(image.astype(np.float64), 2.2 * _unit(image))
    return _bytes((1 - share) * image + share * wiped)


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "blur": blurred,
        "noise": noised,
        "covered by grey": covered_grey,
        "covered by another": covered_other,
        "bleeding": bled,
        "compression": compressed,
        "smear": smeared,
        "blend": blended,
        "smudge": smudged,
    }
)
"""Every fault by its name."""


def _unit(image: np.ndarray) -> float:
    """Pixels that a fault of one pixel at 32 has here: larger pictures show finer faults."""
    return float(np.sqrt(image.shape[0] / 32))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian over the first two axes; borders are continued."""
    reach = max(int(3 * sigma + 0.5), 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        pads = [(0, 0)] * values.ndim
        pads[axis] = (reach, reach)
        wide = np.pad(values, pads, mode="edge")
        size = values.shape[axis]
        values = sum(
            weight * np.take(wide, range(shift, shift + size), axis)
            for shift, weight in enumerate(weights)
        )
    return values


def _sampled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear at fractional places, which stay inside."""
    side = image.shape[0]
    rows, columns = np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1)
    top, left = (np.minimum(np.floor(axis).astype(int), side - 2) for axis in (rows, columns))
    down, across = (rows - top)[..., None], (columns - left)[..., None]
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def _covered(
    image: np.ndarray, by: np.ndarray, strength: int, rng: np.random.Generator
) -> np.ndarray:
    """From one of four sides."""
    turns = int(rng.integers(4))
    here, there = np.rot90(image, turns).copy(), np.rot90(by, turns)
    count = round(_COVER[strength] * image.shape[0])
    here[:count] = there[:count]
    return np.ascontiguousarray(np.rot90(here, -turns))
