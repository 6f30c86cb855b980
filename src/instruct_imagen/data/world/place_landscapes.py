"""Places in the open, each drawn by one function from a generator and the number of its look.

Drawings are flat, calm and muted, so that assets in front stay readable in small pictures. What
tells a place apart is wide or near a border, where assets seldom hide it, and only a few of its
lines (a horizon, a barn) are steps that an edge map shows. Nothing that is held out as a concept
is drawn: skies have neither clouds nor a moon.
"""

from __future__ import annotations

import numpy as np

from .chance import between
from .place_shapes import (
    Shapes,
    at_side,
    band,
    block,
    disc,
    fir,
    polygon,
    shade,
    sky,
    spread,
    tree,
)


def beach(rng: np.random.Generator, look: int) -> Shapes:
    """Sky, sea and sand, with a palm or a parasol at one side."""
    air, sea, sand = (
        ("#c6dfea", "#86b8cc", "#ecdcb6"),
        ("#eedccb", "#9db3c4", "#e2cca8"),
        ("#d2e6e8", "#7fbcb8", "#f0e4c6"),
        ("#dcd4e6", "#93a4c8", "#e8d4b4"),
    )[look % 4]
    air, sea, sand = (shade(colour, -6 * (look // 4)) for colour in (air, sea, sand))
    middle = between(rng, 0.2, 0.8)
    found = [
        *sky(air, 0.4),
        band(sea, 0.4),
        band(shade(sea, 10), 0.5),
        disc("#dfe9e6", middle, 1.0, 1.1, 0.415),
        disc(sand, middle, 1.02, 1.1, 0.4),
        disc(shade(sand, -8), 1 - middle, 1.1, 0.6, 0.28),
    ]
    x = at_side(rng)
    if look // 2 % 2:
        return found + _parasol(x, 0.9, "#d99a86", "#f2e6d2")
    return found + _palm(x, 0.88, 0.62, 0.06 if x < 0.5 else -0.06)


def _palm(x: float, foot: float, height: float, lean: float) -> Shapes:
    top = foot - height
    trunk = polygon(
        "#b39470", (x - 0.03, foot), (x + 0.03, foot), (x + lean + 0.015, top), (x + lean, top)
    )
    leaves = [
        polygon(
            "#7fa67e",
            (x + lean, top - 0.02),
            (x + lean + 0.6 * across, top + 0.6 * down - 0.05),
            (x + lean + across, top + down),
            (x + lean + 0.5 * across, top + 0.6 * down + 0.02),
        )
        for across, down in ((-0.24, 0.08), (0.24, 0.08), (-0.16, -0.1), (0.16, -0.1), (0.1, 0.16))
    ]
    return [trunk, *leaves]


def _parasol(x: float, foot: float, colour: str, stripe: str) -> Shapes:
    """Stripes under a round top; the lower half is cut off by leaving it out of the polygon."""
    rim, top = foot - 0.28, foot - 0.46
    arc = [(-0.2, 0.0), (-0.18, 0.4), (-0.12, 0.8), (0.0, 1.0), (0.12, 0.8), (0.18, 0.4), (0.2, 0)]
    points = [(x + across, rim + (top - rim) * up) for across, up in arc]
    return [
        block("#b39470", x - 0.012, rim, x + 0.012, foot),
        polygon(colour, *points),
        polygon(stripe, (x - 0.07, rim), (x, top), (x + 0.07, rim)),
    ]


def sea(rng: np.random.Generator, look: int) -> Shapes:
    """Water to the horizon, with rows of crests and a sail far away."""
    air, water = (
        ("#cfe2ec", "#7eaac4"),
        ("#e9ddd2", "#8ba3b6"),
        ("#d3e4e2", "#76adb4"),
        ("#d9dcea", "#8397c2"),
    )[look % 4]
    air, water = (shade(colour, -5 * (look // 4)) for colour in (air, water))
    found = sky(air, 0.36)
    x = at_side(rng, 0.1, 0.24)
    for depth in range(4):
        top = (0.36, 0.46, 0.6, 0.78)[depth]
        colour = shade(water, -7 * depth)
        found.append(band(colour, top))
        if depth == 0:
            found += [
                polygon("#f4f1e8", (x, 0.2), (x, 0.35), (x + 0.1, 0.35)),
                polygon("#e6e0d2", (x - 0.01, 0.23), (x - 0.01, 0.35), (x - 0.07, 0.35)),
                polygon(
                    "#a5806a", (x - 0.09, 0.36), (x + 0.12, 0.36), (x + 0.08, 0.4), (x - 0.06, 0.4)
                ),
            ]
        for crest in spread(rng, 4 - depth // 2):
            width = 0.07 + 0.03 * depth
            y = top + between(rng, 0.03, 0.08)
            found.append(disc(shade(colour, 28), crest, y, width, 0.012 + 0.004 * depth))
            found.append(disc(colour, crest, y + 0.014 + 0.004 * depth, width, 0.012))
    return found


def pier(rng: np.random.Generator, look: int) -> Shapes:
    """Planks that run towards us from the edge of a pier, with posts, before a bay with hills."""
    air, water, wood = (
        ("#cfe1ea", "#84b0c4", "#c2a684"),
        ("#eedfce", "#93adbc", "#b59a80"),
        ("#d5e5e2", "#7db4b4", "#cbb38e"),
        ("#dfd9e8", "#8ba0c4", "#b8a08c"),
    )[look % 4]
    found = sky(air, 0.32)
    for x in spread(rng, 3, -0.1, 1.1):
        found.append(disc(("#a9bda4", "#b1bb9c")[look // 4 % 2], x, 0.34, 0.3, 0.1))
    for depth in range(3):
        colour, top = shade(water, -6 * depth), (0.32, 0.37, 0.44)[depth]
        found.append(band(colour, top))
        for crest in spread(rng, 4):
            found.append(disc(shade(colour, 26), crest, top + 0.025, 0.05 + 0.02 * depth, 0.007))
    found += [band(shade(wood, -46), 0.5, 0.545), band(wood, 0.53)]
    goal = between(rng, 0.35, 0.65)
    for plank in range(-9, 10):
        far, near = goal + 0.11 * plank, goal + 0.3 * plank
        gap = polygon(
            shade(wood, -16),
            (far - 0.004, 0.53),
            (far + 0.004, 0.53),
            (near + 0.01, 1.01),
            (near - 0.01, 1.01),
        )
        found.append(gap)
    for x in (*spread(rng, 1, 0.03, 0.22), *spread(rng, 1, 0.78, 0.97)):
        found += _post(x, 0.6, between(rng, 0.2, 0.28), shade(wood, -34))
    return found


def _post(x: float, foot: float, height: float, colour: str) -> Shapes:
    """A round post that ships are tied to, with two turns of rope."""
    top, rope = foot - height, foot - 0.6 * height
    return [
        disc(colour, x, foot, 0.045, 0.014),
        block(colour, x - 0.045, top, x + 0.045, foot),
        disc(shade(colour, 22), x, top, 0.045, 0.014),
        block("#ddd2ba", x - 0.052, rope, x + 0.052, rope + 0.02),
        block("#ddd2ba", x - 0.052, rope + 0.03, x + 0.052, rope + 0.05),
    ]


def snow(rng: np.random.Generator, look: int) -> Shapes:
    """White slopes with firs at the sides and falling flakes."""
    air = ("#b9cad9", "#c3c8d8", "#aec6d4", "#cabfcb")[look % 4]
    found = sky(air, 0.5)
    for x in spread(rng, 3, -0.1, 1.1):
        found.append(disc("#dfe7ee", x, 1.0, 0.5, 0.52 + 0.05 * rng.random()))
    found += [band("#dfe7ee", 0.6)]
    for x in (*spread(rng, 2, 0.0, 0.3), *spread(rng, 2, 0.7, 1.0)):
        found += _snowy_fir(x, between(rng, 0.66, 0.76), between(rng, 0.34, 0.5))
    found += [
        disc("#eef3f7", between(rng, 0.1, 0.4), 1.12, 0.8, 0.36),
        disc("#f6f9fb", between(rng, 0.6, 0.9), 1.16, 0.7, 0.34),
    ]
    flakes = [(x, between(rng, 0.02, 0.5)) for x in spread(rng, 8 + look % 3 * 3)]
    return found + [disc("#e6edf3", x, y, 0.012) for x, y in flakes]


def _snowy_fir(x: float, foot: float, height: float) -> Shapes:
    """A fir whose tiers have white tops."""
    found = fir(x, foot, height, "#9fb3ad", "#a3968a")
    for level, half in enumerate((0.3, 0.24, 0.17)):
        low = foot - (0.14 + 0.24 * level) * height
        found.append(
            polygon(
                "#d9e3e6",
                (x - 0.45 * half * height, low - 0.21 * height),
                (x, low - 0.16 * height),
                (x + 0.45 * half * height, low - 0.21 * height),
                (x, low - 0.38 * height),
            )
        )
    return found


def meadow(rng: np.random.Generator, look: int) -> Shapes:
    """Green hills below a sky, flowers in front; none is yellow, as the held-out sunflower is."""
    air, grass = (
        ("#c9e0ec", "#a9c98f"),
        ("#dbe6ea", "#9dbf8e"),
        ("#efe1cf", "#b4c288"),
        ("#cfe2f0", "#b3d08c"),
    )[look % 4]
    found = sky(air, 0.52)
    for x in spread(rng, 2, -0.1, 1.1):
        found.append(disc(shade(grass, 8), x, 1.0, 0.6, 0.5 + 0.05 * rng.random()))
    found += [
        band(shade(grass, 8), 0.6),
        disc(grass, between(rng, 0.0, 0.4), 1.1, 0.9, 0.5),
        disc(shade(grass, -9), between(rng, 0.6, 1.0), 1.14, 0.8, 0.42),
    ]
    if look % 3 != 1:
        found += tree(at_side(rng, 0.1, 0.2), 0.66, 0.36, shade(grass, -36), "#a58a6c")
    colours = ("#f3ead8", "#e7c9c4", "#e3b3bf", "#cbb6dc")
    for number, x in enumerate(spread(rng, 12)):
        y = between(rng, 0.78, 0.97)
        petal = colours[(number + look) % 4]
        found += [
            block(shade(grass, -34), x - 0.004, y, x + 0.004, y + 0.05),
            disc(petal, x, y, 0.02),
        ]
    return found


def farm(rng: np.random.Generator, look: int) -> Shapes:
    """A field whose furrows run to the horizon, and a barn."""
    air, field = (
        ("#cde1ea", "#d9c688"),
        ("#eadfce", "#c9b083"),
        ("#d6e4e6", "#b5c587"),
        ("#e2e2e6", "#dccb96"),
    )[look % 4]
    found = sky(air, 0.46)
    found += [disc("#a9bd96", x, 0.5, 0.3, 0.1) for x in spread(rng, 3, -0.1, 1.1)]
    found.append(band(field, 0.46))
    goal = between(rng, 0.35, 0.65)
    for furrow in range(-4, 5):
        low = 0.5 + 0.32 * furrow + (goal - 0.5)
        top = goal + 0.075 * furrow
        found.append(
            polygon(
                shade(field, -20),
                (top - 0.012, 0.46),
                (top + 0.012, 0.46),
                (low + 0.07, 1.01),
                (low - 0.07, 1.01),
            )
        )
    return found + _barn(at_side(rng, 0.16, 0.24), 0.52, look)


def _barn(x: float, foot: float, look: int) -> Shapes:
    wall = ("#b8796c", "#c08a70", "#a97770")[look % 3]
    return [
        block(wall, x - 0.13, foot - 0.2, x + 0.13, foot),
        polygon(
            shade(wall, -30),
            (x - 0.16, foot - 0.19),
            (x - 0.1, foot - 0.29),
            (x, foot - 0.34),
            (x + 0.1, foot - 0.29),
            (x + 0.16, foot - 0.19),
        ),
        block("#ecdfd0", x - 0.05, foot - 0.13, x + 0.05, foot),
        polygon(wall, (x - 0.04, foot - 0.12), (x + 0.04, foot - 0.12), (x, foot - 0.07)),
        polygon(wall, (x - 0.04, foot - 0.01), (x + 0.04, foot - 0.01), (x, foot - 0.06)),
    ]


def forest(rng: np.random.Generator, look: int) -> Shapes:
    """Trunks one behind another under leaves, on a floor of moss."""
    leaf, trunk = (
        ("#a7c096", "#9a8468"),
        ("#b3bf8c", "#93806a"),
        ("#9dbba0", "#8e8272"),
        ("#c6b184", "#967a62"),
    )[look % 4]
    found = [band(shade(leaf, 28), 0.0), band(shade(leaf, 22), 0.66)]
    for x in spread(rng, 6):
        found.append(block(shade(leaf, 8), x - 0.03, 0.0, x + 0.03, 0.7))
    found.append(disc(shade(leaf, 8), between(rng, 0.3, 0.7), 1.0, 1.0, 0.32))
    places = (*spread(rng, 2, 0.0, 0.34), *spread(rng, 2, 0.66, 1.0))
    for x in places:
        half, foot = between(rng, 0.035, 0.06), between(rng, 0.78, 0.9)
        found += [
            block(trunk, x - half, 0.0, x + half, foot),
            block(shade(trunk, 14), x - half, 0.0, x - half / 3, foot),
            polygon(
                trunk, (x - 2 * half, foot + 0.02), (x, foot - 0.1), (x + 2 * half, foot + 0.02)
            ),
        ]
    found += [
        disc(shade(leaf, -24 + 9 * (number % 2)), x, between(rng, -0.04, 0.06), 0.17, 0.15)
        for number, x in enumerate(spread(rng, 7, -0.05, 1.05))
    ]
    found += [disc(shade(leaf, -14), x, 1.02, 0.13, 0.1) for x in spread(rng, 5)]
    return found


def mountains(rng: np.random.Generator, look: int) -> Shapes:
    """Peaks with snow above a green foreland."""
    air, rock = (
        ("#cfe0ea", "#9fabb8"),
        ("#eadccf", "#a9a0ae"),
        ("#d9e2e6", "#93a7ac"),
        ("#dcd6e6", "#9b9cb8"),
    )[look % 4]
    found = sky(air, 0.6)
    for depth in range(2):
        colour = shade(rock, 24 - 24 * depth)
        for x in spread(rng, 3 - depth, -0.05, 1.05):
            top = (0.2, 0.26)[depth] + between(rng, 0, 0.16)
            found += _peak(x, top, between(rng, 0.34, 0.46), colour)
    return [
        *found,
        band("#a3b894", 0.72),
        disc("#a3b894", between(rng, 0.1, 0.4), 0.86, 0.6, 0.2),
        disc("#b2c59c", between(rng, 0.6, 0.9), 1.04, 0.8, 0.28),
        *(
            part
            for x in (*spread(rng, 2, 0.0, 0.2), *spread(rng, 2, 0.8, 1.0))
            for part in fir(x, between(rng, 0.84, 0.9), 0.2, "#7f9a80", "#8c7a66")
        ),
    ]


def _peak(x: float, top: float, half: float, colour: str) -> Shapes:
    """A triangle with a shaded side and a ragged cap."""
    foot, down, share = 0.8, 0.16, 0.16 / (0.8 - top)
    return [
        polygon(colour, (x - half, foot), (x, top), (x + half, foot)),
        polygon(shade(colour, -14), (x, top), (x + half, foot), (x + half / 4, foot)),
        polygon(
            "#f1f4f6",
            (x, top),
            (x + half * share, top + down),
            (x + half * share * 0.4, top + 0.7 * down),
            (x, top + 1.1 * down),
            (x - half * share * 0.4, top + 0.7 * down),
            (x - half * share, top + down),
        ),
    ]


def night_sky(rng: np.random.Generator, look: int) -> Shapes:
    """Stars, some of them bright, over dark hills."""
    air = ("#2c3a63", "#343663", "#283f5c", "#3a3458")[look % 4]
    found = [band(shade(air, 6 * one), 0.82 * one / 3) for one in range(3)]
    for number, across in enumerate(spread(rng, 36)):
        down, bright = between(rng, 0.03, 0.72), number % 5 == look % 5
        if bright:
            found += _bright_star(across, down, between(rng, 0.02, 0.034))
        else:
            found.append(disc(shade(air, 50), across, down, 0.011))
    return [
        *found,
        disc(shade(air, -16), between(rng, 0.0, 0.4), 1.1, 0.6, 0.3),
        disc(shade(air, -22), between(rng, 0.6, 1.0), 1.12, 0.7, 0.28),
        band(shade(air, -22), 0.94),
    ]


def _bright_star(x: float, y: float, reach: float) -> Shapes:
    """Four rays: a narrow lozenge upright and one across."""
    thin = 0.24 * reach
    return [
        polygon("#e4e2d4", (x, y - reach), (x + thin, y), (x, y + reach), (x - thin, y)),
        polygon("#e4e2d4", (x - reach, y), (x, y - thin), (x + reach, y), (x, y + thin)),
    ]
