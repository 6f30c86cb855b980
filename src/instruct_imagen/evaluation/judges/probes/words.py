"""What words alone ask for: things that no reference shows, how many, how they stand, the rest."""

from __future__ import annotations

import torch

from instruct_imagen.data.example import Scene
from instruct_imagen.data.world.captions import RELATION_WORDINGS, groups
from instruct_imagen.data.world.palette import STYLE_NAMES
from instruct_imagen.data.world.relations import Relation, relations

from . import findings
from .crops import Square, asset_square
from .drawings import EXACT
from .findings import Finding, called, worst
from .layout import ground
from .look import Look, area, pixels_in
from .regions import filled, grown, pieces, shrunken

EXTRA = 0.025
"""Share of the frame from which something that is not asked for counts."""

SPECK = 0.012
"""The same where all that is asked for is there just as drawn."""

_UNSURE = 0.3  # of the frame that no background explains: then pieces are not counted
_SLACK = 0.03  # of the frame: how much the wrong way a relation may be


def text(look: Look) -> Finding:
    """The condition of the words."""
    example, scene = look.truth.example, look.truth.scene
    if not example.caption:
        return Finding(value=1.0, reason="the words ask for nothing that the references do not")
    found = []
    for index, owner in enumerate(look.truth.owners):
        sighting = look.sightings[index]
        asset = sighting.asset
        if owner is None:
            found.append(findings.identity(look, index))
            if asset.tint:
                found.append(findings.tint(look, index))
        if asset.turn:
            found.append(findings.turn(look, index))
        if findings.is_face(asset):
            found.append(findings.expression(look, index))
        elif "style" not in look.kinds and STYLE_NAMES.get(asset.style, "-") in example.caption:
            found.append(findings.style(look, index))
    claims = told_relations(scene, example.caption)
    found += [_stands(look, one, wording) for one, wording in claims]
    found.append(count(look))
    if not look.kinds & {"background", "content"}:
        found.append(ground(look, scene.background, exact=False))
    return worst(found, "all that the words ask for is there")


def told_relations(scene: Scene, words: str) -> list[tuple[Relation, str]]:
    """The relations that a caption tells, and the wordings that tell them."""
    single = {one.indices[0]: one.words for one in groups(scene) if len(one.indices) == 1}
    found = []
    for claim in relations(scene):
        if not {claim.first, claim.second} <= set(single):
            continue
        for wording in RELATION_WORDINGS[claim.kind]:
            said = wording.replace("{a}", single[claim.first])
            if said.replace("{b}", single[claim.second]) in words:
                found.append((claim, wording))
                break
    return found


def _stands(look: Look, claim: Relation, wording: str) -> Finding:
    """Whether two assets stand to each other as told."""
    first, second = (look.sightings[i] for i in (claim.first, claim.second))
    said = wording.replace("{a}", called(first.asset)).replace("{b}", called(second.asset))
    # What is where it should be is there, though a square around both may look more like it.
    one, other = (
        asset_square(found.asset) if found.difference <= EXACT else found.square
        for found in (first, second)
    )
    beside = wording in ("{a} next to {b}", "{b} beside {a}")
    lack = _lack(claim.kind, one, other, beside=beside)
    value = 1.0 if lack <= _SLACK else 0.5 if lack <= 3 * _SLACK else 0.0
    reason = f"{said}: {'so it is' if value == 1 else 'not so'}"
    return Finding(value=value, reason=reason, measures={"relation lack": lack})


def _lack(kind: str, one: Square, other: Square, *, beside: bool) -> float:
    """How far two squares are from standing so, of the frame; 0 or less where they do."""
    across, down = other[0] - one[0], other[1] - one[1]
    if kind == "left" and beside:
        return abs(across) - (one[2] + other[2]) / 2 - 0.35
    if kind == "left":
        return -across
    if kind == "above":
        return -down
    if kind == "on":
        return max(-down, abs(across) - other[2] / 2)
    if kind == "behind":
        apart = max(abs(across), abs(down)) - (one[2] + other[2]) / 2
        return max(apart, one[1] + one[2] / 2 - other[1] - other[2] / 2 - 0.05)
    return other[2] - one[2]


def count(look: Look) -> Finding:
    """Whether there is nothing that is not asked for."""
    if float(look.ground.costs.min()) > _UNSURE:
        return Finding(value=1.0, reason="the background is not clear enough to count")
    size = look.truth.size
    known, exact = torch.zeros_like(look.mask), True
    for sighting, cover in zip(look.sightings, look.truth.covers, strict=True):
        x, y, side = sighting.square
        if sighting.difference <= findings.SAME:
            known |= grown(filled(cover), max(size // 32, 1))
            asset = sighting.asset
            known |= look.truth.seen & pixels_in((asset.x, asset.y, asset.scale), size)
        else:
            exact = False
            known |= pixels_in((x, y, side * 1.15 + 2 / size), size)
    rest = look.mask & ~known
    if not exact:
        rest = grown(shrunken(rest))  # without what is thin: rims of what is not quite the same
    extra = [one for one in pieces(rest) if area(one) >= (SPECK if exact else EXTRA)]
    measures = {"extra pieces": float(len(extra))}
    if extra:
        reason = "there is something that nothing asks for"
        return Finding(value=0.5, reason=reason, measures=measures)
    return Finding(value=1.0, reason="there is nothing else", measures=measures)
