"""Edits of scenes: one change each, and the draws of the tasks of editing.

An edit is a pair of scenes that are equal but for one thing. Each kind has a small pure function;
`edit_words` has the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from instruct_imagen.data.example import (
    Background,
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.data.tasks.base import pick, pick_other, retry
from instruct_imagen.data.tasks.edit_words import edit_words
from instruct_imagen.data.world.nouns import is_colour_of
from instruct_imagen.data.world.relations import relations
from instruct_imagen.data.world.scenes import (
    can_be_tinted,
    caption,
    caption_name,
    definite,
    sample_assets,
    sample_background,
    sample_scene,
    takes_flip,
    tints_against,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

__all__ = [
    "Edit",
    "adding",
    "draw_edit",
    "draw_mirroring",
    "draw_moving",
    "draw_recolouring",
    "draw_tinting",
    "edit_example",
    "edit_words",
    "mirroring",
    "moving",
    "recolouring",
    "removing",
    "replacing",
    "tinting",
]

SOURCE_WORDS = (
    "source image",
    "image",
    "picture",
    "photo",
    "picture to edit",
    "original",
    "input image",
)

REPLACE, ADD = 0.5, 0.25
"""Shares of the kinds of edits of `draw_edit`; the rest removes."""

EditKind = Literal["background", "add", "remove", "replace", "tint", "move", "mirror"]

_FAR = 0.22  # of the frame: a moved asset goes at least so far
_MARGIN = 0.02
_EDGES = ("to the left", "to the right", "to the top", "to the bottom")
_TOLD = 0.7
_CROWDED = 0.15  # share of a moved asset's square that may lie over the square of another


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A scene before and after one change: of an asset, or of the background.

    Attributes:
        source: The scene before.
        target: The scene after; all that is not `old` or `new` is the same, in the same order.
        old: The asset that is gone; None if one was added.
        new: The asset that has come; None if one was removed. Without `old` and `new`, the
            background has changed.
        where: Where a moved asset goes, in words, e.g. ``"to the left of the taxi"``; empty for
            other edits.
    """

    source: Scene
    target: Scene
    old: Placement | None
    new: Placement | None
    where: str = ""

    @property
    def kind(self) -> EditKind:
        """What it does, told by what differs."""
        if self.old is None or self.new is None:
            return "add" if self.new else "remove" if self.old else "background"
        if self.old.concept != self.new.concept:
            return "replace"
        if self.old.tint != self.new.tint:
            return "tint"
        return "mirror" if self.old.flip != self.new.flip else "move"

    @property
    def changed(self) -> Scene:
        """The changed assets alone: outside of what they cover, source and target are equal.

        Not of use where the background has changed.
        """
        present = tuple(asset for asset in (self.old, self.new) if asset is not None)
        return replace(self.source, placements=present)

    @property
    def kept(self) -> tuple[Placement, ...]:
        """The assets of both scenes."""
        return tuple(asset for asset in self.source.placements if asset != self.old)


def replacing(scene: Scene, index: int, concept: str) -> Edit:
    """Asset `index` becomes `concept`, with style, place, scale and side of the old one.

    It is upright and in its own colours: what is not said is not there.
    """
    flip = scene.placements[index].flip and takes_flip(concept)
    return _changed(scene, index, concept=concept, flip=flip, turn=0, tint="")


def removing(scene: Scene, index: int) -> Edit:
    """Asset `index` goes."""
    after = (*scene.placements[:index], *scene.placements[index + 1 :])
    target = replace(scene, placements=after)
    return Edit(source=scene, target=target, old=scene.placements[index], new=None)


def adding(scene: Scene, index: int) -> Edit:
    """Asset `index` comes: `scene` is what there is then."""
    gone = removing(scene, index)
    return Edit(source=gone.target, target=scene, old=None, new=gone.old)


def mirroring(scene: Scene, index: int) -> Edit:
    """Asset `index` is mirrored left to right, at its place."""
    return _changed(scene, index, flip=not scene.placements[index].flip)


def tinting(scene: Scene, index: int, tint: str) -> Edit:
    """Asset `index` gets another colour: a name of the palette."""
    return _changed(scene, index, tint=tint)


