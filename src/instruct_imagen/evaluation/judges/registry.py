"""Finds the judges: each module of this folder that defines ``JUDGE`` brings one."""

from __future__ import annotations

from typing import Any

from instruct_imagen.evaluation import judges as package
from instruct_imagen.evaluation.judges.base import Judge
from instruct_imagen.evaluation.plugins import found, made


def judge_classes() -> dict[str, type[Any]]:
    """Every judge's class by name."""
    return found(package, "JUDGE")


def open_judge(spec: str) -> Judge:
    """The judge of ``name`` or ``name:option=value,…``.

    Raises:
        EvaluationError: There is no such judge or option.
    """
    return made("judge", judge_classes(), spec)
