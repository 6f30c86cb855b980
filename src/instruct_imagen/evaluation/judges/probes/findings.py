"""What a single asset in an image is like: its identity, style, colour and tilt, as findings.

Thresholds of assets are here, others in `words`, `layout` and `changes`; docs/judges.md says how
they were fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from instruct_imagen.data.example import Placement
from instruct_imagen.data.world.nouns import caption_name
from instruct_imagen.data.world.palette import STYLE_NAMES, TINTS, UNTINTED_STYLES
from instruct_imagen.data.world.relations import shrunk

from .drawings import distances, match
from .finder import FACE_STYLE, name_of
from .look import Look
from .sprites import concepts, people, people_named

SAME = 7.0
"""Mean difference of colours, of 255, up to which an asset at its place is the very drawing."""

RANKS = (5, 30)
"""So many other concepts of `AMONG` may be nearer for 1 and for 0.5."""

AMONG = 1_000

CLOSE, NEAR, FAR = 0.02, 0.12, 0.3
"""So much more alike may another concept be: for 1 whatever the rank, for 1 and for 0.5 at all."""

SHOWN = 0.3
"""Least share of a drawing that has to be there for 1."""

PLAIN, RIVAL_TIMES = 0.5, 1.5
"""Share of the very drawing from which it is told by its pixels, where it is so many times nearer
than that of the concept that the probes saw: some are eight pixels wide."""

STYLE_GAPS = (0.04, 0.14)
"""By how much another style may be more alike to the probes, for 1 and for 0.5."""

STYLE_TIMES = (1.1, 1.35)
"""How many times nearer another style's drawing may be, for 1 and for 0.5."""

MATCHED = 12.0
"""Mean difference of colours, of 255, up to which a drawing is just what is there."""

PEOPLE = 60
"""So many other people a face is told apart from."""

PEOPLE_RANKS = (1, 6)
FACE_FAR = (18.0, 30.0)
"""Mean difference of colours, of 255, from the nearest of a person's drawings, for 1 and for 0.5:
somebody's is the nearest to anything, be it no face at all."""

EXPRESSION_TIMES = (1.04, 1.12)
COLOUR_TIMES = (1.08, 1.3)
"""How many times nearer the drawing in another tint may be, for 1 and for 0.5."""

TURN_TIMES = (1.02, 1.15)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was checked.

    Attributes:
        value: 0, 0.5 or 1.
        reason: Why.
        measures: What was measured.
    """

    value: float
    reason: str
    measures: Mapping[str, float] = field(default_factory=dict)


def graded(lack: float, limits: tuple[float, float]) -> float:
    """1 up to the first limit, 0.5 up to the second, 0 above."""
    return 1.0 if lack <= limits[0] else 0.5 if lack <= limits[1] else 0.0


def worst(findings: Iterable[Finding], fine: str) -> Finding:
    """The finding of the lowest value, with all measures; `fine` is said where all are 1."""
    found = list(findings)
    measures = {key: value for one in found for key, value in one.measures.items()}
    low = min(found, key=lambda one: one.value, default=None)
    if low is None or low.value == 1:
        return Finding(value=1.0, reason=fine, measures=measures)
    return replace(low, measures=measures)


def called(asset: Placement) -> str:
    """Its name in reasons."""
    if asset.style.startswith(FACE_STYLE):
        return name_of(asset)
    return caption_name(asset.concept)


def is_face(asset: Placement) -> bool:
    """Whether it is a person of the sets of faces."""
    return asset.style.startswith(FACE_STYLE)


def identity(look: Look, index: int, *, very: bool = False) -> Finding:
    """Whether an asset's concept was found.

    Args:
        look: At the image.
        index: Of the asset.
        very: It has to be that drawing; else any style's of the concept.
    """
    sighting = look.sightings[index]
    name = called(sighting.asset)
    measures = {
        f"{name} rank": float(sighting.rank),
        f"{name} margin": sighting.margin,
        f"{name} difference": sighting.difference,
    }
    if sighting.difference <= SAME:
        return Finding(value=1.0, reason=f"{name} is there as drawn", measures=measures)
    value = (
        1.0
        if sighting.margin >= -CLOSE
        else graded(sighting.rank * AMONG / max(sighting.among, AMONG // 20), RANKS)
    )
    reason = f"{name} was found"
    if value < 1:
        said = "is only roughly like itself" if value else "was not found"
        other = caption_name(sighting.nearest)
        reason = f"{name} {said}: nearest is {other}, {sighting.rank} others are nearer"
    found = match(look, index)
    if found is not None:
        shown = found.shown[sighting.asset.style] if very else max(found.shown.values())
        measures[f"{name} shown"] = shown
        if value == 1 and shown < SHOWN:
            value = 0.5
            reason = f"{name} was found, but of its drawing only {max(shown, 0):.0%} is there"
        elif (
            value < 1 and found.shown[sighting.asset.style] >= PLAIN and _before_rival(look, index)
        ):
            value, reason = 1.0, f"the drawing of {name} is there"
    return Finding(value=value, reason=reason, measures=measures)


def _before_rival(look: Look, index: int) -> bool:
    """Whether an asset's drawing is nearer than that of the concept that the probes saw."""
    sighting = look.sightings[index]
    asset = sighting.asset
    if asset.style not in concepts(asset.style).get(sighting.nearest, ()):
        return False
    rivals = [
        replace(asset, concept=sighting.nearest, flip=flip, turn=turn)
        for flip in (False, True)
        for turn in sorted({0, asset.turn})
    ]
    away, _ = distances(look, index, [asset, *rivals], look.truth.size)
    return bool(RIVAL_TIMES * away[0] < away[1:].min())


