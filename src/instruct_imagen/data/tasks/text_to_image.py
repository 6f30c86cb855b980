"""Caption to image, without references ([Hu24] §3.2, Txt2Img: natural images)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.tasks.base import fill, load_templates, opens_sentence, pick
from instruct_imagen.data.world.scenes import caption, sample_scene
from instruct_imagen.data.world.vocabulary import PHOTOGRAPHIC_STYLES

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

STYLE_IN_CAPTION = 0.8
# Users of text-to-image models mostly type the bare caption.
BARE, BARE_CAPTION = "{caption}", 0.3


class TextToImage:
    """A scene is asked for by its caption alone; of photographs, where the vocabulary has some."""

    name = "text_to_image"
    forms = (frozenset({"caption"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene and a caption that mostly (80%) names the style."""
        natural = [style for style in PHOTOGRAPHIC_STYLES if vocabulary.concepts_of(style)]
        scene = sample_scene(rng, vocabulary.of_styles(natural) if natural else vocabulary)
        template = BARE
        if rng.random() >= BARE_CAPTION:
            template = pick(rng, load_templates(self.name, *self.forms))
        with_style = rng.random() < STYLE_IN_CAPTION
        words = caption(scene, rng, with_style=with_style, opens=opens_sentence(template))
        return Example(
            task=self.name,
            text=fill(template, caption=words),
            caption=words,
            references=(),
            target=Picture(scene=scene),
        )


TASK = TextToImage
