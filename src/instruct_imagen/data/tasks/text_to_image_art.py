"""Caption to artwork, without references ([Hu24] §3.2, Txt2Img: WikiArt)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.tasks.base import fill, load_templates, opens_sentence, pick
from instruct_imagen.data.world.scenes import caption, sample_scene
from instruct_imagen.data.world.vocabulary import PHOTOGRAPHIC_STYLES, VocabularyError

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary


class TextToImageArt:
    """A drawn scene, asked for as a work of art by a caption that always names its style."""

    name = "text_to_image_art"
    forms = (frozenset({"caption"}),)
    needs = "drawings"

    def drawable(self, vocabulary: Vocabulary) -> bool:
        """Whether anything is drawn."""
        return bool(_drawn_styles(vocabulary))

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene in a style, and its caption.

        Raises:
            VocabularyError: All that there is are photographs.
        """
        styles = _drawn_styles(vocabulary)
        if not styles:
            raise VocabularyError(f"{self.name} cannot be drawn: the world has no {self.needs}")
        drawn = vocabulary if styles == vocabulary.styles else vocabulary.of_styles(styles)
        scene = sample_scene(rng, drawn)
        template = pick(rng, load_templates(self.name, *self.forms))
        words = caption(scene, rng, opens=opens_sentence(template))
        return Example(
            task=self.name,
            text=fill(template, caption=words),
            caption=words,
            references=(),
            target=Picture(scene=scene),
        )


def _drawn_styles(vocabulary: Vocabulary) -> tuple[str, ...]:
    return tuple(style for style in vocabulary.styles if style not in PHOTOGRAPHIC_STYLES)


TASK = TextToImageArt
