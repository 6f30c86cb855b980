"""The words of edits, e.g. ``"replace the dog to the left of the taxi with a cat"``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.tasks.base import fill, pick
from instruct_imagen.data.world.captions import adjectives, place_words
from instruct_imagen.data.world.nouns import described
from instruct_imagen.data.world.relations import APART, stands_on
from instruct_imagen.data.world.scenes import article, definite

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.example import Placement, Scene
    from instruct_imagen.data.tasks.edits import Edit

WITH_PLACE = 0.5
"""Share of edits of a scene with several assets that say a place too."""

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
_TINT = (
    "make {old} {colour}",
    "paint {old} {colour}",
    "colour {old} {colour}",
    "turn {old} {colour}",
    "change the colour of {old} to {colour}",
    "give {old} {a} {colour} colour",
)
_MOVE = ("move {old} {where}", "put {old} {where}", "shift {old} {where}", "bring {old} {where}")
_PLACE = (
    "put everything {place}",
    "let everything be {place}",
    "change the background, so that all is {place}",
    "replace the background: everything is {place}",
)
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


def edit_words(rng: np.random.Generator, edit: Edit) -> str:
    """An edit as a request, in one of some wordings."""
    if edit.kind == "background":
        return _background_words(rng, edit.target)
    place = ""
    others = [asset for asset in edit.kept if _named_alone(asset, edit.kept)]
    if others and edit.kind != "move" and rng.random() < WITH_PLACE:
        other = others[int(rng.random() * len(others))]
        place = " " + _place_words(rng, edit.old or edit.new, other, len(edit.kept) == 1)
    new = described(edit.new.concept, adjectives(edit.new)) if edit.new is not None else ""
    if edit.old is None:
        if place:
            return f"{pick(rng, _ADD_SOMEWHERE)} {new}{place}"
        return fill(pick(rng, _ADD), new=new)
    old = definite(edit.old.concept) + place
    if edit.kind == "remove":
        return fill(pick(rng, _REMOVE), old=old)
    if edit.kind == "mirror":
        return fill(pick(rng, _MIRROR), old=old)
    if edit.kind == "tint":
        return fill(pick(rng, _TINT), old=old, colour=edit.new.tint, a=article(edit.new.tint))
    if edit.kind == "move":
        return fill(pick(rng, _MOVE), old=old, where=edit.where)
    # "replace the padlock with key with a dog" could be read in two ways.
    wordings = _REPLACE[1:] if " with " in old else _REPLACE
    return fill(pick(rng, wordings), old=old, new=new)


def _named_alone(asset: Placement, kept: tuple[Placement, ...]) -> bool:
    """Whether "the dog" can only be this one."""
    return [other.concept for other in kept].count(asset.concept) == 1


def _place_words(rng: np.random.Generator, asset: Placement, other: Placement, alone: bool) -> str:
    """Where an asset is, told from another one; `alone` if there is no third.

    Always true: beside it, on it, above or below it, or next to it where they overlap.
    """
    name = definite(other.concept)
    if abs(asset.x - other.x) >= APART * (asset.scale + other.scale):
        side = "left" if asset.x < other.x else "right"
        words = [f"to the {side} of {name}"]
        if alone and (asset.x - 0.5) * (other.x - 0.5) < 0:
            words.append(f"on the {side}")
        if abs(asset.y - other.y) <= (asset.scale + other.scale) / 2:
            words.append(f"next to {name}")
        return pick(rng, words)
    if stands_on(asset, other):
        return f"on top of {name}"
    if abs(asset.y - other.y) >= APART * (asset.scale + other.scale):
        return f"{'above' if asset.y < other.y else 'below'} {name}"
    return f"next to {name}"


def _background_words(rng: np.random.Generator, scene: Scene) -> str:
    """E.g. ``"make the background blue"``."""
    background = scene.background
    if background.kind == "place":
        names = (asset.concept for asset in scene.placements)
        return fill(pick(rng, _PLACE), place=pick(rng, place_words(background.place, *names)))
    if background.kind == "gradient":
        first, second = background.colours
        return fill(pick(rng, _GRADIENT), first=first, second=second)
    (colour,) = background.colours
    return fill(pick(rng, _PLAIN), colour=colour, a=article(colour))
