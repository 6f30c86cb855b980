"""Pictures in groups of one style -> styled generation ([Hu24] §3.2)."""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.corpora.records import StoredImage, Styled
from instruct_imagen.data.corpus_tasks.base import (
    Draft,
    Maker,
    Shown,
    Tools,
    in_sentence,
    worded,
)
from instruct_imagen.data.tasks import styled
from instruct_imagen.data.tasks.base import marker, pick


class StyledPicture(Maker[Styled]):
    """The reference is another picture of the target's style; the caption is silent about it."""

    record = Styled
    lack = "no caption (write name.txt beside name.jpg), or no other picture of its style"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return styled.Styled.name

    def targets(self, record: Styled) -> tuple[int, ...]:
        """The picture, if there are words for it; one without may be a reference."""
        return (0,) if in_sentence(record.caption) else ()

    def group(self, record: Styled) -> tuple[str, StoredImage]:
        """Its style."""
        return record.style, record.image

    def draft(self, rng: np.random.Generator, record: Styled, target: int, tools: Tools) -> Draft:
        """The picture, and another one of its style."""
        assert tools.others is not None  # given to every maker with groups
        words = in_sentence(record.caption)
        shown = tools.square(tools.others(rng, record))
        reference = Shown(
            marker=1, text=pick(rng, styled.STYLE_WORDS), role="style", image=shown, lossy=True
        )
        return Draft(
            text=worded(self.task, rng, ref1=marker(1), caption=words),
            caption=words,
            references=(reference,),
            target=tools.square(record.image),
        )


MAKERS = (StyledPicture,)
