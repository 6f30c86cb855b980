"""What a judge is: a case and its image → consistency with each condition, and quality.

Scores are those of the paper's raters ([Hu24] §5, A.4; the ImagenHub protocol): 0, 0.5 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from instruct_imagen.evaluation.case import Case

SCORES = (0.0, 0.5, 1.0)
"""No, partly, yes."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well an image meets one condition.

    Attributes:
        condition: Name of the condition.
        value: One of `SCORES`.
        reason: Why, in words that a person can check: ``"no dog was found: nearest is cat"``.
        measures: What was measured, by name, e.g. ``{"iou": 0.83}``.

    Raises:
        ValueError: The value is none of `SCORES`.
    """

    condition: str
    value: float
    reason: str
    measures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value not in SCORES:
            raise ValueError(f"score {self.value} of {self.condition}: must be one of {SCORES}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a judge says of an image.

    Attributes:
        scores: One for each condition of the case, in its order.
        pq: Perceptual quality, one of `SCORES`.
        pq_reason: Why.
        measures: What else was measured, of the whole image.

    Raises:
        ValueError: There is no score, or `pq` is none of `SCORES`.
    """

    scores: tuple[Score, ...]
    pq: float
    pq_reason: str
    measures: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scores:
            raise ValueError("a verdict needs a score for each condition: there is none")
        if self.pq not in SCORES:
            raise ValueError(f"PQ {self.pq}: must be one of {SCORES}")

    @property
    def sc(self) -> float:
        """Semantic consistency: that of the least consistent condition ([Hu24] A.4)."""
        return min(score.value for score in self.scores)

    @property
    def overall(self) -> float:
        """O = √(SC·PQ)."""
        return math.sqrt(self.sc * self.pq)


class Judge(Protocol):
    """Scores images.

    A module of this folder that defines ``JUDGE`` (the class) is found by `judges.registry`;
    keyword arguments of the class are its options (``--judge vlm:url=…``), texts each.

    Attributes:
        name: Of the judge.
        about: What it is for, and what it needs; one line.
        fingerprint: Changes when its scores may: kept beside them.
    """

    name: ClassVar[str]
    about: ClassVar[str]

    @property
    def fingerprint(self) -> str:
        """See above."""
        ...

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        """A verdict for each image, uint8 (H, W, 3).

        Raises:
            EvaluationError: It cannot judge such cases, or what it needs is not there.
        """
        ...
