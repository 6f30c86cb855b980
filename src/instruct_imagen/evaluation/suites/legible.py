"""Whether a case can be judged: what is almost invisible or does not change tells nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from instruct_imagen.data.example import EDGE_KINDS, Example, Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.captions import groups
from instruct_imagen.data.world.render import covered, instance_masks, render_pictures
from instruct_imagen.data.world.scenes import caption_name
from instruct_imagen.evaluation.suites.world_cases import pictures_of

SIZE = 64
"""Pixels a side at which cases are looked at."""

MIN_VISIBLE = 0.4
"""Share of an asset that others leave to be seen."""

MIN_AREA = 0.015
"""Share of the picture that shows an asset: 15 pixels of 32 × 32."""

MIN_DISTINCT = 0.25
"""Share of what shows an asset that differs from the background behind it."""

MIN_CHANGED, COARSE = 0.03, 16
"""Share of the picture, at so many pixels a side, that an edit, another style or a tilt changes.

A drawing that is its own mirror image but for its texture changes nothing there, nor does a tilted
ball.
"""

MAX_LINES = 0.4
"""Share of a map of edges that is white, at `LINES_SIZE`: wide lines of a busy place fill it."""

LINES_SIZE = 32  # the starter's, where lines are widest

_LEVELS = 40  # of 255, in any channel: so far two colours are told apart


def fault(example: Example, atlas: Atlas) -> str:
    """Why an example cannot be judged: one of a few words, or nothing.

    Args:
        example: Of the world.
        atlas: Has its sprites.
    """
    pictures = [picture for picture in pictures_of(example) if picture.kind == "image"]
    for scene in dict.fromkeys(picture.scene for picture in pictures):
        found = _scene_fault(scene, atlas)
        if found:
            return found
    target = pictures[-1].scene
    if not _told_apart(target):
        return "names"
    upright = replace(target, placements=tuple(map(_upright, target.placements)))
    if upright != target and not _changes(Picture(scene=upright), pictures[-1], atlas):
        return "tilt"
    lines = [picture for picture in pictures_of(example) if picture.kind in EDGE_KINDS]
    if lines and _whiteness(lines, atlas) > MAX_LINES:
        return "crowded"
    before = [one.picture for one in example.references if one.role in ("source", "content")]
    if before and example.task != "no_op" and _is_redrawn(before[0], pictures[-1]):
        return "" if _changes(before[0], pictures[-1], atlas) else "no change"
    return ""


def _upright(asset: Placement) -> Placement:
    """As large as the turned one, which is made smaller to fit its square."""
    angle = math.radians(asset.turn)
    return replace(asset, turn=0, scale=asset.scale / (abs(math.sin(angle)) + abs(math.cos(angle))))


def _changes(before: Picture, after: Picture, atlas: Atlas) -> bool:
    """Whether two pictures differ by more than texture and outlines."""
    both = render_pictures([before, after], atlas, SIZE).float()
    first, second = torch.nn.functional.avg_pool2d(both, SIZE // COARSE)
    return bool(_differs(first, second).float().mean() >= MIN_CHANGED)


def _scene_fault(scene: Scene, atlas: Atlas) -> str:
    """Hidden, small or pale assets."""
    if not scene.placements:
        return ""
    masks, amodal = instance_masks(scene, atlas, SIZE), covered(scene, atlas, SIZE)
    seen, whole = masks.sum((1, 2)), amodal.sum((1, 2))
    if (seen < MIN_VISIBLE * whole).any():
        return "hidden"
    if (seen < MIN_AREA * SIZE**2).any():
        return "small"
    empty = Scene(background=scene.background, placements=())
    drawn, ground = render_pictures([Picture(scene=scene), Picture(scene=empty)], atlas, SIZE)
    distinct = (masks & _differs(drawn, ground)).sum((1, 2))
    return "pale" if (distinct < MIN_DISTINCT * seen).any() else ""


def _differs(first: Tensor, second: Tensor) -> Tensor:
    """(side, side) bool of two (3, side, side) pictures, values in [0, 255]."""
    return (first.float() - second.float()).abs().amax(0) > _LEVELS


def _whiteness(lines: list[Picture], atlas: Atlas) -> float:
    """The share of white of the whitest map."""
    maps = render_pictures(lines, atlas, LINES_SIZE)
    return float((maps[:, 0] > 127).float().mean((1, 2)).max())


def _is_redrawn(before: object, after: Picture) -> bool:
    """Whether a picture is of something, and not of the background of the other alone."""
    return isinstance(before, Picture) and bool(before.scene.placements) and bool(after.scene)


def _told_apart(scene: Scene) -> bool:
    """Whether each thing of a scene can be spoken of: no name is part of another's."""
    names = {caption_name(asset.concept) for asset in scene.placements}
    return len(groups(scene)) == 1 or not any(
        one != other and one in other for one in names for other in names
    )
