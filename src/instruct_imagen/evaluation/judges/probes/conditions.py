"""A condition of a case, judged: what each kind of them asks of an image."""

from __future__ import annotations

from instruct_imagen.evaluation.case import Condition
from instruct_imagen.evaluation.judges.base import Score

from . import changes, findings, words
from .findings import Finding, worst
from .layout import ground, layout, silhouette
from .look import Look


def judged(look: Look, condition: Condition) -> Score:
    """The score of a condition."""
    found = _found(look, condition)
    return Score(
        condition=condition.name,
        value=found.value,
        reason=found.reason,
        measures={key: round(value, 4) for key, value in found.measures.items()},
    )


def _found(look: Look, condition: Condition) -> Finding:
    kind = condition.kind
    if kind == "text":
        return words.text(look)
    if kind in ("subject", "face"):
        return subject(look, condition.marker)
    if kind == "style":
        return style(look)
    if kind in ("depth", "mask", "edge", "sketch"):
        return layout(look, kind, condition.marker)
    if kind == "content":
        return content(look)
    if kind == "background":
        return ground(look, look.truth.scene.background, exact=True)
    return changes.edit(look) if kind == "edit" else changes.source(look)


def subject(look: Look, marker: int | None) -> Finding:
    """That it is the very thing or person; its style is the style image's where there is one."""
    found = []
    for index, owner in enumerate(look.truth.owners):
        sighting = look.sightings[index]
        if owner != marker:
            continue
        if findings.is_face(sighting.asset):
            found.append(findings.person(look, index))
            continue
        found.append(findings.identity(look, index, very="style" not in look.kinds))
        if "style" not in look.kinds:
            found.append(findings.style(look, index))
            found.append(findings.tint(look, index))
    return worst(found, "it is what the reference shows")


def style(look: Look) -> Finding:
    """That everything is drawn so."""
    found = [findings.style(look, index) for index in range(len(look.sightings))]
    return worst(found, "everything is in the style")


def content(look: Look) -> Finding:
    """What is where, and before what; how it is drawn too, where no style image tells that."""
    found = [findings.identity(look, index) for index in range(len(look.sightings))]
    found += [
        findings.tint(look, index) for index, one in enumerate(look.sightings) if one.asset.tint
    ]
    if "style" not in look.kinds:
        found += [findings.style(look, index) for index in range(len(look.sightings))]
    found.append(silhouette(look, "content image"))
    found.append(words.count(look))
    found.append(ground(look, look.truth.scene.background, exact=True))
    return worst(found, "the same things are at the same places")
