"""The judge of the starter world: its cases have an exact ground truth, so no rater is needed.

Scores are those of the paper's raters ([Hu24] §5): consistency with each condition is measured
against what the case's own scene says, and quality by `QualityMeasure`.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges import probes as folder
from instruct_imagen.evaluation.judges.base import Verdict
from instruct_imagen.evaluation.judges.probes.conditions import judged
from instruct_imagen.evaluation.judges.probes.look import look_at
from instruct_imagen.evaluation.judges.probes.network import probes_sha256
from instruct_imagen.evaluation.judges.quality import QualityMeasure


class Quality(Protocol):
    """Measures PQ.

    Attributes:
        fingerprint: Changes when its scores may.
    """

    @property
    def fingerprint(self) -> str:
        """See above."""
        ...

    def score(self, images: Sequence[np.ndarray]) -> list[tuple[float, str, dict[str, float]]]:
        """PQ, reason and measures of each image."""
        ...


class TruthJudge:
    """Judges cases of the starter world by their ground truth.

    Args:
        quality: Measures PQ; None for `QualityMeasure`.
    """

    name: ClassVar[str] = "truth"
    about: ClassVar[str] = "the starter world's own ground truth, by probes trained on real renders"

    def __init__(self, quality: Quality | None = None) -> None:
        self._quality = quality or QualityMeasure()

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights and of the code that judges."""
        total = hashlib.sha256(f"{probes_sha256()} {self._quality.fingerprint}".encode())
        own = Path(folder.__file__).parent
        measure = inspect.getsourcefile(type(self._quality))
        assert measure is not None
        for file in (*sorted(own.glob("*.py")), Path(__file__), Path(measure)):
            total.update(file.read_bytes())
        return total.hexdigest()[:16]

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        """A verdict for each image, uint8 (H, W, 3).

        Raises:
            EvaluationError: A case has no ground truth, or artwork or a package is not there.
        """
        qualities = self._quality.score(images)
        found = []
        for case, image, (pq, reason, measures) in zip(cases, images, qualities, strict=True):
            look = look_at(case, image)
            scores = tuple(judged(look, condition) for condition in case.conditions)
            found.append(Verdict(scores=scores, pq=pq, pq_reason=reason, measures=measures))
        return found


JUDGE = TruthJudge
