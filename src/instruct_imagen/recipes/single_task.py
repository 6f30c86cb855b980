"""The single-task baselines: one model a task ([Hu24] §5, Table 4).

instruct-imagen train single_task-edge_to_image
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter

VARIANTS = tuple(sorted(name for name, ratio in PAPER_RATIOS.items() if ratio > 0))
"""The tasks of the paper's mixture, each a recipe of its own."""


def single_task(task: str) -> TrainConfig:
    """`starter`, with all images after ``pretrain`` of one task.

    Its other stages differ in their mixtures alone, so one stage takes the images of them all.
    The wording stays: within a task it tells nothing apart.
    """
    usual = starter()
    pretrain, *later = usual.stages
    images = sum(stage.images for stage in later)
    only = Stage(name="instruct", images=images, ratios={task: 1.0})
    name = f"single_task-{task}"
    return replace(usual, name=name, stages=(pretrain, only), out=f"out/{name}")
