"""Edits: whether the change that was asked for is there, and all else as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

from torch import Tensor
from torch.nn.functional import avg_pool2d

from instruct_imagen.data.example import Picture, Placement, Scene

from . import findings
from .findings import Finding, called, graded, worst
from .layout import ground
from .look import Look, area, gap, pixels_in
from .regions import grown, shrunken

CHANGED = 26.0
"""Mean difference of colours, of 255, from which a pixel is another."""

KEPT_LACK = (0.01, 0.05)
"""Share of the kept pixels that are others, for 1 and for 0.5."""

KEPT_MEAN = (9.0, 18.0)
"""Mean difference of the kept pixels, of 255, for 1 and for 0.5."""

REPAINTED = 2.0
"""Where no mask tells what to keep, so many times as much: models paint all of it again, a little
off everywhere."""

NEARER = (0.38, 0.5)
"""Distance to the target over that to target and source together, for 1 and for 0.5."""

_SMALLEST = 0.004  # share of the frame from which a change can be seen


def edits(source: Scene, target: Scene) -> tuple[list[Placement], list[Placement]]:
    """The assets that are gone, and those that have come."""
    before, after = Counter(source.placements), Counter(target.placements)
    return list((before - after).elements()), list((after - before).elements())


def kept(look: Look) -> tuple[Tensor, bool]:
    """Where the source has to stay, (S, S) bool, and whether a mask says so."""
    truth = look.truth
    for one in truth.example.references:
        if one.role == "mask":
            shown = truth.drawn_picture(cast(Picture, one.picture))[0] >= 128
            return ~grown(shown, truth.size // 32), True
    changed = (truth.pixels - truth.source_pixels).abs().amax(0) > 4
    where = ~grown(changed, max(truth.size // 32, 1))
    # Before another background, little but rims may be left of small things.
    return (where if area(where) >= _SMALLEST else ~changed), False


def source(look: Look) -> Finding:
    """The condition that all else stays: its pixels, and that things are still what they were."""
    things = [findings.identity(look, index) for index in _kept_things(look)]
    return worst([_kept_pixels(look), *things], "all else is as it was")


def _kept_things(look: Look) -> list[int]:
    """The assets of the target that the source has too, as far as they can be seen."""
    truth = look.truth
    before = Counter(truth.source.placements if truth.source is not None else ())
    found = []
    for index, asset in enumerate(truth.scene.placements):
        visible = truth.covers[index] & ~truth.covers[index + 1 :].any(0)
        if before[asset] and area(visible & truth.seen) >= _SMALLEST:
            found.append(index)
    return found


def _kept_pixels(look: Look) -> Finding:
    """Whether the pixels that have to stay did."""
    where, masked = kept(look)
    if area(where) < _SMALLEST:
        return Finding(value=1.0, reason="nothing has to stay")
    off = (look.image - look.truth.pixels).abs().mean(0)
    smooth = avg_pool2d(off[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    others = (off > CHANGED) & (smooth > CHANGED / 2) & where
    if not masked:  # rims of what is painted again are no change
        others = grown(shrunken(others)) & where
    share = float(others.sum()) / float(where.sum())
    # A small thing that has changed is as wrong in a large picture that is kept as in a small one.
    share = max(share, float(others.float().mean()))
    mean = float(off[where].mean())
    slack = 1.0 if masked else REPAINTED
    value = min(
        graded(share, KEPT_LACK),
        graded(mean, (slack * KEPT_MEAN[0], slack * KEPT_MEAN[1])),
    )
    outside = "outside the mask" if masked else "of what has to stay"
    reason = f"{share:.1%} of the pixels {outside} have changed, by {mean:.1f} of 255 on average"
    measures = {"changed share": share, "changed by": mean}
    return Finding(value=value, reason=reason, measures=measures)


def edit(look: Look) -> Finding:
    """The condition that the change is there."""
    truth = look.truth
    before = truth.source if truth.source is not None else truth.scene
    old, new = edits(before, truth.scene)
    if before.background != truth.scene.background:
        return ground(look, truth.scene.background, exact=False)
    if not old and not new:
        return Finding(value=1.0, reason="no change is asked for")
    shown = any(one.role == "subject" for one in truth.example.references)
    if old and new and old[0].concept == new[0].concept and old[0].style == new[0].style:
        if old[0].tint != new[0].tint:
            return worst(_as_named(look, new[0]), f"{called(new[0])} has its new colour")
        return _moved(look, old[0], new[0])
    parts = []
    if new and not shown:
        parts += _as_named(look, new[0])
    elif new:
        parts.append(_something(look, new[0]))
    if old:
        gone = f"{called(old[0])} is gone"
        parts.append(_nearer(look, _mask(look, old[0]), gone, loose=bool(new)))
    if new and not old and not parts[0].value:
        parts.append(_nearer(look, _mask(look, new[0]), f"{called(new[0])} has come"))
    return worst(parts, "the change is there")


def _mask(look: Look, asset: Placement) -> Tensor:
    return look.truth.covered(replace(look.truth.scene, placements=(asset,)))[0]


def _nearer(look: Look, where: Tensor, what: str, *, loose: bool = False) -> Finding:
    """Whether a part of the image is nearer to the target than to the source."""
    truth = look.truth
    where = where & ((truth.pixels - truth.source_pixels).abs().mean(0) > 12)
    if area(where) < _SMALLEST:
        return Finding(value=1.0, reason=f"{what}: it is too small a change to be seen")
    to_target = gap(look.image, truth.pixels, where)
    to_source = gap(look.image, truth.source_pixels, where)
    lack = to_target / max(to_target + to_source, 1e-6)
    value = graded(lack, (0.6, 0.7) if loose else NEARER)
    reason = f"{what}: {'so it is' if value == 1 else 'not so'}"
    return Finding(value=value, reason=reason, measures={f"{what}: lack": lack})


def _as_named(look: Look, new: Placement) -> list[Finding]:
    """What has come: that it is what the words say, in the colour and tilt that they say."""
    index = look.truth.scene.placements.index(new)
    found = [findings.identity(look, index)]
    if new.tint:
        found.append(findings.tint(look, index))
    if new.turn:
        found.append(findings.turn(look, index))
    return found


def _moved(look: Look, old: Placement, new: Placement) -> Finding:
    """Of what has moved, or is mirrored."""
    came, left = _mask(look, new), _mask(look, old)
    name = called(new)
    still = findings.identity(look, look.truth.scene.placements.index(new))
    if (old.x, old.y) == (new.x, new.y):
        turned = _nearer(look, came | left, f"{name} is mirrored")
        return worst([still, turned], f"{name} is mirrored")
    return worst(
        [
            still,
            _nearer(look, came & ~left, f"{name} is at its new place"),
            _nearer(look, left & ~came, f"{name} has left its old place"),
        ],
        f"{name} has moved",
    )


def _something(look: Look, new: Placement) -> Finding:
    """Whether anything stands out where the new thing belongs; what it is, others judge."""
    index = look.truth.scene.placements.index(new)
    x, y, side = look.sightings[index].square
    # What the source has there already has not come.
    source = look.truth.source_pixels
    come = look.mask & ((look.image - source).abs().mean(0) > CHANGED)
    shown = come & pixels_in((x, y, side), look.truth.size)
    wanted = _mask(look, new)
    differs = wanted & look.truth.seen & ((look.truth.pixels - source).abs().mean(0) > CHANGED)
    wanted = differs if differs.any() else wanted
    share = float((come & wanted).sum()) / max(float(wanted.sum()), 1.0)
    fill = float(shown.sum()) / max(float(wanted.sum()), 1.0)
    lack = 1 - max(share, min(fill, 1.0))
    value = graded(lack, (0.4, 0.65))
    reason = "something has come where it belongs" if value == 1 else "little or nothing has come"
    return Finding(value=value, reason=reason, measures={"new thing lack": lack})
