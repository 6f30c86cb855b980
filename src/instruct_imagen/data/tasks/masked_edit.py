"""Masked editing: a picture, a mask and an edit in words to image ([Hu24] §5, Table 2).

Not among the tasks of the paper's mixture, which fine-tunes on it (MagicBrush): its ratio there is
0, and the recipe `masked_edit` trains on it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture, PictureKind
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick
from instruct_imagen.data.tasks.edits import (
    Edit,
    draw_edit,
    draw_moving,
    draw_tinting,
    edit_example,
    edit_words,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

MASK_WORDS = ("mask", "mask", "edit mask", "region", "region to edit", "area to change")

SILHOUETTE = 0.5
"""Share of masks that are silhouettes of what changes; the others are the squares around it. Of a
moved asset, the squares of both its places are shown."""

TINT, MOVE = 0.1, 0.1
"""Shares of edits that colour or move an asset; the others replace, add or remove one. In a world
where nothing is tinted, nothing is coloured either."""


class MaskedEdit:
    """The target is the source with one change, and equal to it wherever the mask is black."""

    name = "masked_edit"
    forms = (frozenset({"source", "mask", "edit"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, a mask of what changes in it, and the change in words."""
        edit = _draw(rng, vocabulary)
        silhouette = rng.random() < SILHOUETTE and edit.kind != "move"
        kind: PictureKind = "mask" if silhouette else "region"
        source_marker = 1 + (rng.random() < 0.5)
        mask_marker = 3 - source_marker
        mask = ExampleReference(
            marker=mask_marker,
            text=pick(rng, MASK_WORDS),
            role="mask",
            picture=Picture(scene=edit.changed, kind=kind),
        )
        text = fill(
            pick(rng, load_templates(self.name, *self.forms)),
            source=marker(source_marker),
            mask=marker(mask_marker),
            edit=edit_words(rng, edit),
        )
        return edit_example(rng, self.name, edit, text, mask, source_marker=source_marker)


def _draw(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    kind = rng.random()
    if kind < MOVE:
        return draw_moving(rng, vocabulary)
    if kind < MOVE + TINT and vocabulary.variety.tinted:
        return draw_tinting(rng, vocabulary)
    return draw_edit(rng, vocabulary)


TASK = MaskedEdit
