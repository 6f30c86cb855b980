"""Styled generation: a style image and a caption to image ([Hu24] §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture
from instruct_imagen.data.tasks.base import (
    fill,
    load_templates,
    marker,
    opens_sentence,
    pick,
    pick_other,
    retry,
)
from instruct_imagen.data.world.scenes import caption, sample_others, sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

STYLE_WORDS = ("style image", "style image", "style image", "style reference", "style")


class Styled:
    """The reference shows another concept, drawn as the target's concepts are to be drawn."""

    name = "styled"
    forms = (frozenset({"ref1", "caption"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene whose caption is silent about the style, and something else in that style."""

        def draw() -> tuple[str, list[str]] | None:
            style = pick(rng, vocabulary.styles)
            concepts = vocabulary.concepts_of(style)
            shown = pick(rng, concepts)
            wanted = pick_other(rng, concepts, shown)
            return None if wanted is None else (style, [shown, wanted])

        style, (shown, wanted) = retry(draw, "style with two concepts")
        others = sample_others(rng, vocabulary, (wanted, style), (shown, style))
        scene = sample_scene(rng, vocabulary, assets=[(wanted, style), *others])
        template = pick(rng, load_templates(self.name, *self.forms))
        words = caption(scene, rng, with_style=False, opens=opens_sentence(template))
        style_image = sample_scene(rng, vocabulary, assets=[(shown, style)], as_drawn=True)
        reference = ExampleReference(
            marker=1,
            text=pick(rng, STYLE_WORDS),
            role="style",
            picture=Picture(scene=style_image),
        )
        return Example(
            task=self.name,
            text=fill(template, ref1=marker(1), caption=words),
            caption=words,
            references=(reference,),
            target=Picture(scene=scene),
        )


TASK = Styled
