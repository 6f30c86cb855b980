"""Pictures before and after an edit -> editing with a mask and without ([Hu24] §5, Table 2)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from instruct_imagen.data.corpora.records import Edited
from instruct_imagen.data.corpus_tasks.base import (
    Draft,
    Maker,
    Shown,
    Tools,
    as_request,
    in_sentence,
    worded,
)
from instruct_imagen.data.tasks.base import marker, pick
from instruct_imagen.data.tasks.edits import SOURCE_WORDS
from instruct_imagen.data.tasks.instruction_edit import InstructionEdit
from instruct_imagen.data.tasks.masked_edit import MASK_WORDS, MaskedEdit
from instruct_imagen.images import to_square

SAME_SHAPE = 0.02
"""Sources and targets whose shapes differ by more than this share are not cut alike."""

_LIGHT, _WHITE = 128, 250


def edit_mask(edited: Edited) -> Image.Image | None:
    """Where a picture may change, white on black, L, at the size that the corpus stores.

    A mask comes in one of three ways: what may change is transparent (as MagicBrush's editor takes
    it), or white in a picture of black and white, or painted white into a copy of the source.

    Returns:
        None if there is no mask, or if it marks nothing or everything.
    """
    if edited.mask is None:
        return None
    pixels = np.asarray(edited.mask.load(keep_alpha=True))
    colours, alpha = pixels[..., :3].astype(np.int16), pixels[..., 3]
    if alpha.min() < _LIGHT:
        marked = alpha < _LIGHT
    elif _is_black_and_white(colours):
        marked = colours[..., 0] >= _LIGHT
    else:
        source = edited.source.load().resize(colours.shape[1::-1], Image.Resampling.LANCZOS)
        before = np.asarray(source).min(axis=2)
        marked = (colours.min(axis=2) >= _WHITE) & (before < _WHITE)
    if not marked.any() or marked.all():
        return None
    return Image.fromarray(marked.astype(np.uint8) * 255)


def _is_black_and_white(colours: np.ndarray) -> bool:
    """Whether nearly all (99%) is near black or near white, and grey."""
    grey = np.ptp(colours, axis=2) <= 8
    extreme = (colours[..., 0] <= 16) | (colours[..., 0] >= 239)
    return bool((grey & extreme).mean() >= 0.99)


def _cut_alike(edited: Edited) -> bool:
    shapes = [width / height for width, height in (edited.source.check(), edited.target.check())]
    return abs(shapes[0] / shapes[1] - 1) <= SAME_SHAPE


class EditWithMask(Maker[Edited]):
    """A picture, a mask and an edit in words to the picture after it."""

    record = Edited
    lack = "no mask that marks a part of it, or a source of another shape than its target"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return MaskedEdit.name

    def targets(self, record: Edited) -> tuple[int, ...]:
        """The picture after the edit, if there is a mask."""
        usable = as_request(record.instruction) and _cut_alike(record)
        return (0,) if usable and edit_mask(record) is not None else ()

    def draft(self, rng: np.random.Generator, record: Edited, target: int, tools: Tools) -> Draft:
        """Source and mask in either order, numbered as they stand."""
        mask = edit_mask(record)
        assert mask is not None  # the record is none of `targets` otherwise
        shown = to_square(mask.convert("RGB"), tools.size, "crop").convert("L")
        first = 1 + int(rng.random() < 0.5)
        references = (
            Shown(
                marker=first,
                text=pick(rng, SOURCE_WORDS),
                role="source",
                image=tools.square(record.source),
            ),
            Shown(marker=3 - first, text=pick(rng, MASK_WORDS), role="mask", image=shown),
        )
        return Draft(
            text=worded(
                self.task,
                rng,
                source=marker(first),
                mask=marker(3 - first),
                edit=as_request(record.instruction),
            ),
            caption=in_sentence(record.caption),
            references=references if first == 1 else references[::-1],
            target=tools.square(record.target),
        )


class EditByInstruction(Maker[Edited]):
    """A picture and an edit in words to the picture after it."""

    record = Edited
    lack = "a source of another shape than its target"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return InstructionEdit.name

    def targets(self, record: Edited) -> tuple[int, ...]:
        """The picture after the edit."""
        return (0,) if as_request(record.instruction) and _cut_alike(record) else ()

    def draft(self, rng: np.random.Generator, record: Edited, target: int, tools: Tools) -> Draft:
        """The source, and what is to be done."""
        reference = Shown(
            marker=1,
            text=pick(rng, SOURCE_WORDS),
            role="source",
            image=tools.square(record.source),
        )
        return Draft(
            text=worded(self.task, rng, source=marker(1), edit=as_request(record.instruction)),
            caption=in_sentence(record.caption),
            references=(reference,),
            target=tools.square(record.target),
        )


MAKERS = (EditWithMask, EditByInstruction)
