"""Prompts with and without their references: what does showing a picture cost the words?

The paper's model copies references at the cost of the prompt. Here the words ask for what the
reference does not show, so that who copies it fails them.
"""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.example import Background, Example
from instruct_imagen.data.tasks.base import Task, retry
from instruct_imagen.data.tasks.styled import Styled
from instruct_imagen.data.tasks.subject import Subject
from instruct_imagen.data.world.palette import NEAR, PALETTE
from instruct_imagen.data.world.vocabulary import Vocabulary


def subject_fidelity(rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[Example, Example]:
    """A subject on another background than its pictures have, and the caption alone."""
    return _both(Subject(), rng, vocabulary)


def styled_fidelity(rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[Example, Example]:
    """Other things on another background than the style image has, and the caption alone."""
    return _both(Styled(), rng, vocabulary)


def _both(task: Task, rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[Example, Example]:
    def draw() -> Example | None:
        found = task.example(rng, vocabulary)
        wanted = found.target.scene.background
        shown = [one.picture.scene.background for one in found.references]
        return found if all(differ(wanted, one) for one in shown) else None

    example = retry(draw, "reference with another background than the words say")
    return example, without_references(example)


def without_references(example: Example) -> Example:
    """The same prompt as a plain text instruction."""
    words = example.caption
    return Example(
        task="text_to_image", text=words, caption=words, references=(), target=example.target
    )


def differ(one: Background, other: Background) -> bool:
    """Whether two backgrounds are told apart by anyone: no colour of one is near one of the other.

    A place differs from colours, and from other places.
    """
    if "place" in (one.kind, other.kind):
        return one.place != other.place
    return all(
        sum((a - b) ** 2 for a, b in zip(PALETTE[first], PALETTE[second], strict=True)) >= NEAR**2
        for first in one.colours
        for second in other.colours
    )
