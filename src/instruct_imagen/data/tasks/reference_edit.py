"""Editing guided by a reference: a picture, a picture of a thing and an edit in words to image.

Not among the tasks of the paper: its ratio in the mixture is 0, and recipes of your own may draw
from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Background, Example, ExampleReference, Picture, Placement
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick, pick_other, retry
from instruct_imagen.data.tasks.edits import Edit, draw_edit, edit_example, edit_words
from instruct_imagen.data.tasks.subject import SAME_SIDE, mark_subject, portrait
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    caption_name,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

OTHER_STYLE = 0.3
"""Share of edits whose new thing has another style than the picture that it comes into."""

MARKER_ALONE, SHOWN = 0.25, 0.15
"""Shares of texts that say "[ref#2]" and "what [ref#2] shows"; the rest says "the [ref#2] cat"."""


class ReferenceEdit:
    """The target is the source with the very thing of the other reference put in."""

    name = "reference_edit"
    forms = (frozenset({"source", "edit"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, a thing alone, and where it goes; markers have either order."""
        edit = retry(lambda: _draw(rng, vocabulary), "edit that puts something in")
        new = edit.new
        flip = new.flip if rng.random() < SAME_SIDE else not new.flip
        avoid = edit.source.background.colours
        shown = portrait(rng, new.concept, new.style, avoid=avoid, flip=flip)
        name = caption_name(new.concept)
        source_marker = 1 + (rng.random() < 0.5)
        thing_marker = 3 - source_marker
        thing = ExampleReference(
            marker=thing_marker, text=name, role="subject", picture=Picture(scene=shown)
        )
        words = mark_subject(edit_words(rng, edit), name, thing_marker)
        form = rng.random()
        if form < MARKER_ALONE + SHOWN:
            marked = marker(thing_marker)
            other = marked if form < MARKER_ALONE else f"what {marked} shows"
            words = words.replace(f"the {marked} {name}", other)
        text = fill(
            pick(rng, load_templates(self.name, *self.forms)),
            source=marker(source_marker),
            edit=words,
        )
        return edit_example(rng, self.name, edit, text, thing, source_marker=source_marker)


def _draw(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit | None:
    """An edit that brings something, in 30% of another style; None for another edit."""
    edit = draw_edit(rng, vocabulary)
    if edit.new is None or (edit.old is not None and not _told_apart(edit.old, edit.new)):
        return None
    # As it was drawn, which is how its own picture shows it.
    new = replace(edit.new, turn=0, tint="")
    if rng.random() < OTHER_STYLE:
        style = pick_other(rng, vocabulary.styles_of(new.concept), new.style)
        if style is not None and _seen_on(style, edit.target.background):
            new = replace(new, style=style)
    placements = tuple(new if one == edit.new else one for one in edit.target.placements)
    return replace(edit, target=replace(edit.target, placements=placements), new=new)


def _told_apart(old: Placement, new: Placement) -> bool:
    """Whether neither name is part of the other."""
    names = caption_name(old.concept), caption_name(new.concept)
    return names[0] not in names[1] and names[1] not in names[0]


def _seen_on(style: str, background: Background) -> bool:
    return style not in DARK_INK_STYLES or not DARK_COLOURS & set(background.colours)


TASK = ReferenceEdit
