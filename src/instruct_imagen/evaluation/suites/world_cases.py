"""Examples of the starter world as cases: their conditions, their pictures, their ground truth."""

from __future__ import annotations

from typing import cast

import numpy as np

from instruct_imagen.data.example import Example, ExampleReference, Picture
from instruct_imagen.data.world.atlas import Atlas, Pair
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.evaluation.case import Case, Condition, ConditionKind
from instruct_imagen.evaluation.cases import to_instruction

NO_CAPTION = ("style_transfer",)
"""Tasks whose words ask for nothing but what the references show."""

NO_EDIT = ("no_op",)
"""Tasks of editing whose words ask for no change: all of the source stays."""


def conditions_of(example: Example) -> tuple[Condition, ...]:
    """What an image of an example must meet.

    References come in the order of their markers, then the words. The mask of an edit is no
    condition of its own: it says where the source has to stay.
    """
    kinds: dict[int, ConditionKind] = {}
    for reference in example.references:
        kinds.setdefault(reference.marker, _kind(reference))
    if "source" in kinds.values():
        kinds = {marker: kind for marker, kind in kinds.items() if kind != "mask"}
        words: ConditionKind | None = None if example.task in NO_EDIT else "edit"
    else:
        words = None if example.task in NO_CAPTION else "text"
    several = [kind for kind in kinds.values() if list(kinds.values()).count(kind) > 1]
    found = []
    for marker, kind in sorted(kinds.items()):
        number = 1 + sum(one.kind == kind for one in found)
        name = f"{kind} {number}" if kind in several else kind
        found.append(Condition(name=name, kind=kind, marker=marker))
    return (*found, Condition(name=words, kind=words)) if words else tuple(found)


def _kind(reference: ExampleReference) -> ConditionKind:
    """Of a reference; a content image without assets shows a background alone."""
    picture = reference.picture
    if reference.role == "content" and isinstance(picture, Picture):
        return "content" if picture.scene.placements else "background"
    return cast(ConditionKind, reference.role)


def pictures_of(example: Example) -> list[Picture]:
    """The references' pictures in their order, then the target."""
    pictures = [*(reference.picture for reference in example.references), example.target]
    return [cast(Picture, picture) for picture in pictures]


def sprites_of(example: Example) -> set[Pair]:
    """All that has to be in an atlas."""
    scenes = (picture.scene for picture in pictures_of(example))
    return {(asset.concept, asset.style) for scene in scenes for asset in scene.placements}


def world_case(
    example: Example, atlas: Atlas, size: int, *, id: str, group: str, seed: int, **more: str
) -> Case:
    """A case of an example.

    Args:
        example: Of the world, not stored.
        atlas: Has `sprites_of` the example.
        size: Side of its pictures in pixels.
        id: See `Case`.
        group: See `Case`.
        seed: See `Case`.
        more: ``unseen`` and ``pair`` of `Case`.
    """
    rendered = render_pictures(pictures_of(example), atlas, size)
    pixels = [np.ascontiguousarray(one.permute(1, 2, 0).numpy()) for one in rendered]
    *references, target = pixels
    return Case(
        id=id,
        group=group,
        instruction=to_instruction(example, references),
        prompt=example.caption,
        conditions=conditions_of(example),
        seed=seed,
        example=example,
        target=target,
        **more,
    )