def style(look: Look, index: int) -> Finding:
    """Whether an asset is drawn in its style."""
    sighting = look.sightings[index]
    asset = sighting.asset
    name, wanted = called(asset), asset.style
    seen = dict(sighting.styles)
    if wanted not in seen:
        return Finding(value=1.0, reason=f"nothing is known of the {told(wanted)}")
    if sighting.difference <= SAME:
        return Finding(value=1.0, reason=f"{name} is in the {told(wanted)}")
    other = _best_other(seen, wanted, largest=True)
    gap = seen[other] - seen[wanted]
    value, measures = graded(gap, STYLE_GAPS), {f"{name} style gap": gap}
    found = match(look, index)
    if found is not None and len(found.away) > 1 and sighting.rank <= RANKS[1]:
        nearest = _best_other(found.away, wanted, largest=False)
        times = (found.away[wanted] + 1) / (found.away[nearest] + 1)
        measures |= {f"{name} style times": times, f"{name} from its drawing": found.away[wanted]}
        drawing = graded(times, STYLE_TIMES)
        if min(found.away.values()) <= MATCHED:
            value, other = drawing, nearest
        else:
            # Both are unsure of what is blurred: 1 and 0 make 0.5, 1 and 0.5 make 1.
            value = {2.0: 1.0, 1.5: 1.0, 1.0: 0.5}.get(value + drawing, 0.0)
            other = nearest if drawing < 1 else other
    if value == 1:
        reason = f"{name} is in the {told(wanted)}"
    elif value:
        reason = f"{name} might as well be in the {told(other)} as in the {told(wanted)}"
    else:
        reason = f"{name} is in the {told(other)}, not in the {told(wanted)}"
    return Finding(value=value, reason=reason, measures=measures)


def _best_other(values: Mapping[str, float], wanted: str, *, largest: bool) -> str:
    others = [one for one in values if one != wanted]
    return (max if largest else min)(others, key=values.__getitem__)


def told(style: str) -> str:
    """A style in words."""
    return STYLE_NAMES.get(style, style)


