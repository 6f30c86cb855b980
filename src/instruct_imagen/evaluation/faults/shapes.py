"""Faults of shapes: outlines, strokes, parts."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from instruct_imagen.evaluation.faults.tools import (
    Given,
    busy,
    places,
    sampled,
    smooth,
    waves,
    within,
)

_SMEAR = (0.6, 1.1, 2.0)  # pixels, at 32
_SMUDGE = (0.25, 0.45, 0.75)  # of the frame
_RAGGED = (0.5, 0.9, 1.6)  # pixels, at 32
_DOUBLE = (1.0, 1.7, 2.8)  # pixels between the two, at 32
_PATCHES = (2.0, 4.0, 9.0)
_PATCH = (3.0, 4.0, 5.5)  # pixels, at 32
_STROKES = (2.0, 4.5, 11.0)
_MELT = ((1.0, 1.9, 3.0), (2.2, 3.2, 4.5), (25.0, 45.0, 80.0))
"""How far things run and how wide their blots are, in pixels at 32, and the difference of 255 that
a blot swallows."""
_BREAK = ((0.25, 0.45, 0.7), (0.9, 1.2, 1.8), (5.0, 7.0, 11.0))
"""Share of the frame, half of it wiped out and half doubled; how wide the places are, in pixels at
32; and the square, in pixels at 32, whose median is the ground of what is wiped out."""


def smeared(given: Given) -> np.ndarray:
    """Outlines waver, as if drawn with a trembling hand and wiped."""
    field = waves(given, 2, 1.3 * given.unit) * given.level(_SMEAR) * given.unit
    rows, columns = places(given)
    return sampled(given.image, rows + field[..., 0], columns + field[..., 1])


def smudged(given: Given) -> np.ndarray:
    """A part is wiped out of shape: half-drawn things."""
    side = given.side
    radius = side * np.sqrt(given.level(_SMUDGE) / np.pi)
    centre = side * given.rng.uniform(0.35, 0.65, 2)
    rows, columns = places(given)
    away = np.hypot(rows - centre[0], columns - centre[1])
    share = np.clip((radius - away) / (0.1 * side) + 0.5, 0, 1)[..., None]
    return (1 - share) * given.image + share * smooth(given.pixels, 2.2 * given.unit)


def ragged(given: Given) -> np.ndarray:
    """Outlines are torn: pixels change places with near ones."""
    field = waves(given, 2, 0.5 * given.unit) * given.level(_RAGGED) * given.unit
    rows, columns = (
        np.clip(np.rint(one + field[..., axis]), 0, given.side - 1).astype(int)
        for axis, one in enumerate(places(given))
    )
    return given.image[rows, columns]


def doubled(given: Given) -> np.ndarray:
    """Contours are seen twice."""
    turn, away = given.rng.uniform(0, 2 * np.pi), given.level(_DOUBLE) * given.unit
    rows, columns = places(given)
    again = sampled(given.image, rows + away * np.sin(turn), columns + away * np.cos(turn))
    both = (given.image + again) / 2 if given.rng.random() < 0.5 else None
    return np.minimum(given.image, again) if both is None else both


def exchanged(given: Given) -> np.ndarray:
    """Patches of things have changed places."""
    found, size = given.image.copy(), max(round(given.level(_PATCH) * given.unit), 2)
    corners = np.clip(within(given, 2 * round(given.level(_PATCHES))) - size // 2, 0, None)
    corners = np.minimum(corners, given.side - size)
    for (top, left), (down, right) in corners.reshape(-1, 2, 2):
        here, there = found[top:, left:][:size, :size], found[down:, right:][:size, :size]
        kept = here.copy()
        here[:] = there
        there[:] = kept
    return found


def scribbled(given: Given) -> np.ndarray:
    """Strokes that belong to nothing, in colours of the picture or in black."""
    found, rng = given.image.copy(), given.rng
    colours = np.concatenate([given.image.reshape(-1, 3), np.zeros((given.side**2, 3), np.uint8)])
    for start in within(given, round(given.level(_STROKES))):
        colour = colours[rng.integers(len(colours))]
        turn, place = rng.uniform(0, 2 * np.pi), start.astype(np.float64)
        for _ in range(round(rng.uniform(2, 8) * given.unit)):
            row, column = np.clip(np.rint(place), 0, given.side - 1).astype(int)
            found[row, column] = colour
            turn += rng.normal(0, 0.6)
            place += np.sin(turn), np.cos(turn)
    return found


def melted(given: Given) -> np.ndarray:
    """Things run out of shape into a few flat blots with sharp borders; plain ground stays."""
    reach, width, swallowed = (given.level(values) for values in _MELT)
    field = waves(given, 2, 2.6 * given.unit) * busy(given.image, given.unit)
    rows, columns = places(given)
    field *= reach * given.unit
    run = sampled(given.image, rows + field[..., 0], columns + field[..., 1])
    share = busy(run, given.unit)
    return (1 - share) * run + share * _blots(run, width * given.unit, swallowed, given.rng)


def broken(given: Given) -> np.ndarray:
    """Strokes and small parts have gaps in places and are drawn twice in others."""
    image, unit, rng = given.image, given.unit, given.rng
    share, width, square = (given.level(values) for values in _BREAK)
    wiping = ImageFilter.MedianFilter(2 * round(square * unit / 2 - 0.5) + 1)
    plain = np.asarray(Image.fromarray(image).filter(wiping)).astype(np.float64)
    turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.4) * square * unit
    rows, columns = places(given)
    again = sampled(image, rows + away * np.sin(turn), columns + away * np.cos(turn))
    here, there = (np.abs(one - plain).sum(-1, keepdims=True) for one in (image, again))
    twice = np.where(there > here, again, image)
    where = waves(given, 1, width * unit)
    low, high = np.quantile(where, (share / 2, 1 - share / 2))
    return np.where(where < low, plain, np.where(where > high, twice, image))


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
