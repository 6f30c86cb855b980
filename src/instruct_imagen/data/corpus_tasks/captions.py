"""Captioned images and captioned art -> text to image ([Hu24] §3.2, Txt2Img)."""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.corpora.records import Captioned, Styled
from instruct_imagen.data.corpus_tasks.base import Draft, Maker, Tools, in_sentence, worded
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.tasks.text_to_image import BARE_CAPTION, STYLE_IN_CAPTION, TextToImage

ART = "text_to_image_art"
"""The task of captioned art, where there is one; else it is plain text to image."""


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
    """A picture is asked for by its caption, which mostly (80%) names its style."""

    record = Styled
    lack = "no caption: write name.txt beside name.jpg"

    @property
    def task(self) -> str:
        """The task of art, if the world has one."""
        return ART if ART in all_tasks() else TextToImage.name

    def targets(self, record: Styled) -> tuple[int, ...]:
        """The picture, if there are words for it."""
        return (0,) if in_sentence(record.caption) else ()

    def draft(self, rng: np.random.Generator, record: Styled, target: int, tools: Tools) -> Draft:
        """The caption, bare (30%, as the world's) or in a template."""
        words = in_sentence(record.caption)
        if rng.random() < STYLE_IN_CAPTION:
            words = f"{words}, {in_sentence(record.style)}"
        text = words if rng.random() < BARE_CAPTION else worded(self.task, rng, caption=words)
        return Draft(text=text, caption=words, references=(), target=tools.square(record.image))


MAKERS = (CaptionedToImage, ArtToImage)