def moving(scene: Scene, index: int, x: float, y: float, where: str) -> Edit:
    """Asset `index` goes to the centre (x, y), as far away as it was; `where` says it."""
    return replace(_changed(scene, index, x=x, y=y), where=where)


def _changed(scene: Scene, index: int, **changes: object) -> Edit:
    old = scene.placements[index]
    new = replace(old, **changes)
    after = (*scene.placements[:index], new, *scene.placements[index + 1 :])
    return Edit(source=scene, target=replace(scene, placements=after), old=old, new=new)


def recolouring(scene: Scene, background: Background) -> Edit:
    """The background becomes `background`."""
    return Edit(source=scene, target=replace(scene, background=background), old=None, new=None)


def draw_recolouring(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """A scene that gets another background, a place or colours, on which all can be seen."""
    scene = sample_scene(rng, vocabulary)
    styles = [asset.style for asset in scene.placements]
    tints = {asset.tint for asset in scene.placements} - {""}

    def draw() -> Background | None:
        found = sample_background(rng, styles, places=vocabulary.variety.places)
        # Another drawing of the same place could not be asked for in words.
        same = found == scene.background or (found.place and found.place == scene.background.place)
        return None if same or not tints <= set(tints_against(found)) else found

    return recolouring(scene, retry(draw, "other background"))


def draw_mirroring(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """A scene of which an asset is mirrored; the names of others differ. It stands upright.

    Its name says no side, which would be untrue then.
    """

    def draw() -> Edit | None:
        scene = sample_scene(rng, vocabulary)
        index = int(rng.random() * len(scene.placements))
        asset, edit = scene.placements[index], mirroring(scene, index)
        # Of a tilted one, the tilt would seem to have to be mirrored too.
        mirrored = takes_flip(asset.concept) and not asset.turn
        return edit if mirrored and _told_apart(edit) else None

    return retry(draw, "scene whose assets have different names")


def draw_tinting(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """A scene of which an asset gets another colour, one that can be told from the background."""

    def draw() -> Edit | None:
        scene = sample_scene(rng, vocabulary)
        index = int(rng.random() * len(scene.placements))
        asset = scene.placements[index]
        if not can_be_tinted(asset.concept, asset.style):
            return None
        tints = [
            tint
            for tint in tints_against(scene.background)
            if tint != asset.tint and is_colour_of(tint, asset.concept)
        ]
        edit = tinting(scene, index, pick(rng, tints)) if tints else None
        return edit if edit is not None and _told_apart(edit) else None

    return retry(draw, "drawing that takes on a colour")


def draw_moving(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """A scene of which an asset goes to a side of the frame, or to a side of another asset."""

    def draw() -> Edit | None:
        scene = sample_scene(rng, vocabulary)
        index = int(rng.random() * len(scene.placements))
        if _carries(scene, index):
            return None
        found = list(_goals(scene, index))
        # Places told from another asset are rarer, and say more.
        told = [goal for goal in found if goal[2] not in _EDGES]
        found = told if told and rng.random() < _TOLD else found
        edit = moving(scene, index, *pick(rng, found)) if found else None
        return edit if edit is not None and _told_apart(edit) else None

    return retry(draw, "scene with room to move an asset")


def _goals(scene: Scene, index: int) -> Iterator[tuple[float, float, str]]:
    """Where an asset can go: x, y, and the words for it."""
    asset, half = scene.placements[index], scene.placements[index].scale / 2
    near, far = half + _MARGIN, 1 - half - _MARGIN
    places = (near, asset.y), (far, asset.y), (asset.x, near), (asset.x, far)
    goals = [(x, y, where, None) for (x, y), where in zip(places, _EDGES, strict=True)]
    names = [other.concept for other in scene.placements]
    for number, other in enumerate(scene.placements):
        if number == index or names.count(other.concept) > 1:
            continue
        name, apart = definite(other.concept), half + other.scale / 2 + _MARGIN
        foot = other.y + other.scale / 2 - half
        goals += [
            (max(other.x - apart, near), foot, f"to the left of {name}", ("left", index, number)),
            (min(other.x + apart, far), foot, f"to the right of {name}", ("left", number, index)),
            (other.x, max(other.y - apart, near), f"above {name}", ("above", index, number)),
            (other.x, min(other.y + apart, far), f"below {name}", ("above", number, index)),
        ]
    for x, y, where, wanted in goals:
        inside = all(half - 1e-9 <= place <= 1 - half + 1e-9 for place in (x, y))
        if not inside or max(abs(x - asset.x), abs(y - asset.y)) < _FAR:
            continue
        after = replace(asset, x=x, y=y)
        others = [one for number, one in enumerate(scene.placements) if number != index]
        if any(_shared(after, other) > _CROWDED for other in others):
            continue
        if wanted is not None:
            # It is news: it was not so before.
            before = {(one.kind, one.first, one.second) for one in relations(scene)}
            moved = moving(scene, index, x, y, where).target
            now = {(one.kind, one.first, one.second) for one in relations(moved)}
            if wanted in before or wanted not in now:
                continue
        yield x, y, where


def _shared(one: Placement, other: Placement) -> float:
    """Share of the smaller square that the other square covers."""
    across, down = (
        max((one.scale + other.scale) / 2 - abs(a - b), 0.0)
        for a, b in ((one.x, other.x), (one.y, other.y))
    )
    smaller = min(one.scale, other.scale)
    return min(across, smaller) * min(down, smaller) / smaller**2


def _carries(scene: Scene, index: int) -> bool:
    """Whether something stands on this asset, and would be left in the air."""
    return any(one.kind == "on" and one.second == index for one in relations(scene))


def draw_edit(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """An edit of a scene of which an asset is replaced, or comes or goes.

    What stays in the picture has no name that could be mistaken for that of what changes, and
    nothing that stood on something is left in the air.
    """

    def draw() -> Edit | None:
        kind = rng.random()
        assets = sample_assets(rng, vocabulary)
        if len(assets) == 1 and kind >= REPLACE:
            concept, style = assets[0]
            second = pick_other(rng, vocabulary.concepts_of(style), concept)
            assets += [] if second is None else [(second, style)]
        scene = sample_scene(rng, vocabulary, assets=assets)
        index = int(rng.random() * len(scene.placements))
        if kind < REPLACE:
            concepts = vocabulary.concepts_of(scene.placements[index].style)
            found = pick_other(rng, concepts, *(asset.concept for asset in scene.placements))
            edit = None if found is None else replacing(scene, index, found)
            # Another drawing of the same square is not always as high.
            if edit is not None and _stands(edit.source) != _stands(edit.target):
                return None
        elif len(assets) < 2 or _carries(scene, index):
            return None
        else:
            edit = (adding if kind < REPLACE + ADD else removing)(scene, index)
        return edit if edit is not None and _told_apart(edit) else None

    return retry(draw, "edit with assets of one style")


def _stands(scene: Scene) -> list[tuple[int, int]]:
    return [(one.first, one.second) for one in relations(scene) if one.kind == "on"]


def _told_apart(edit: Edit) -> bool:
    """Whether no name of what changes is part of the name of what stays, or the other way."""
    names = [caption_name(asset.concept) for asset in edit.changed.placements]
    others = [caption_name(asset.concept) for asset in edit.kept]
    return not any(name in other or other in name for name in names for other in others)


def edit_example(
    rng: np.random.Generator,
    task: str,
    edit: Edit,
    text: str,
    *others: ExampleReference,
    source_marker: int = 1,
) -> Example:
    """The example of an edit.

    Args:
        rng: Source of randomness.
        task: Its name.
        edit: From the source, which is a reference, to the target.
        text: The instruction.
        *others: References besides the source.
        source_marker: Number of its marker.

    Returns:
        References in the order of their markers; the caption is silent about the style, which the
        references show.
    """
    source = ExampleReference(
        marker=source_marker,
        text=pick(rng, SOURCE_WORDS),
        role="source",
        picture=Picture(scene=edit.source),
    )
    return Example(
        task=task,
        text=text,
        caption=caption(edit.target, rng, with_style=False),
        references=tuple(sorted((source, *others), key=lambda one: one.marker)),
        target=Picture(scene=edit.target),
    )
