"""Where the assets of a scene stand: one to four of them, with a relation that is planned.

All stay inside the frame. What a layout plans is found again by `data.world.relations`, mostly; a
caption only says what that finds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .chance import between
from .measures import UNKNOWN, measure
from .palette import DARK_INK_STYLES
from .vocabulary import Pair

ONE_SCALES = (0.6, 0.92)
TWO_SCALES = (0.42, 0.54)
_ALIKE_SCALES = (0.4, 0.47)
_ROW_SCALES = (0.27, 0.33)
_GRID_SCALES = (0.36, 0.46)
_LARGE, _SMALL = (0.55, 0.62), (0.3, 0.36)
_UNDER, _UPPER = (0.5, 0.6), (0.3, 0.44)
_REAR, _FRONT = (0.52, 0.64), (0.42, 0.54)
_HIDDEN_WIDTH = (0.48, 0.66)  # of the narrower one's width
_ON_GROUND = 0.04  # of the frame: so far below its horizon a ground begins to carry
_SUNK = 0.012  # of the frame: so far a foot sinks into what it stands on


@dataclass(frozen=True)
class Spot:
    """The place of an asset.

    Attributes:
        index: Which of the given assets.
        x: Centre, as `Placement` has it.
        y: Centre.
        scale: Side of the square.
        upright: It must not be turned: how it stands to another depends on its outline.
    """

    index: int
    x: float
    y: float
    scale: float
    upright: bool = False

    @property
    def foot(self) -> float:
        """The lower side of the square."""
        return self.y + self.scale / 2


Layout = Callable[[np.random.Generator, Sequence[Pair]], "list[Spot] | None"]


def arrange(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """Places for one to four assets, from the farthest to the nearest."""
    if len(assets) == 1:
        scale = between(rng, *ONE_SCALES)
        room = 1.0 - scale
        x, y = 0.5 + room * (rng.random() - 0.5), 0.5 + room * (rng.random() - 0.5)
        return [Spot(0, x, y, scale)]
    layouts = (_ALIKE if len(set(assets)) == 1 else _DIFFERENT)[len(assets)]
    kind = rng.random()
    for share, layout in layouts:
        kind -= share
        if kind < 0:
            found = layout(rng, assets)
            if found is not None:
                return found
            break
    # What was drawn does not suit these drawings.
    return layouts[0][1](rng, assets) or []


def grounded(
    rng: np.random.Generator, spots: Sequence[Spot], assets: Sequence[Pair], ground: float
) -> list[Spot]:
    """The same, let down until they stand on the ground, as far as the frame allows.

    What is above, on or before another goes down with it.

    Args:
        rng: Source of randomness.
        spots: From the farthest to the nearest.
        assets: That they are of.
        ground: Height of the horizon, as `places.Place` has it.
    """
    columns: list[list[Spot]] = []
    for spot in sorted(spots, key=lambda spot: spot.x - spot.scale / 2):
        if columns and spot.x - spot.scale / 2 < max(s.x + s.scale / 2 for s in columns[-1]):
            columns[-1].append(spot)
        else:
            columns.append([spot])
    lowered = []
    for column in columns:
        lowest = between(rng, min(ground + _ON_GROUND, 1.0), 1.0)
        foot = max(s.y + s.scale / 2 * measure(*assets[s.index]).height for s in column)
        down = max(0.0, min(lowest - foot, 1.0 - max(s.foot for s in column)))
        lowered.append([replace(s, y=s.y + down) for s in spots if s in column])
    lowered.sort(key=lambda column: max(spot.foot for spot in column))
    return [spot for column in lowered for spot in column]


def by_foot(spots: list[Spot]) -> list[Spot]:
    """The lower one stands nearer, as on the ground, and is drawn last."""
    return sorted(spots, key=lambda spot: spot.foot)


def _order(rng: np.random.Generator, count: int) -> list[int]:
    """The numbers below `count`, shuffled."""
    left = list(range(count))
    return [left.pop(int(rng.random() * len(left))) for _ in range(count)]


def _beside(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """Side by side, in either order, hardly overlapping."""
    return _two_beside(rng, between(rng, *TWO_SCALES), between(rng, *TWO_SCALES))


def _alike(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """Side by side and equally large."""
    scale = between(rng, *_ALIKE_SCALES)
    return _two_beside(rng, scale, scale)


def _bigger(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """Side by side, one much larger than the other."""
    return _two_beside(rng, between(rng, *_LARGE), between(rng, *_SMALL))


def _two_beside(rng: np.random.Generator, first: float, second: float) -> list[Spot]:
    left = first / 2 + 0.04 * rng.random()
    right = 1.0 - second / 2 - 0.04 * rng.random()
    if rng.random() < 0.5:
        left, right = 1.0 - left, 1.0 - right
    ys = [scale / 2 + (1.0 - scale) * rng.random() for scale in (first, second)]
    turned = rng.random() < 0.5
    return by_foot(
        [Spot(int(turned), left, ys[0], first), Spot(int(not turned), right, ys[1], second)]
    )


def _above(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """One over the other, about in a line."""
    scales = between(rng, 0.42, 0.5), between(rng, 0.42, 0.5)
    middle = between(rng, 0.3, 0.7)
    ys = scales[0] / 2 + 0.03 * rng.random(), 1.0 - scales[1] / 2 - 0.03 * rng.random()
    first = int(rng.random() * 2)
    return [
        Spot(index, middle + between(rng, -0.05, 0.05), y, scale)
        for index, y, scale in zip((first, 1 - first), ys, scales, strict=True)
    ]


def _on(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot] | None:
    """One stands on the other; None where neither can carry the other."""
    first = int(rng.random() * 2)
    for upper, lower in ((first, 1 - first), (1 - first, first)):
        stack = _stack(rng, assets, upper, lower, 1.0)
        if stack is not None:
            low, high = (spot.scale for spot in stack)
            x = between(rng, low / 2, 1.0 - low / 2)
            room = 1.0 - stack[0].foot
            top = stack[1].y - high / 2
            shift = between(rng, -min(top, 0.0), room) if top + room > 0 else 0.0
            return [Spot(s.index, x + s.x, s.y + shift, s.scale, upright=True) for s in stack]
    return None


def _stack(
    rng: np.random.Generator, assets: Sequence[Pair], upper: int, lower: int, size: float
) -> list[Spot] | None:
    """One on the other, the lower first, standing on the line y = `size`, round x = 0.

    Both are at most `size` high together.
    """
    above, below = measure(*assets[upper]), measure(*assets[lower])
    if not (above.stands and below.carries):
        return None
    low, high = size * between(rng, *_UNDER), size * between(rng, *_UPPER)
    needed = low / 2 * (1 + below.top) + high / 2 * (1 + above.height)
    if needed > size:
        low, high = low * size / needed, high * size / needed
    y = size - low / 2
    foot = y - low / 2 * below.top + _SUNK
    shift = between(rng, -0.05, 0.05) * low
    return [
        Spot(lower, 0.0, y, low, upright=True),
        Spot(upper, shift, foot - high / 2 * above.height, high, upright=True),
    ]


def _behind(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot] | None:
    """One covers a part of the other, which stands a little farther away.

    None for black ink, of which nobody could tell which shape is in front, and for drawings of
    which it is not known how far they reach.
    """
    if assets[0][1] in DARK_INK_STYLES:
        return None
    rear = int(rng.random() * 2)
    back, front = measure(*assets[rear]), measure(*assets[1 - rear])
    if UNKNOWN in (back, front):
        return None
    scales = between(rng, *_REAR), between(rng, *_FRONT)
    wide = scales[0] * back.width, scales[1] * front.width
    across = (wide[0] + wide[1]) / 2 - between(rng, *_HIDDEN_WIDTH) * min(wide)
    down = (scales[0] * back.height - scales[1] * front.height) / 2 + between(rng, 0.03, 0.1)
    # Squares, not drawings, stay inside: the tallest and the widest sum that there can be is less
    # than 1.
    offsets = [(0.0, 0.0), (across, down)]
    moved = []
    for axis in (0, 1):
        low = min(place[axis] - scale / 2 for place, scale in zip(offsets, scales, strict=True))
        high = max(place[axis] + scale / 2 for place, scale in zip(offsets, scales, strict=True))
        moved.append(-low + max(1.0 - (high - low), 0.0) * rng.random())
    mirrored = rng.random() < 0.5
    spots = []
    for index, (x, y), scale in zip((rear, 1 - rear), offsets, scales, strict=True):
        x = x + moved[0]
        x = 1.0 - x if mirrored else x
        spots.append(Spot(index, x, y + moved[1], scale, upright=True))
    return spots


def _row(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """Three side by side; those that are alike are equally large."""
    scales = _scales(rng, assets, _ROW_SCALES)
    line = rng.random()
    spots = []
    for index, place in zip(_order(rng, 3), (1 / 6, 0.5, 5 / 6), strict=True):
        scale = scales[index]
        spread = 0.3 if rng.random() < 0.5 else 0.08
        share = min(max(line + between(rng, -spread, spread), 0.0), 1.0)
        spots.append(Spot(index, place, scale / 2 + (1.0 - scale) * share, scale))
    return by_foot(spots)


def _grid(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot]:
    """Four in the quarters of the frame, or three with one in the middle of its half."""
    scales = _scales(rng, assets, _GRID_SCALES)
    places = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    if len(assets) == 3:
        places = [(0.5, 0.25), *places[2:]] if rng.random() < 0.5 else [*places[:2], (0.5, 0.75)]
    spots = []
    for index, (x, y) in zip(_order(rng, len(assets)), places, strict=True):
        room = 0.5 - scales[index]
        spots.append(
            Spot(
                index,
                x + room * (rng.random() - 0.5),
                y + room * (rng.random() - 0.5),
                scales[index],
            )
        )
    return by_foot(spots)


def _scales(
    rng: np.random.Generator, assets: Sequence[Pair], limits: tuple[float, float]
) -> list[float]:
    drawn = {pair: between(rng, *limits) for pair in dict.fromkeys(assets)}
    return [drawn[pair] for pair in assets]


def _stack_and_others(rng: np.random.Generator, assets: Sequence[Pair]) -> list[Spot] | None:
    """One on another in a half of the frame, the one or two others in the other half."""
    order = _order(rng, len(assets))
    if any(assets.count(assets[index]) > 1 for index in order[:2]):
        return None  # what is alike is equally large
    stack = _stack(rng, assets, order[0], order[1], 0.9)
    if stack is None:
        return None
    low = stack[0].scale
    shift = 0.1 * rng.random()
    middle = low / 2 + 0.02
    spots = [Spot(s.index, middle + s.x, s.y + shift, s.scale, upright=True) for s in stack]
    others = order[2:]
    room = 1.0 - low - 0.03
    scales = _scales(rng, [assets[index] for index in others], (0.34, 0.42))
    for number, (index, scale) in enumerate(zip(others, scales, strict=True)):
        scale = min(scale, room)
        part = 1.0 / len(others)
        y = part * number + scale / 2 + (part - scale) * rng.random()
        spots.append(Spot(index, 1.0 - scale / 2 - (room - scale) * rng.random(), y, scale))
    if rng.random() < 0.5:
        spots = [Spot(s.index, 1.0 - s.x, s.y, s.scale, s.upright) for s in spots]
    # What stands on something is drawn right after it.
    lower, upper, *rest = spots
    ordered = by_foot([lower, *rest])
    at = ordered.index(lower) + 1
    return [*ordered[:at], upper, *ordered[at:]]


_Shares = dict[int, tuple[tuple[float, Layout], ...]]
_DIFFERENT: _Shares = {
    2: ((0.4, _beside), (0.15, _above), (0.2, _on), (0.15, _behind), (0.1, _bigger)),
    3: ((0.35, _row), (0.35, _grid), (0.3, _stack_and_others)),
    4: ((0.7, _grid), (0.3, _stack_and_others)),
}
"""Layouts and their shares; the first replaces one that does not suit the drawings."""

_ALIKE: _Shares = {
    2: ((1.0, _alike),),
    3: ((0.6, _row), (0.4, _grid)),
    4: ((1.0, _grid),),
}
"""The same for assets that are all alike."""
