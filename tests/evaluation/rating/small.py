"""A suite of few cases of our own drawings, and the images of methods for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.evaluation.suites.world_cases import world_case
from instruct_imagen.images import save_png


def small_cases(each: int = 1, size: int = 32) -> list[Case]:
    """`each` cases of every task that our own drawings have examples of."""
    return [
        world_case(
            example,
            fallback_atlas(),
            size,
            id=f"{example.task}/{number:04d}",
            group=example.task,
            seed=number,
        )
        for _, examples in fixed_examples(fallback_vocabulary(), each)
        for number, example in enumerate(examples)
    ]


def write_images(folder: Path, cases: list[Case], number: int) -> Path:
    """Images of a method that are true targets under noise of so much more a number."""
    for place, case in enumerate(cases):
        noise = np.random.default_rng([number, place]).normal(0, 25 * number, case.target.shape)
        pixels = np.clip(case.target + noise, 0, 255).astype(np.uint8)
        save_png(folder / f"{case.id}.png", pixels)
    return folder
