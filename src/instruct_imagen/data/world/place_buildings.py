"""Places that people built, each drawn by one function, in the manner of `place_landscapes`.

Of what is held out as a concept, a street has no houses, a room no framed picture and a table no
plate.
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
    polygon,
    shade,
    sky,
    spread,
    tree,
)

_WALLS = ("#d9cdbd", "#c6d2d4", "#d3c6cf", "#cfd4bd", "#e0d2c0", "#c9cbd8")


def street(rng: np.random.Generator, look: int) -> Shapes:
    """A road that runs away from us between buildings with flat roofs and shops below."""
    air = ("#cfe1ea", "#ebdfd2", "#d9e2e4", "#dcdae6")[look % 4]
    found = sky(air, 0.55)
    x, number = -0.04, look
    while x < 1.0:
        width = between(rng, 0.17, 0.26)
        middle = abs(x + width / 2 - 0.5)
        top = 0.42 - 0.5 * middle - between(rng, 0.0, 0.06)
        found += _building(x, top, x + width, 0.62, number)
        x, number = x + width, number + 1
    found += [
        band("#c9c4bb", 0.6),
        polygon("#a9a8a8", (0.4, 0.6), (0.6, 0.6), (1.1, 1.01), (-0.1, 1.01)),
    ]
    for top, low in ((0.63, 0.68), (0.73, 0.82), (0.89, 1.01)):
        half = 0.02 * (top - 0.5) / 0.2
        found.append(
            polygon(
                "#dedad2",
                (0.5 - half, top),
                (0.5 + half, top),
                (0.5 + 1.4 * half, low),
                (0.5 - 1.4 * half, low),
            )
        )
    return found + tree(at_side(rng, 0.06, 0.12), 0.74, 0.3, "#9db38c", "#9a8670")


def _building(left: float, top: float, right: float, foot: float, number: int) -> Shapes:
    wall = ("#cfb09a", "#d8c8a2", "#b3bdb2", "#c4a3a0", "#b1b9c6")[number % 5]
    dark, width = shade(wall, -38), right - left
    top -= 0.1 * (number % 2)
    found = [block(wall, left, top, right, foot), block(dark, left, top - 0.025, right, top)]
    y = top + 0.035
    while y + 0.2 < foot:
        for column in (0.12, 0.42, 0.72):
            x = left + column * width
            found.append(block(shade(wall, 26), x, y, x + 0.16 * width, y + 0.055))
        y += 0.09
    # A shop: a wide pane under an awning.
    awning, rim = ("#c98f80", "#8fa6b8", "#a3b38c")[number % 3], foot - 0.1
    return [
        *found,
        block("#94a6b0", left + 0.1 * width, rim, right - 0.1 * width, foot),
        block(awning, left + 0.05 * width, rim - 0.04, right - 0.05 * width, rim),
    ]


def city(rng: np.random.Generator, look: int) -> Shapes:
    """Towers with lit windows under a dark sky."""
    air = ("#2f3654", "#38324f", "#2a3d50", "#40384f")[look % 4]
    found = [band(shade(air, 9 * one), 0.25 * one) for one in range(4)]
    for depth in range(2):
        colour, count = shade(air, (4, -14)[depth]), (7, 5)[depth]
        for number in range(count):
            left, right = number / count, (number + 1) / count
            wall = shade(colour, 7 * (number % 2))
            centre = abs((left + right) / 2 - 0.5)
            top = (0.42, 0.62)[depth] - 0.5 * centre + between(rng, -0.08, 0.08)
            found.append(block(wall, left, top, right, 1.0))
            if rng.random() < 0.3:
                middle = (left + right) / 2
                found.append(block(wall, middle - 0.008, top - 0.08, middle + 0.008, top))
            found += _windows(rng, left, top, right, depth)
    return [*found, band(shade(air, -20), 0.9), band("#5c5868", 0.945, 0.96)]


def _windows(rng: np.random.Generator, left: float, top: float, right: float, depth: int) -> Shapes:
    """Some lit, in a grid; the farther tower's are dimmer."""
    found, width = [], right - left
    colour = ("#77705f", "#b39f72")[depth]
    y = top + 0.04
    while y < 0.84:
        for column in (0.16, 0.44, 0.72):
            if rng.random() < 0.34:
                x = left + column * width
                found.append(block(colour, x, y, x + 0.14 * width, y + 0.035))
        y += 0.085
    return found


