"""What is evaluated: an instruction, and the conditions that an image of it must meet.

A case says nothing of models or judges. Suites bring cases, models answer them, judges tell how
well ([Hu24] §5, A.4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from instruct_imagen.data.example import Example
from instruct_imagen.instruction import Instruction

ConditionKind = Literal[
    "text", "subject", "face", "style", "depth", "mask", "edge", "sketch", "content",
    "background", "edit", "source",
]  # fmt: skip
CONDITION_KINDS: tuple[ConditionKind, ...] = get_args(ConditionKind)

UNSEEN = ("", "concept", "style")
"""What of a case no training has shown: nothing, its concepts or its style."""


class EvaluationError(ValueError):
    """A suite, case, model or judge that cannot be used; one line with the cure."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One thing that an image must be consistent with; conditions of a case are disjoint.

    Attributes:
        name: Unique in its case: the kind, with a number where there are several of it
            (``"subject 2"``).
        kind: ``text`` is all that words alone ask for: things without a reference, how many, their
            colours, tilts and relations, the background, and the style where the words name it.
            ``subject`` and ``face`` are the identity of what references show, ``style`` how
            everything is drawn, ``depth``, ``mask``, ``edge`` and ``sketch`` where everything is,
            ``content`` what and where of a picture whose style changes, ``background`` what is
            behind. ``edit`` is the change that the words ask for, ``source`` that all else stays
            (outside the mask, where there is one).
        marker: k of the ``[ref#k]`` that shows it; None for the words.
    """

    name: str
    kind: ConditionKind
    marker: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """An instruction, and how its image is to be judged.

    Attributes:
        id: Unique in its suite, e.g. ``"edge_to_image/0007"``; also the name of its files.
        group: The row of the report's table, e.g. ``"edge_to_image"``.
        instruction: What a model is asked; images are uint8 (H, W, 3) arrays or paths.
        prompt: The picture in plain words, without task wording or markers; empty where there is
            no such caption (style transfer).
        conditions: What must be met, one or more.
        seed: Of the model's noise: the same for every model.
        unseen: What no training has shown, one of `UNSEEN`.
        pair: Id of the case that this one is compared with (text fidelity: the same prompt without
            references); empty for none.
        example: Of a case of the starter world: the exact ground truth. None for real images.
        target: A right answer (uint8 (size, size, 3)), where one is known.
    """

    id: str
    group: str
    instruction: Instruction
    prompt: str
    conditions: tuple[Condition, ...]
    seed: int
    unseen: Literal["", "concept", "style"] = ""
    pair: str = ""
    example: Example | None = None
    target: np.ndarray | None = None

    @property
    def references(self) -> int:
        """How many different markers its instruction has references for."""
        return len({reference.marker for reference in self.instruction.references})

    @property
    def raw_instruction(self) -> Instruction:
        """For models of raw inputs: the caption alone, and which references are meant.

        The markers before the caption only say that the references belong to it; pipelines of raw
        inputs remove them ([Hu24] §5, the multi-task baseline).
        """
        markers = dict.fromkeys(f"[ref#{one.marker}]" for one in self.instruction.references)
        return replace(self.instruction, text=" ".join([*markers, self.prompt]).strip())
