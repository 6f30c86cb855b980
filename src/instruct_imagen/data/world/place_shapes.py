"""Flat shapes that places are drawn with: what one is, the common ones, and how they become pixels.

Coordinates are fractions of the frame, to the right and downwards. They are found by sums, products
and quotients alone, which are the same on every machine (sines are not).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from .chance import between

FINE = 4
"""Each pixel is the average of so many by so many fine ones."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One flat shape.

    Attributes:
        kind: ``block`` and ``ellipse`` have two corners, upper left and lower right; ``polygon``
            has at least three.
        points: Corners, (x, y) each; they may lie outside of the frame.
        colour: sRGB as ``"#rrggbb"``.
    """

    kind: Literal["block", "ellipse", "polygon"]
    points: tuple[tuple[float, float], ...]
    colour: str


Shapes = list[Shape]


def shade(colour: str, step: int) -> str:
    """The colour with `step` added to each of its channels, within bounds."""
    channels = (int(colour[place : place + 2], 16) + step for place in (1, 3, 5))
    return "#" + "".join(f"{min(max(channel, 0), 255):02x}" for channel in channels)


def block(colour: str, left: float, top: float, right: float, bottom: float) -> Shape:
    """An upright rectangle."""
    return Shape(kind="block", points=((left, top), (right, bottom)), colour=colour)


def band(colour: str, top: float, bottom: float = 1.0) -> Shape:
    """All of the frame's width, from one height to another."""
    return block(colour, 0.0, top, 1.0, bottom)


def disc(colour: str, x: float, y: float, across: float, down: float | None = None) -> Shape:
    """An ellipse about (x, y) by its half axes; a circle where only one is given."""
    down = across if down is None else down
    return Shape(
        kind="ellipse", points=((x - across, y - down), (x + across, y + down)), colour=colour
    )


def polygon(colour: str, *points: tuple[float, float]) -> Shape:
    """Corners in order."""
    return Shape(kind="polygon", points=points, colour=colour)


def spread(
    rng: np.random.Generator, count: int, low: float = 0.0, high: float = 1.0
) -> list[float]:
    """So many numbers from `low` to `high`, rising, each somewhere in its own share."""
    return [low + (high - low) * (one + between(rng, 0.15, 0.85)) / count for one in range(count)]


def at_side(rng: np.random.Generator, low: float = 0.08, high: float = 0.2) -> float:
    """A place near the left or the right border, where an asset seldom hides it."""
    distance = between(rng, low, high)
    return distance if rng.random() < 0.5 else 1.0 - distance


def sky(colour: str, horizon: float) -> Shapes:
    """Three bands, a little lighter towards the horizon."""
    return [band(shade(colour, 6 * one), horizon * one / 3) for one in range(3)]


def tree(x: float, foot: float, height: float, crown: str, trunk: str) -> Shapes:
    """A round crown on a trunk."""
    half = 0.07 * height
    return [
        block(trunk, x - half, foot - 0.5 * height, x + half, foot),
        disc(crown, x - 0.2 * height, foot - 0.52 * height, 0.22 * height),
        disc(crown, x + 0.2 * height, foot - 0.52 * height, 0.22 * height),
        disc(crown, x, foot - 0.72 * height, 0.28 * height),
    ]


def fir(x: float, foot: float, height: float, colour: str, trunk: str) -> Shapes:
    """Three triangles on a trunk, each a little lighter than the one below it."""
    found = [block(trunk, x - 0.05 * height, foot - 0.2 * height, x + 0.05 * height, foot)]
    for level, half in enumerate((0.3, 0.24, 0.17)):
        low = foot - (0.14 + 0.24 * level) * height
        found.append(
            polygon(
                shade(colour, 7 * level),
                (x - half * height, low),
                (x + half * height, low),
                (x, low - 0.38 * height),
            )
        )
    return found


def rasterised(shapes: Iterable[Shape], size: int) -> np.ndarray:
    """Draw shapes from back to front.

    Args:
        shapes: The first ones cover the frame.
        size: Side in pixels.

    Returns:
        (size, size, 3) uint8.
    """
    side = FINE * size
    canvas = Image.new("RGB", (side, side))
    draw = ImageDraw.Draw(canvas)
    for shape in shapes:
        corners = _fine(shape.points, side)
        if shape.kind == "polygon":
            draw.polygon(corners, fill=shape.colour)
            continue
        # Both corners of these belong to them: the second is the last fine pixel within.
        (left, top), (right, bottom) = corners
        if right > left and bottom > top:
            paint = draw.rectangle if shape.kind == "block" else draw.ellipse
            paint((left, top, right - 1, bottom - 1), fill=shape.colour)
    return np.asarray(canvas.reduce(FINE))


def _fine(points: Sequence[tuple[float, float]], side: int) -> list[tuple[int, int]]:
    """Whole fine pixels, rounded to the nearest."""
    return [(int(np.floor(x * side + 0.5)), int(np.floor(y * side + 0.5))) for x, y in points]
