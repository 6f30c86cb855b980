"""The single-task baselines: one model a task ([Hu24] §5, Table 4).

instruct-imagen train single_task-edge_to_image
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter

VARIANTS = tuple(sorted(name for name, ratio in PAPER_RATIOS.items() if ratio > 0))
"""The tasks of the paper's mixture, each a recipe of its own."""


def single_task(task: str) -> TrainConfig:
    """`starter`, with all images after ``pretrain`` of one task."""
    name = f"single_task-{task}"
    return replace(of_one_task(starter(), {task: 1.0}), name=name, out=f"out/{name}")


def of_one_task(usual: TrainConfig, ratios: Mapping[str, float]) -> TrainConfig:
    """A config with all images after ``pretrain`` of one task, or of the few that make one.

    Its other stages differ in their mixtures alone, so one stage takes the images of them all.
    The wording stays: within a task it tells nothing apart.
    """
    pretrain, *later = usual.stages
    only = Stage(name="instruct", images=sum(stage.images for stage in later), ratios=ratios)
    return replace(usual, stages=(pretrain, only))
