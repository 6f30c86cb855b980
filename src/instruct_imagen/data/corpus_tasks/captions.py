"""Captioned images and captioned art -> text to image ([Hu24] §3.2, Txt2Img)."""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.corpora.records import Captioned, Styled
from instruct_imagen.data.corpus_tasks.base import Draft, Maker, Tools, in_sentence, worded
from instruct_imagen.data.tasks.text_to_image import BARE_CAPTION, TextToImage
from instruct_imagen.data.tasks.text_to_image_art import TextToImageArt


class CaptionedToImage(Maker[Captioned]):
    """An image is asked for by its caption alone."""

    record = Captioned
    lack = "an empty caption"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return TextToImage.name

    def targets(self, record: Captioned) -> tuple[int, ...]:
        """The image, if there are words for it."""
        return (0,) if in_sentence(record.caption) else ()

    def draft(
        self, rng: np.random.Generator, record: Captioned, target: int, tools: Tools
    ) -> Draft:
        """The caption, bare (30%, as the world's) or in a template."""
        words = in_sentence(record.caption)
        text = words if rng.random() < BARE_CAPTION else worded(self.task, rng, caption=words)
        return Draft(text=text, caption=words, references=(), target=tools.square(record.image))


class ArtToImage(Maker[Styled]):
    """A picture is asked for by its caption, which always names its style, as the world's does."""

    record = Styled
    lack = "no caption: write name.txt beside name.jpg"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return TextToImageArt.name

    def targets(self, record: Styled) -> tuple[int, ...]:
        """The picture, if there are words for it."""
        return (0,) if in_sentence(record.caption) else ()

    def draft(self, rng: np.random.Generator, record: Styled, target: int, tools: Tools) -> Draft:
        """The caption and the style, in a template."""
        words = f"{in_sentence(record.caption)}, {in_sentence(record.style)}"
        text = worded(self.task, rng, caption=words)
        return Draft(text=text, caption=words, references=(), target=tools.square(record.image))


MAKERS = (CaptionedToImage, ArtToImage)
