"""What faults are made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """What a fault is made of.

    Attributes:
        image: uint8 (side, side, 3).
        things: Floats (side, side) from 0, ground, to 1, where things are drawn.
        other: Another picture, as `image`.
        strength: 0 is light, 1 medium, 2 strong; between and a little beyond them is possible.
        rng: The only source of randomness.
    """

    image: np.ndarray
    things: np.ndarray
    other: np.ndarray
    strength: float
    rng: np.random.Generator

    @property
    def side(self) -> int:
        """Pixels."""
        return self.image.shape[0]

    @property
    def unit(self) -> float:
        """Pixels that a fault of one pixel at 32 has here: larger pictures show finer faults."""
        return float(np.sqrt(self.side / 32))

    @property
    def pixels(self) -> np.ndarray:
        """The image as floats of [0, 255]."""
        return self.image.astype(np.float64)

    def level(self, values: Sequence[float]) -> float:
        """What a fault's three strengths say of this one: between them in equal ratios."""
        logs = np.log(values)
        at = min(max(self.strength, -1.0), 2.5)
        low = 0 if at < 1 else 1
        return float(np.exp(logs[low] + (at - low) * (logs[low + 1] - logs[low])))


Fault = Callable[[Given], np.ndarray]
"""What is given → the spoiled picture, floats or uint8 (side, side, 3); clipped afterwards."""


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Rounded and clipped to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def smooth(values: np.ndarray, sigma: float) -> np.ndarray:
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


def waves(given: Given, channels: int, sigma: float) -> np.ndarray:
    """(side, side, channels): smooth chance of mean square 1; `sigma` is in pixels."""
    field = smooth(given.rng.normal(size=(given.side, given.side, channels)), sigma)
    return field / (np.sqrt((field**2).mean()) + 1e-9)


def grown(things: np.ndarray, reach: float) -> np.ndarray:
    """(side, side, 1): things with a soft rim of about so many pixels around them."""
    return np.clip(2.5 * smooth(things, max(reach, 0.4)), 0, 1)[..., None]


def inside_mean(pixels: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian mean over pixels of weight, (side, side, 1): nothing leaks in from others.

    Far from all of them it is their mean.
    """
    mean = (pixels * weight).sum((0, 1)) / (weight.sum() + 1e-9)
    few = 1e-3
    return (smooth(pixels * weight, sigma) + few * mean) / (smooth(weight, sigma) + few)


def places(given: Given) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of all pixels, each (side, side)."""
    rows, columns = np.meshgrid(np.arange(given.side), np.arange(given.side), indexing="ij")
    return rows, columns


def sampled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear at fractional places, which stay inside."""
    side = image.shape[0]
    rows, columns = np.clip(rows, 0, side - 1), np.clip(columns, 0, side - 1)
    top, left = (np.minimum(np.floor(axis).astype(int), side - 2) for axis in (rows, columns))
    down, across = (rows - top)[..., None], (columns - left)[..., None]
    upper = image[top, left] * (1 - across) + image[top, left + 1] * across
    lower = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


def within(given: Given, count: int) -> np.ndarray:
    """Rows and columns of pixels of things, (count, 2); of any pixels where there are no things."""
    found = np.argwhere(given.things > 0.5)
    if not len(found):
        found = np.argwhere(given.things >= 0)
    return found[given.rng.integers(len(found), size=count)]


def busy(image: np.ndarray, unit: float) -> np.ndarray:
    """(side, side, 1) from 0, plain ground, to 1, where something is drawn."""
    values = image.astype(np.float64)
    contrast = np.abs(values - smooth(values, 1.5 * unit)).max(-1, keepdims=True)
    return smooth(np.clip(smooth(contrast, unit) / 5 - 0.6, 0, 1), unit)
