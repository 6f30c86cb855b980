"""Edits of scenes and the words for them: what the tasks of editing have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Background, Placement, Scene
from instruct_imagen.data.tasks.base import fill, pick, pick_other, retry
from instruct_imagen.data.world.scenes import (
    article,
    caption_name,
    definite,
    sample_assets,
    sample_background,
    sample_scene,
    with_article,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

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
"""Shares of the kinds of edits; the rest removes."""

WITH_PLACE = 0.5
"""Share of edits of a scene with two assets that say a place too."""

_REPLACE = (
    "replace {old} with {new}",
    "change {old} into {new}",
    "turn {old} into {new}",
    "transform {old} into {new}",
    "swap {old} for {new}",
    "exchange {old} for {new}",
    "substitute {new} for {old}",
    "draw {new} instead of {old}",
    "put {new} in the place of {old}",
    "let {new} take the place of {old}",
)
_ADD = ("add {new}", "draw {new}", "insert {new}", "include {new}", "paint {new}", "put in {new}")
_ADD_SOMEWHERE = ("add", "draw", "insert", "paint", "put", "place")
_REMOVE = (
    "remove {old}",
    "erase {old}",
    "delete {old}",
    "take away {old}",
    "take out {old}",
    "clear away {old}",
    "get rid of {old}",
    "make {old} disappear",
    "paint the background over {old}",
)
_MIRROR = ("mirror {old}", "mirror {old} horizontally", "flip {old} horizontally")
_PLAIN = (
    "make the background {colour}",
    "paint the background {colour}",
    "turn the background {colour}",
    "change the background to {colour}",
    "change the colour of the background to {colour}",
    "put everything on {a} {colour} background",
    "use {a} {colour} background",
    "replace the background with {a} {colour} one",
)
_GRADIENT = (
    "put everything on a background from {first} to {second}",
    "use a background from {first} to {second}",
    "let the background run from {first} to {second}",
    "make the background go from {first} at the top to {second} at the bottom",
    "make the background fade from {first} to {second}",
    "change the background to a gradient from {first} to {second}",
    "replace the background with a gradient from {first} to {second}",
)
_PLACES = ("on the {side}", "to the {side} of {other}", "next to {other}")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A scene before and after one change: of an asset, or of the background.

    Attributes:
        source: The scene before.
        target: The scene after; all that is not `old` or `new` is the same, in the same order.
        old: The asset that is gone; None if one was added.
        new: The asset that has come; None if one was removed. Without `old` and `new`, the
            background has changed.
    """

    source: Scene
    target: Scene
    old: Placement | None
    new: Placement | None

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
    """Asset `index` becomes `concept`, with style, place, scale and side of the old one."""
    old = scene.placements[index]
    new = replace(old, concept=concept)
    after = (*scene.placements[:index], new, *scene.placements[index + 1 :])
    return Edit(source=scene, target=replace(scene, placements=after), old=old, new=new)


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
    old = scene.placements[index]
    new = replace(old, flip=not old.flip)
    after = (*scene.placements[:index], new, *scene.placements[index + 1 :])
    return Edit(source=scene, target=replace(scene, placements=after), old=old, new=new)


def recolouring(scene: Scene, background: Background) -> Edit:
    """The background becomes `background`."""
    return Edit(source=scene, target=replace(scene, background=background), old=None, new=None)


def draw_recolouring(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """A scene of one or two assets that gets another background, on which they can be seen."""
    scene = sample_scene(rng, vocabulary)
    styles = [asset.style for asset in scene.placements]

    def draw() -> Background | None:
        found = sample_background(rng, styles)
        return None if found == scene.background else found

    return recolouring(scene, retry(draw, "other background"))


def draw_mirroring(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """A scene of one or two assets, one of which is mirrored; the names of two differ."""

    def draw() -> Edit | None:
        scene = sample_scene(rng, vocabulary)
        edit = mirroring(scene, int(rng.random() * len(scene.placements)))
        return edit if _told_apart(edit) else None

    return retry(draw, "scene whose assets have different names")


def draw_edit(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    """An edit of a scene whose asset is replaced, or of one or two where one comes or goes.

    What stays in the picture has no name that could be mistaken for that of what changes.
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
        elif len(assets) < 2:
            return None
        else:
            edit = (adding if kind < REPLACE + ADD else removing)(scene, index)
        return edit if edit is not None and _told_apart(edit) else None

    return retry(draw, "edit with assets of one style")


def _told_apart(edit: Edit) -> bool:
    """Whether no name of what changes is part of the name of what stays, or the other way."""
    names = [caption_name(asset.concept) for asset in edit.changed.placements]
    others = [caption_name(asset.concept) for asset in edit.kept]
    return not any(name in other or other in name for name in names for other in others)


def edit_words(rng: np.random.Generator, edit: Edit) -> str:
    """An edit as a request, e.g. ``"replace the dog to the left of the taxi with a cat"``."""
    if edit.old is None and edit.new is None:
        return _background_words(rng, edit.target.background)
    place = ""
    for other in edit.kept:
        if rng.random() < WITH_PLACE:
            asset = edit.old or edit.new
            side = "left" if asset.x < other.x else "right"
            place = " " + fill(pick(rng, _PLACES), side=side, other=definite(other.concept))
    new = with_article(edit.new.concept) if edit.new is not None else ""
    if edit.old is None:
        if place:
            return f"{pick(rng, _ADD_SOMEWHERE)} {new}{place}"
        return fill(pick(rng, _ADD), new=new)
    old = definite(edit.old.concept) + place
    if edit.new is None:
        return fill(pick(rng, _REMOVE), old=old)
    if edit.new.concept == edit.old.concept:
        return fill(pick(rng, _MIRROR), old=old)
    # "replace the padlock with key with a dog" could be read in two ways.
    wordings = _REPLACE[1:] if " with " in old else _REPLACE
    return fill(pick(rng, wordings), old=old, new=new)


def _background_words(rng: np.random.Generator, background: Background) -> str:
    """E.g. ``"make the background blue"``."""
    if background.kind == "gradient":
        first, second = background.colours
        return fill(pick(rng, _GRADIENT), first=first, second=second)
    (colour,) = background.colours
    return fill(pick(rng, _PLAIN), colour=colour, a=article(colour))