def stage(rng: np.random.Generator, look: int) -> Shapes:
    """A curtain at both sides and above, a floor of boards and a light from above."""
    cloth, back = (
        ("#8a4048", "#40364a"),
        ("#7c3a58", "#383a50"),
        ("#45588a", "#3a3446"),
        ("#6c4480", "#34384c"),
    )[look % 4]
    floor, middle = ("#75594a", "#6b5348", "#7a6450")[look % 3], between(rng, 0.38, 0.62)
    found = [
        band(back, 0.0),
        band(floor, 0.74),
        *(band(shade(floor, -9), y, y + 0.012) for y in (0.79, 0.85, 0.92)),
        polygon(
            shade(back, 20),
            (middle - 0.06, 0.0),
            (middle + 0.06, 0.0),
            (middle + 0.34, 0.8),
            (middle - 0.34, 0.8),
        ),
        disc(shade(floor, 26), middle, 0.84, 0.36, 0.08),
    ]
    wide = between(rng, 0.16, 0.21)
    for fold in range(4):
        colour = shade(cloth, (0, 14)[fold % 2])
        for left in (wide * fold / 4, 1 - wide * (fold + 1) / 4):
            found.append(block(colour, left, 0.0, left + wide / 4, 0.9 + 0.012 * (fold % 2)))
    count = 4 + look % 3
    for swag in range(count):
        x = (swag + 0.5) / count
        found += [
            disc("#c0a468", x, 0.07, 0.56 / count, 0.11),
            disc(shade(cloth, (8, -4)[swag % 2]), x, 0.05, 0.56 / count, 0.11),
        ]
    return [*found, band(shade(cloth, -8), 0.0, 0.05)]


def _window(x: float, y: float, half: float, air: str, frame: str) -> Shapes:
    """A window with a cross, through which the sky is seen."""
    inner, bar = 0.86 * half, 0.07 * half
    return [
        block(frame, x - half, y - half, x + half, y + half),
        block(air, x - inner, y - inner, x + inner, y + inner),
        block(frame, x - bar, y - inner, x + bar, y + inner),
        block(frame, x - inner, y - bar, x + inner, y + bar),
    ]


