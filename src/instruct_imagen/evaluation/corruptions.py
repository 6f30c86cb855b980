"""Pictures made worse on purpose, in three strengths: what perceptual quality must tell.

Nothing here changes what a picture is of, and none of it comes from a model: thresholds that are
fixed on it are not fixed on what they will judge.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

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
_MELT = ((1.0, 2.2, 25.0), (1.9, 3.2, 45.0), (3.0, 4.5, 80.0))
"""How far things run and how wide their blots are, in pixels at 32, and the difference of 255 that
a blot swallows."""
_BREAK = ((0.25, 0.9, 5), (0.45, 1.2, 7), (0.7, 1.8, 11))
"""Share of the frame, half of it wiped out and half doubled; how wide the places are, in pixels at
32; and the square, in pixels at 32, whose median is the ground of what is wiped out."""
_GREY = 128

Corruption = Callable[[np.ndarray, int, np.random.Generator, np.ndarray], np.ndarray]
"""Image, strength from 0, randomness and another image, all uint8 (side, side, 3) → the same."""


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
    made = {**CORRUPTIONS, **UNTAUGHT}[name]
    return made(image, STRENGTHS.index(strength), rng, other)


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


def melted(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Things run out of shape into a few flat blots with sharp borders; plain ground stays."""
    side, unit = image.shape[0], _unit(image)
    reach, width, swallowed = _MELT[strength]
    field = _smooth(rng.normal(size=(side, side, 2)), 2.6 * unit)
    field *= _busy(image) * reach * unit / field.std()
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    run = _sampled(image, rows + field[..., 0], columns + field[..., 1])
    busy = _busy(run)
    return _bytes((1 - busy) * run + busy * _blots(run, width * unit, swallowed, rng))


def broken(
    image: np.ndarray, strength: int, rng: np.random.Generator, other: np.ndarray
) -> np.ndarray:
    """Strokes and small parts have gaps in places and are drawn twice in others."""
    side, unit = image.shape[0], _unit(image)
    share, width, square = _BREAK[strength]
    wiping = ImageFilter.MedianFilter(2 * round(square * unit / 2 - 0.5) + 1)
    plain = np.asarray(Image.fromarray(image).filter(wiping)).astype(np.float64)
    turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.4) * square * unit
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    again = _sampled(image, rows + away * np.sin(turn), columns + away * np.cos(turn))
    here, there = (np.abs(one - plain).sum(-1, keepdims=True) for one in (image, again))
    twice = np.where(there > here, again, image)
    where = _smooth(rng.normal(size=(side, side, 1)), width * unit)
    low, high = np.quantile(where, (share / 2, 1 - share / 2))
    return _bytes(np.where(where < low, plain, np.where(where > high, twice, image)))


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
"""Every fault that the head of perceptual quality is taught, by its name."""

UNTAUGHT: Mapping[str, Corruption] = MappingProxyType({"melt": melted, "break": broken})
"""Faults that it is not taught, the likest to those of generated pictures: what it makes of them is
what may be expected of faults that nobody has thought of."""


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


def _busy(image: np.ndarray) -> np.ndarray:
    """(side, side, 1) from 0, plain ground, to 1, where something is drawn."""
    unit = _unit(image)
    values = image.astype(np.float64)
    contrast = np.abs(values - _smooth(values, 1.5 * unit)).max(-1, keepdims=True)
    return _smooth(np.clip(_smooth(contrast, unit) / 5 - 0.6, 0, 1), unit)


def _blots(
    image: np.ndarray, width: float, swallowed: float, rng: np.random.Generator
) -> np.ndarray:
    """Regions of one colour each, of pixels that are near in place and colour."""
    side = image.shape[0]
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    place = np.stack([rows, columns], -1).reshape(-1, 2) / width
    colour = image.reshape(-1, 3)
    found = np.concatenate([place, colour / swallowed], 1)
    regions = found[rng.integers(0, side * side, round((side / width) ** 2))]
    for _ in range(2):
        away = (regions**2).sum(1) - 2 * found @ regions.T  # less a number of each pixel
        share = np.exp(8 * (away.min(1, keepdims=True) - away))  # borders are a pixel wide
        share /= share.sum(1, keepdims=True)
        regions = share.T @ found / (share.sum(0)[:, None] + 1e-9)
    return (share @ regions[:, 2:] * swallowed).reshape(image.shape)


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
