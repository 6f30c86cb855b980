"""Images that break one condition of a case, clearly, and keep the others.

Each is a scene that differs from the target's in one thing. What is broken cannot always be alone:
another thing has another outline, so a layout that is asked for may fall with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from instruct_imagen.data.example import Example, Picture, Placement, Scene
from instruct_imagen.data.tasks.edits import Edit
from instruct_imagen.data.world.nouns import caption_name
from instruct_imagen.data.world.palette import STYLE_NAMES
from instruct_imagen.data.world.relations import Relation, relations
from instruct_imagen.evaluation.case import Case, Condition
from instruct_imagen.evaluation.scene_changes import (
    Props,
    elsewhere,
    is_clear,
    one_more,
    other_background,
    other_concept,
    other_person,
    other_style,
    other_tint,
    swapped,
    without,
)
from instruct_imagen.instruction import LAYOUTS

_LINED = frozenset({"edge", "sketch", "depth"})
"""Layouts that show a place behind: another one has other lines, and another horizon."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A scene that breaks a condition.

    Attributes:
        condition: Name of it.
        done: What was changed: ``"other concept"``.
        scene: That a judge is shown a picture of.
    """

    condition: str
    done: str
    scene: Scene


_Made = Iterator[tuple[str, Scene | None]]


def violations(case: Case, props: Props, rng: np.random.Generator) -> Iterator[Violation]:
    """Every way in which one condition can be broken clearly.

    Args:
        case: Of the world, with its example.
        props: What there is to draw; has the case's sprites.
        rng: The only source of randomness.
    """
    facts = _Facts(case)
    for condition in case.conditions:
        for done, scene in _MAKERS[condition.kind](facts, condition, props, rng):
            if scene is not None and is_clear(facts.target, scene, props.atlas):
                yield Violation(condition=condition.name, done=done, scene=scene)


class _Facts:
    """What is asked for by whom, of a case."""

    def __init__(self, case: Case) -> None:
        self.case, self.example = case, _example(case)
        self.target = _scene(self.example.target)
        self.kinds = {one.kind for one in case.conditions}
        self.layout = self.kinds & LAYOUTS
        shown = {
            asset.concept
            for one in self.example.references
            if one.role in ("subject", "face")
            for asset in _scene(one.picture).placements
        }
        # A face with another expression is another sprite of the same person.
        self.worded = [
            index
            for index, asset in enumerate(self.target.placements)
            if asset.concept not in shown and "face" not in self.kinds
        ]

    @property
    def told(self) -> tuple[Relation, ...]:
        """Relations that a caption may tell: of things that have names of their own."""
        placed = self.target.placements
        return tuple(
            one
            for one in relations(self.target)
            if placed[one.first].concept != placed[one.second].concept
        )

    def scenes(self, *roles: str) -> list[Scene]:
        """What references of these roles show."""
        return [_scene(one.picture) for one in self.example.references if one.role in roles]

    def marked(self, marker: int | None) -> set[str]:
        """Concepts that references of a marker show."""
        return {
            asset.concept
            for one in self.example.references
            if one.marker == marker
            for asset in _scene(one.picture).placements
        }


def _example(case: Case) -> Example:
    if case.example is None:
        raise ValueError(f"case {case.id} is not of the world: only those can be violated")
    return case.example


def _scene(picture: object) -> Scene:
    if not isinstance(picture, Picture):
        raise ValueError("an example with stored pictures has no scenes that could be changed")
    return picture.scene


def _subject(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    shown = facts.marked(condition.marker)
    for index, asset in enumerate(facts.target.placements):
        if asset.concept in shown:
            yield "other concept", other_concept(facts.target, index, props, rng)
            return


def _face(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    yield "other person", other_person(facts.target, props, rng)


def _style(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    yield "other style", other_style(facts.target, props, rng)


def _layout(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    # Near, on the left of the picture: what arranging anew might break.
    if not any(word in facts.case.prompt for word in ("next to", "beside", "on the left and")):
        yield "elsewhere", elsewhere(facts.target, props.atlas, rng, told=facts.told)


def _text(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    target = facts.target
    if "background" not in facts.kinds:
        yield "other background", _background_of(facts, props, rng)
    styles = {asset.style for asset in target.placements}
    if any(STYLE_NAMES.get(style, "?") in facts.case.prompt for style in styles):
        yield "other style", other_style(target, props, rng)
    if facts.worded:
        index = facts.worded[int(rng.random() * len(facts.worded))]
        yield "other thing", other_concept(target, index, props, rng)
        tinted = [index for index in facts.worded if target.placements[index].tint]
        if tinted:
            yield "other colour", other_tint(target, tinted[0], rng)
    if facts.layout or facts.kinds & {"face"}:
        return
    carrying = {one.second for one in relations(target) if one.kind == "on"}
    gone = [index for index in facts.worded if index not in carrying]
    if gone and len(target.placements) > 1:
        yield "dropped", without(target, gone[int(rng.random() * len(gone))])
    yield "one more", one_more(target, props, rng)
    for relation in facts.told:
        if _is_told(relation, facts):
            yield "other way round", swapped(target, relation)
            return


def _is_told(relation: Relation, facts: _Facts) -> bool:
    """Whether the caption says it, in words that are untrue the other way round."""
    words = {"left": ("left", "right"), "above": ("above", "below", "over", "under")}
    said = f" {facts.case.prompt} "
    told = any(f" {word} " in said for word in words.get(relation.kind, ()))
    # With more relations than one of a kind, which one is meant?
    return told and sum(one.kind == relation.kind for one in facts.told) == 1


def _background_of(facts: _Facts, props: Props, rng: np.random.Generator) -> Scene | None:
    """Another background, which leaves lines of a layout as they are."""
    lined = bool(facts.layout & _LINED)
    return other_background(facts.target, props.atlas, rng, colours_only=lined)


def _content(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    index = int(rng.random() * len(facts.target.placements))
    yield "other thing", other_concept(facts.target, index, props, rng)
    yield "elsewhere", elsewhere(facts.target, props.atlas, rng)
    yield "other background", other_background(facts.target, props.atlas, rng)


def _background(
    facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator
) -> _Made:
    yield "other background", _background_of(facts, props, rng)


def _edit(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    edit = edit_of(facts.example)
    yield "not done", edit.source
    if edit.kind == "background":
        avoid = edit.source.background.colours
        yield "other background", other_background(facts.target, props.atlas, rng, avoid=avoid)
    # What comes has the outline that a mask may show: only squares leave room for another thing.
    masks = [one.picture for one in facts.example.references if one.role == "mask"]
    free = all(isinstance(one, Picture) and one.kind == "region" for one in masks)
    thing = edit.kind in ("add", "replace") and "subject" not in facts.kinds
    if thing and edit.new is not None and free:
        index = facts.target.placements.index(edit.new)
        avoid = [edit.old.concept] if edit.old else []
        yield "other thing", other_concept(facts.target, index, props, rng, avoid=avoid)
    if edit.kind == "tint" and edit.new is not None and edit.old is not None:
        index = facts.target.placements.index(edit.new)
        changed = other_tint(facts.target, index, rng)
        if changed is not None and changed.placements[index].tint != edit.old.tint:
            yield "other colour", changed


def _source(facts: _Facts, condition: Condition, props: Props, rng: np.random.Generator) -> _Made:
    edit = edit_of(facts.example)
    if edit.kind != "background":
        yield "other background", other_background(facts.target, props.atlas, rng)
    # What the words name has to stay what it is, or the edit could not be checked any more.
    words = facts.example.text
    kept = [
        (index, asset)
        for index, asset in enumerate(facts.target.placements)
        if asset in edit.kept and asset != edit.new and not _named(asset, words)
    ]
    if kept:
        index, _ = kept[int(rng.random() * len(kept))]
        avoid = [one.concept for one in (edit.old, edit.new) if one is not None]
        yield "other thing", other_concept(facts.target, index, props, rng, avoid=avoid)
        if len(facts.target.placements) > 1 and not _touched(facts.target, index):
            yield "dropped", without(facts.target, index)
    if edit.kind == "background":
        index = int(rng.random() * len(facts.target.placements))
        yield "other thing", other_concept(facts.target, index, props, rng)


def _named(asset: Placement, words: str) -> bool:
    return caption_name(asset.concept) in words


def _touched(scene: Scene, index: int) -> bool:
    """Whether an asset is part of what stands on, or behind, another."""
    return any(
        index in (one.first, one.second) for one in relations(scene) if one.kind in ("on", "behind")
    )


def edit_of(example: Example) -> Edit:
    """The edit of an example, told by what differs between its source and its target.

    Raises:
        ValueError: It has no source.
    """
    sources = [_scene(one.picture) for one in example.references if one.role == "source"]
    if not sources:
        raise ValueError(f"an example of {example.task} has no source: it is no edit")
    source, target = sources[0], _scene(example.target)
    old = _only_in(source.placements, target.placements)
    new = _only_in(target.placements, source.placements)
    return Edit(source=source, target=target, old=old, new=new)


def _only_in(these: Iterable[Placement], others: Iterable[Placement]) -> Placement | None:
    left = list(others)
    for asset in these:
        if asset not in left:
            return asset
        left.remove(asset)
    return None


_MAKERS = {
    "subject": _subject,
    "face": _face,
    "style": _style,
    "edge": _layout,
    "sketch": _layout,
    "mask": _layout,
    "depth": _layout,
    "text": _text,
    "content": _content,
    "background": _background,
    "edit": _edit,
    "source": _source,
}
