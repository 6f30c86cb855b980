"""The depths of water and of space, drawn in the manner of `place_landscapes`."""

from __future__ import annotations

import numpy as np

from .chance import between
from .place_shapes import Shapes, at_side, band, disc, polygon, shade, spread


def underwater(rng: np.random.Generator, look: int) -> Shapes:
    """Light from above, weeds at the sides, a floor of sand, bubbles."""
    water, sand = (
        ("#8fc4d0", "#d9d2b0"),
        ("#86b8d2", "#d2cfb8"),
        ("#8ccabf", "#dccfa6"),
        ("#95b5d6", "#cfc8bc"),
    )[look % 4]
    found = [band(shade(water, 18 - 9 * one), 0.2 * one) for one in range(5)]
    for x in spread(rng, 3):
        lean = between(rng, 0.05, 0.2)
        found.append(
            polygon(
                shade(water, 30),
                (x - 0.04, 0.0),
                (x + 0.05, 0.0),
                (x + lean + 0.16, 0.8),
                (x + lean, 0.8),
            )
        )
    found += [
        disc(shade(sand, -12), between(rng, 0.1, 0.4), 1.06, 0.7, 0.26),
        disc(sand, between(rng, 0.6, 0.9), 1.1, 0.8, 0.28),
        band(sand, 0.93),
    ]
    for number, x in enumerate((*spread(rng, 3, 0.0, 0.24), *spread(rng, 3, 0.76, 1.0))):
        colour = ("#7fb0a4", "#8fb89c", "#bda6ac")[(number + look) % 3]
        found += _weed(x, 0.96, between(rng, 0.3, 0.6), colour)
    bubbles = [(x, between(rng, 0.06, 0.7), between(rng, 0.012, 0.024)) for x in spread(rng, 9)]
    return found + [disc(shade(water, 44), x, y, radius) for x, y, radius in bubbles]


def _weed(x: float, foot: float, height: float, colour: str) -> Shapes:
    """A ribbon that sways: lozenges to the left and to the right in turn."""
    count = 5
    return [
        disc(
            colour,
            x + (0.018 if one % 2 else -0.018),
            foot - height * (one + 0.4) / count,
            0.028 - 0.003 * one,
            0.68 * height / count,
        )
        for one in range(count)
    ]


def space(rng: np.random.Generator, look: int) -> Shapes:
    """Stars, a planet with a ring and a smaller one."""
    air = ("#221f3a", "#1d2538", "#2a1f38", "#1c2a38")[look % 4]
    found = [
        band(air, 0.0),
        disc(shade(air, 10), between(rng, 0.2, 0.8), between(rng, 0.3, 0.7), 0.6, 0.24),
        disc(shade(air, 17), between(rng, 0.3, 0.7), between(rng, 0.4, 0.6), 0.34, 0.12),
    ]
    for number, x in enumerate(spread(rng, 32)):
        y, bright = rng.random(), number % 8 == look % 8
        found.append(disc("#c8c8d4" if bright else shade(air, 62), x, y, 0.008 + 0.006 * bright))
    body = ("#b98f78", "#8e9fc0", "#b59fb8", "#a8b08c")[(look + look // 4) % 4]
    x, y = at_side(rng, 0.12, 0.2), between(rng, 0.14, 0.24)
    found += _ringed(x, y, 0.12, body, "#d6c9ae")
    x, y = 1 - x, between(rng, 0.76, 0.88)
    other = ("#7f8fae", "#b7a284", "#86a59c", "#a8808c")[look % 4]
    return [*found, disc(other, x, y, 0.08), disc(shade(other, -18), x + 0.02, y + 0.02, 0.05)]


def _ringed(x: float, y: float, radius: float, body: str, ring: str) -> Shapes:
    """A planet whose ring passes behind it and before it."""
    before = [
        (x + radius * across, y + radius * down)
        for across, down in (
            (-1.7, -0.1),
            (-1.2, 0.22),
            (-0.5, 0.4),
            (0.5, 0.4),
            (1.2, 0.22),
            (1.7, -0.1),
            (1.2, 0.06),
            (0.5, 0.2),
            (-0.5, 0.2),
            (-1.2, 0.06),
        )
    ]
    return [
        disc(body, x, y, radius),
        disc(shade(body, -16), x + 0.25 * radius, y + 0.3 * radius, 0.6 * radius),
        polygon(ring, *before),
    ]
