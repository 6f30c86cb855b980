"""Instructions from the starter world that no training draws, for sheets, demo and suites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from instruct_imagen.data.example import Example
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.instruction import Instruction, Reference

CASE_SEED = 2**40
"""Far from the seeds of training: these scenes are never trained on."""

Rows = tuple[tuple[str, tuple[Example, ...]], ...]


def fixed_examples(vocabulary: Vocabulary, each: int = 4) -> Rows:
    """`each` examples of each task of the paper's mixture and of style + subject.

    Without tasks that the vocabulary has not what it takes for, as faces. No training draws these
    very examples, and none draws style + subject at all but one with ``heldout_tasks``, as that of
    `all_conditions`: weights of such a training have seen others of its kind.
    """
    paper = [name for name, ratio in PAPER_RATIOS.items() if ratio > 0]
    rows = [_row(name, CASE_SEED + number, vocabulary, each) for number, name in enumerate(paper)]
    combined = _row("style_subject", CASE_SEED + 100, vocabulary, each)
    found = [row for row in rows if row is not None]
    return (*found, ("style + subject", combined[1])) if combined is not None else tuple(found)


def further_examples(ratios: Mapping[str, float], vocabulary: Vocabulary, each: int = 4) -> Rows:
    """`each` examples, never trained on, of each of these tasks that `fixed_examples` lacks."""
    names = (name for name, ratio in ratios.items() if ratio > 0 and not PAPER_RATIOS.get(name))
    rows = (_row(n, CASE_SEED + 200, vocabulary, each) for n in names if n in all_tasks())
    return tuple(row for row in rows if row is not None)


def _row(
    name: str, seed: int, vocabulary: Vocabulary, each: int
) -> tuple[str, tuple[Example, ...]] | None:
    """Examples of a task; None where it cannot be drawn."""
    task = all_tasks()[name]()
    if not drawable(task, vocabulary):
        return None
    return name, tuple(task.example(scene_rng(seed, index), vocabulary) for index in range(each))


def to_instruction(
    example: Example, pictures: Sequence[np.ndarray], *, instruction: bool = True
) -> Instruction:
    """An example as the pipeline takes it.

    Args:
        example: The example.
        pictures: Its rendered references (uint8 HWC each).
        instruction: False for a pipeline of raw inputs, which sees the caption alone; the markers
            before it say that the references are meant, and such a pipeline removes them.
    """
    markers = dict.fromkeys(f"[ref#{reference.marker}]" for reference in example.references)
    return Instruction(
        example.text if instruction else " ".join([*markers, example.caption]).strip(),
        tuple(
            Reference(reference.marker, pixels, reference.text, reference.role)
            for reference, pixels in zip(example.references, pictures, strict=True)
        ),
    )