def tint(look: Look, index: int) -> Finding:
    """Whether an asset has its colour: its tint, or its own colours where it has none."""
    sighting = look.sightings[index]
    asset, name = sighting.asset, called(sighting.asset)
    inky = not asset.tint and asset.style in UNTINTED_STYLES
    if sighting.difference <= SAME or inky:
        return Finding(value=1.0, reason=f"{name} has its colour")
    others = [one for one in ("", *TINTS) if one != asset.tint]
    candidates = [asset, *(replace(asset, tint=one) for one in others)]
    away, _ = distances(look, index, candidates, look.truth.size)
    nearest = others[int(away[1:].argmin())]
    times = float((away[0] + 1) / (away[1:].min() + 1))
    value = graded(times, COLOUR_TIMES)
    reason = f"{name} has its colour"
    if value < 1:
        reason = (
            f"{name} should be {asset.tint or 'in its own colours'}, and is more like "
            f"{nearest or 'its own colours'}"
        )
    return Finding(value=value, reason=reason, measures={f"{name} colour times": times})


def turn(look: Look, index: int) -> Finding:
    """Whether what should be tilted or upside-down is so; any tilt will do."""
    sighting = look.sightings[index]
    asset, name = sighting.asset, called(sighting.asset)
    word = "upside-down" if asset.turn == 180 else "tilted"
    if sighting.difference <= SAME:
        return Finding(value=1.0, reason=f"{name} is {word}")
    turns = (0, asset.turn) if asset.turn == 180 else (0, asset.turn, 30, 60, 300, 330)
    candidates = [replace(asset, turn=one, flip=flip) for one in turns for flip in (False, True)]
    # Upright, it is larger in the same square.
    smaller = asset.scale * shrunk(asset.turn)
    upright = [replace(asset, turn=0, flip=flip, scale=smaller) for flip in (False, True)]
    away, _ = distances(look, index, [*candidates, *upright], look.truth.size)
    count = len(candidates)
    times = float((away[2:count].min() + 1) / (min(away[:2].min(), away[count:].min()) + 1))
    value = graded(times, TURN_TIMES)
    reason = f"{name} is {word}" if value == 1 else f"{name} is rather upright than {word}"
    return Finding(value=value, reason=reason, measures={f"{name} turn times": times})


def person(look: Look, index: int) -> Finding:
    """Whether a face is that person's, with whatever expression."""
    sighting = look.sightings[index]
    asset, own = sighting.asset, name_of(sighting.asset)
    shown = people(asset.style, PEOPLE)
    mine = people_named(asset.style, own)
    wanted = asset.concept.removeprefix(f"{own}-")
    others = [face for face in shown if face.person != own and face.expression == wanted]
    candidates = [replace(asset, concept=face.pair[0]) for face in (*mine, *others)]
    size = min(look.truth.size, 32)
    away, _ = distances(look, index, candidates, size)
    best = float(away[: len(mine)].min())
    rank = int((away[len(mine) :] < best).sum())
    measures = {f"{own} rank": float(rank), f"{own} from drawing": best}
    value = min(graded(rank, PEOPLE_RANKS), graded(best, FACE_FAR))
    nearest = others[int(away[len(mine) :].argmin())].person if others else own
    if value == 1:
        reason = f"the face is that of {own}"
    elif value == graded(rank, PEOPLE_RANKS):
        reason = f"the face is rather that of {nearest} than of {own}: {rank} others are nearer"
    else:
        reason = f"what is there is {best:.0f} of 255 away from the face of {own}"
    return Finding(value=value, reason=reason, measures=measures)


def expression(look: Look, index: int) -> Finding:
    """Whether a face has its expression."""
    sighting = look.sightings[index]
    asset, own = sighting.asset, name_of(sighting.asset)
    wanted = asset.concept.removeprefix(f"{own}-")
    mine = people_named(asset.style, own)
    candidates = [replace(asset, concept=face.pair[0]) for face in mine]
    away, _ = distances(look, index, candidates, look.truth.size)
    found = {face.expression: float(one) for face, one in zip(mine, away, strict=True)}
    nearest = min(found, key=found.__getitem__)
    times = (found[wanted] + 0.2) / (found[nearest] + 0.2)
    value = graded(times, EXPRESSION_TIMES)
    said = wanted if value == 1 else f"rather {nearest} than {wanted}"
    reason = f"the face is {said}"
    return Finding(value=value, reason=reason, measures={"expression times": times})
