"""Has images judged: a batch at once, and one by one where a batch fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges.base import Judge, Verdict
from instruct_imagen.evaluation.record import Answer, Judgement, image_path, judgement_of, line_of
from instruct_imagen.evaluation.suites.base import Suite
from instruct_imagen.evaluation.workers import Work
from instruct_imagen.images import load_image


def opened(
    judges: Sequence[Callable[[], Judge]],
) -> dict[str, tuple[Callable[[], Judge], Judge]]:
    """What opens each judge, and the judge, by its name.

    Raises:
        EvaluationError: Two have one name: their verdicts would share a file.
    """
    found: dict[str, tuple[Callable[[], Judge], Judge]] = {}
    for open_judge in judges:
        judge = open_judge()
        if judge.name in found:
            raise EvaluationError(
                f"the judge {judge.name} is named twice: one of each kind can judge in a folder, "
                "so name another --out for the second"
            )
        found[judge.name] = (open_judge, judge)
    return found


def open_judging(
    folder: Path, open_suite: Callable[[], Suite], open_judge: Callable[[], Judge], size: int
) -> Work:
    """What judges some answers."""
    judge, cases = open_judge(), open_suite().cases(size)

    def work(answers: Sequence[Answer]) -> list[Judgement]:
        batch = [cases[one.case.index] for one in answers]
        images = [np.asarray(load_image(image_path(folder, one.case.id))) for one in answers]
        return judge_batch(judge, answers, batch, images)

    return work


def judge_batch(
    judge: Judge, answers: Sequence[Answer], cases: Sequence[Case], images: Sequence[np.ndarray]
) -> list[Judgement]:
    """A judgement for each answer; a batch that fails is judged one by one."""
    try:
        return _judged(judge, answers, cases, images)
    except Exception as error:
        if len(answers) == 1:
            return [judgement_of(answers[0], judge.fingerprint, None, line_of(error))]
        return [
            judgement
            for answer, case, image in zip(answers, cases, images, strict=True)
            for judgement in judge_batch(judge, [answer], [case], [image])
        ]


def _judged(
    judge: Judge, answers: Sequence[Answer], cases: Sequence[Case], images: Sequence[np.ndarray]
) -> list[Judgement]:
    verdicts: list[Verdict] = judge.judge(cases, images)
    if len(verdicts) != len(cases):
        raise EvaluationError(f"judge {judge.name}: {len(verdicts)} verdicts on {len(cases)}")
    for case, verdict in zip(cases, verdicts, strict=True):
        names = [condition.name for condition in case.conditions]
        if [score.condition for score in verdict.scores] != names:
            raise EvaluationError(f"judge {judge.name}: its scores are not those of {names}")
    return [
        judgement_of(answer, judge.fingerprint, verdict)
        for answer, verdict in zip(answers, verdicts, strict=True)
    ]
