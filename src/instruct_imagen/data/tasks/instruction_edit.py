"""Editing without a mask: a picture and an edit in words to image.

Not among the tasks of the paper, which edits with masks ([Hu24] §5, Table 2): its ratio in the
mixture is 0, and recipes of your own may draw from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick
from instruct_imagen.data.tasks.edits import (
    Edit,
    draw_edit,
    draw_mirroring,
    draw_moving,
    draw_recolouring,
    draw_tinting,
    edit_example,
    edit_words,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.example import Example
    from instruct_imagen.data.world.vocabulary import Vocabulary

RECOLOUR, MIRROR, TINT, MOVE = 0.25, 0.1, 0.1, 0.1
"""Shares of edits that change the background, or mirror, colour or move an asset; the others
replace, add or remove one. Mirroring is rare because many drawings are their own mirror image. In a
world where nothing is tinted, nothing is coloured either."""


class InstructionEdit:
    """The target is the source with the change that the words ask for, and no other."""

    name = "instruction_edit"
    forms = (frozenset({"source", "edit"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, and a change of it in words."""
        edit = _draw(rng, vocabulary)
        text = fill(
            pick(rng, load_templates(self.name, *self.forms)),
            source=marker(1),
            edit=edit_words(rng, edit),
        )
        return edit_example(rng, self.name, edit, text)


def _draw(rng: np.random.Generator, vocabulary: Vocabulary) -> Edit:
    kind = rng.random()
    shares = (
        (RECOLOUR, draw_recolouring),
        (MIRROR, draw_mirroring),
        (MOVE, draw_moving),
        (TINT if vocabulary.variety.tinted else 0.0, draw_tinting),
    )
    for share, draw in shares:
        kind -= share
        if kind < 0:
            return draw(rng, vocabulary)
    return draw_edit(rng, vocabulary)


TASK = InstructionEdit