def room(rng: np.random.Generator, look: int) -> Shapes:
    """A wall with a window and a shelf, a floor with a rug, a lamp or a plant."""
    wall = _WALLS[look % 6]
    floor = ("#b7977a", "#c0a284", "#a78c78")[(look + look // 6) % 3]
    rug = ("#aca18c", "#b5999a", "#a39a9c")[(look + look // 3) % 3]
    x = at_side(rng, 0.2, 0.26)
    found = [
        band(wall, 0.0),
        band(shade(wall, 20), 0.67),
        band(floor, 0.7),
        *(band(shade(floor, -10), y, y + 0.008) for y in (0.76, 0.84, 0.93)),
        *_window(x, between(rng, 0.26, 0.33), between(rng, 0.14, 0.19), "#cfe2ea", "#f0ebe2"),
        disc(rug, between(rng, 0.36, 0.64), 0.87, between(rng, 0.3, 0.42), 0.09),
    ]
    other, board = 1 - x, between(rng, 0.26, 0.36)
    edge = 0.09 if other < 0.5 else 0.91
    found += _shelf(other, board, 0.13, look)
    return [*found, *(_plant if look % 2 else _lamp)(edge, 0.82)]


def _shelf(x: float, board: float, half: float, look: int) -> Shapes:
    """A board on the wall with a box, a vase and a bowl."""
    box, vase, bowl = (
        ("#b9c9c0", "#c4a08a", "#e2d6c2"),
        ("#cdb6c0", "#a9b79c", "#ded2b8"),
        ("#d9c5a4", "#a6b0bc", "#cdb2a0"),
    )[look % 3]
    left, right = x - 0.55 * half, x + 0.55 * half
    return [
        block("#a58b72", x - half, board, x + half, board + 0.025),
        block(box, left - 0.035, board - 0.07, left + 0.035, board),
        disc(vase, x, board - 0.035, 0.026, 0.04),
        block(vase, x - 0.011, board - 0.12, x + 0.011, board - 0.04),
        polygon(
            bowl,
            (right - 0.045, board - 0.05),
            (right + 0.045, board - 0.05),
            (right + 0.02, board),
            (right - 0.02, board),
        ),
    ]


def _lamp(x: float, foot: float) -> Shapes:
    return [
        block("#8c7c70", x - 0.01, foot - 0.36, x + 0.01, foot),
        disc("#8c7c70", x, foot, 0.06, 0.015),
        polygon(
            "#efe0b8",
            (x - 0.08, foot - 0.32),
            (x + 0.08, foot - 0.32),
            (x + 0.05, foot - 0.45),
            (x - 0.05, foot - 0.45),
        ),
    ]


def _plant(x: float, foot: float) -> Shapes:
    leaves = [
        disc("#8ba582", x + across, foot - up, 0.035, 0.1)
        for across, up in ((-0.05, 0.22), (0.05, 0.22), (0.0, 0.28))
    ]
    pot = polygon(
        "#b98a70",
        (x - 0.07, foot - 0.14),
        (x + 0.07, foot - 0.14),
        (x + 0.05, foot),
        (x - 0.05, foot),
    )
    return [*leaves, pot]


def table(rng: np.random.Generator, look: int) -> Shapes:
    """The top of a table from its far edge to its near one, in a room."""
    wall = _WALLS[(look + 2) % 6]
    wood = ("#b98f68", "#a88464", "#c4a078", "#9c7c66")[(look + look // 6) % 4]
    x = at_side(rng, 0.2, 0.28)
    found = [band(wall, 0.0), band(shade(wall, -14), 0.36)]
    if look % 2:
        found += _window(x, 0.17, 0.14, "#cfe2ea", "#f0ebe2")
    else:
        found += _shelf(x, 0.22, 0.15, look)
    top = [(0.08, 0.5), (0.92, 0.5), (1.06, 0.88), (-0.06, 0.88)]
    front = [(-0.06, 0.88), (1.06, 0.88), (1.06, 0.95), (-0.06, 0.95)]
    found += [
        band(shade(wall, -42), 0.44),
        block(shade(wood, -40), 0.1, 0.9, 0.18, 1.0),
        block(shade(wood, -40), 0.82, 0.9, 0.9, 1.0),
        polygon(wood, *top),
        polygon(shade(wood, -30), *front),
    ]
    for share in (0.25, 0.5, 0.75):
        far, near = 0.08 + 0.84 * share, -0.06 + 1.12 * share
        found.append(
            polygon(
                shade(wood, -12),
                (far - 0.004, 0.5),
                (far + 0.004, 0.5),
                (near + 0.008, 0.88),
                (near - 0.008, 0.88),
            )
        )
    side, mat = 1 - x, ("#e6ddd0", "#cfd6cc", "#dcc9c4")[look % 3]
    return [
        *found,
        polygon(
            mat, (side - 0.1, 0.56), (side + 0.1, 0.56), (side + 0.13, 0.66), (side - 0.13, 0.66)
        ),
    ]


def kitchen(rng: np.random.Generator, look: int) -> Shapes:
    """Tiles, a shelf with jars above, and a counter below."""
    tile, wood = _WALLS[(look + 1) % 6], ("#b4967a", "#a98d78", "#c2a684")[(look + look // 6) % 3]
    found = [band(tile, 0.0)]
    found += [band(shade(tile, 14), y, y + 0.01) for y in (0.3, 0.44, 0.58)]
    found += [
        block(shade(tile, 14), x, y, x + 0.01, y + 0.14)
        for row, y in enumerate((0.3, 0.44, 0.58))
        for x in (0.14 * one + 0.07 * (row % 2) for one in range(8))
    ]
    found.append(band(wood, 0.2, 0.235))
    jars = (*spread(rng, 3, 0.0, 0.4), *spread(rng, 3, 0.6, 1.0))
    for number, x in enumerate(jars):
        colour = ("#c4a08a", "#a9b79c", "#e2d6c2", "#a6b0bc")[(number + look) % 4]
        high = between(rng, 0.08, 0.13)
        found += [
            block(colour, x - 0.045, 0.2 - high, x + 0.045, 0.2),
            block(shade(colour, -26), x - 0.03, 0.18 - high, x + 0.03, 0.2 - high),
        ]
    found += [band("#e6e0d6", 0.7), band(shade(wood, 6), 0.78), band(shade(wood, -24), 0.78, 0.8)]
    for left in (0.04, 0.36, 0.68):
        found += [
            block(shade(wood, 20), left, 0.83, left + 0.28, 1.0),
            block(shade(wood, -30), left + 0.1, 0.87, left + 0.18, 0.885),
        ]
    return found + _hob(at_side(rng, 0.14, 0.2))


def _hob(x: float) -> Shapes:
    """A pan on the counter."""
    return [
        block("#8f9499", x - 0.1, 0.6, x + 0.1, 0.72),
        disc("#a4a9ad", x, 0.6, 0.1, 0.02),
        block("#8f9499", x - 0.16, 0.62, x + 0.16, 0.645),
    ]
