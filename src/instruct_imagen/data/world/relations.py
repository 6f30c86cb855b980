"""How the assets of a scene stand to each other, told from their places alone, with clear margins.

No sprite is needed: how much of its square a drawing fills is known (`data.world.measures`), so a
caption can be written before anything is rendered. What is said holds of the pixels too. Checked on
rendered masks of 2,500 scenes at 64 pixels, of 24 concepts in ten styles, is what their captions
claim: centres of boxes lie as said; what is on another touches it to 2 pixels, ends in its upper
35% and is wholly seen; what is in front touches the other's mask to 1 pixel and is seen to 99%; the
longer side of what is bigger is 1.25 times the other's. Masks of what is behind and in front do
overlap in 95% of the cases: boxes overlap also where two slanting drawings do not quite touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from instruct_imagen.data.example import Placement, Scene

from .measures import UNKNOWN, measure

RelationKind = Literal["left", "above", "on", "behind", "bigger"]

APART = 0.35
"""Centres of two assets are farther apart than so much of both their sides: beside each other."""

BIGGER = 1.5
"""So many times the side of the other."""

HIDDEN = 0.14
"""Share of the rear asset's box that the box of the nearer one covers, from which it is behind."""

_TOUCHING = 0.035  # of the frame: how far a foot may be from what it stands on
# How much smaller a drawing gets that is turned by so many degrees and stays in its square.
_SHRUNK = {0: 1.0, 15: 0.816497, 30: 0.732051, 45: 0.707107, 60: 0.732051, 75: 0.816497}


@dataclass(frozen=True, kw_only=True)
class Relation:
    """That one asset stands so to another.

    Attributes:
        kind: The first is ``left`` of the second, ``above`` it, ``on`` top of it, ``behind`` it or
            ``bigger`` than it.
        first: Index of an asset in the scene.
        second: Index of another.
    """

    kind: RelationKind
    first: int
    second: int


@dataclass(frozen=True, kw_only=True)
class Box:
    """What a drawing fills, in fractions of the frame; it may reach out of it."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Of the frame; 0 where right or bottom is before left or top."""
        return max(self.right - self.left, 0.0) * max(self.bottom - self.top, 0.0)

    def common(self, other: Box) -> Box:
        """What both have."""
        return Box(
            left=max(self.left, other.left),
            top=max(self.top, other.top),
            right=min(self.right, other.right),
            bottom=min(self.bottom, other.bottom),
        )


def shrunk(turn: int) -> float:
    """Side of a turned drawing over that of its square."""
    return _SHRUNK[turn % 90]


def box_of(asset: Placement) -> Box:
    """The box around an asset's drawing, which is upright or upside-down."""
    known = measure(asset.concept, asset.style)
    wide, high = asset.scale / 2 * known.width, asset.scale / 2 * known.height
    return Box(left=asset.x - wide, top=asset.y - high, right=asset.x + wide, bottom=asset.y + high)


def relations(scene: Scene) -> tuple[Relation, ...]:
    """All relations that can be told, of every pair of assets, in the order of the scene.

    * ``left``: the centre is to the left by more than `APART` of both sides together.
    * ``above``: higher by as much, and neither left nor right of it.
    * ``on``: it stands with its foot on the middle of what lies under it, and is the smaller one.
    * ``behind``: drawn before the other, its foot higher, and partly covered: boxes share `HIDDEN`
      or more of its own. Not told of what is tilted or not in the table of measures, whose box is
      not known; nor is `on` of the latter.
    * ``bigger``: its side as drawn is at least `BIGGER` times that of the other's square.
    """
    assets = scene.placements
    if len(assets) == 1:
        return ()
    found = []
    for second in range(len(assets)):
        for first in range(second):
            pair = assets[first], assets[second]
            for kind, turned in _kinds(*pair):
                one, other = (second, first) if turned else (first, second)
                found.append(Relation(kind=kind, first=one, second=other))
    return tuple(found)


def _kinds(far: Placement, near: Placement) -> list[tuple[RelationKind, bool]]:
    """Relations of two assets, `near` drawn later; True where it is the first of the relation."""
    found: list[tuple[RelationKind, bool]] = []
    across, down = near.x - far.x, near.y - far.y
    apart = APART * (far.scale + near.scale)
    if abs(across) >= apart:
        found.append(("left", across < 0))
    elif stands_on(near, far):
        found.append(("on", True))
    elif abs(down) >= apart:
        found.append(("above", down < 0))
    tilted = far.turn % 180 or near.turn % 180
    known = UNKNOWN not in (measure(far.concept, far.style), measure(near.concept, near.style))
    if known and not tilted and (not found or found[0][0] == "left"):
        rear, front = box_of(far), box_of(near)
        if front.bottom > rear.bottom and front.common(rear).area >= HIDDEN * rear.area:
            found.append(("behind", False))
    # A tilted drawing is smaller than its square, by how much depends on its outline.
    if far.scale * shrunk(far.turn) >= BIGGER * near.scale:
        found.append(("bigger", False))
    if near.scale * shrunk(near.turn) >= BIGGER * far.scale:
        found.append(("bigger", True))
    return found


def stands_on(upper: Placement, lower: Placement) -> bool:
    """Whether the foot of one asset is on the upper side of another, near its middle."""
    if upper.turn or lower.turn or upper.scale > 0.95 * lower.scale:
        return False
    above, below = measure(upper.concept, upper.style), measure(lower.concept, lower.style)
    if not (above.stands and below.carries):
        return False
    foot = upper.y + upper.scale / 2 * above.height
    top = lower.y - lower.scale / 2 * below.top
    return abs(foot - top) <= _TOUCHING and abs(upper.x - lower.x) <= 0.1 * lower.scale
