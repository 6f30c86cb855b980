"""The reference is the target itself: a warm-up that teaches the context path quickly.

Not one of the paper's tasks, so its ratio in the paper's mixture is 0; a recipe may raise it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick
from instruct_imagen.data.world.scenes import sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

WORDS = ("image", "picture", "content image")


class Reproduce:
    """Asks for the reference again, unchanged."""

    name = "reproduce"
    forms = (frozenset({"ref1"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, as reference and as target."""
        picture = Picture(scene=sample_scene(rng, vocabulary))
        reference = ExampleReference(
            marker=1, text=pick(rng, WORDS), role="content", picture=picture
        )
        text = fill(pick(rng, load_templates(self.name, *self.forms)), ref1=marker(1))
        return Example(
            task=self.name, text=text, caption="", references=(reference,), target=picture
        )


TASK = Reproduce
