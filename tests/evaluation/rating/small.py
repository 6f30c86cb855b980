"""A suite of few cases of our own drawings, and the images of methods for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.evaluation.rating.assignment import Plan
from instruct_imagen.evaluation.rating.desk import RatingDesk
from instruct_imagen.evaluation.rating.items import rating_items
from instruct_imagen.evaluation.rating.storage import Store
from instruct_imagen.evaluation.suites.world_cases import world_case
from instruct_imagen.images import save_png


@cache
def small_cases(each: int = 1, size: int = 32) -> tuple[Case, ...]:
    """`each` cases of every task that our own drawings have examples of."""
    return tuple(
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
    )


def write_images(folder: Path, cases: Sequence[Case], number: int) -> Path:
    """Images of a method that are true targets under noise of so much more a number."""
    for place, case in enumerate(cases):
        noise = np.random.default_rng([number, place]).normal(0, 25 * number, case.target.shape)
        pixels = np.clip(case.target + noise, 0, 255).astype(np.uint8)
        save_png(folder / f"{case.id}.png", pixels)
    return folder


def small_desk(folder: Path, *, methods: int = 2, raters: int = 3, people: int = 0) -> RatingDesk:
    """A desk of the small suite and so many methods, which keeps its store in the folder."""
    cases = small_cases()
    names = [f"method-{number}" for number in range(methods)]
    folders = {
        name: write_images(folder / "methods" / name, cases, number)
        for number, name in enumerate(names)
    }
    items = rating_items(cases, folders)
    plan = Plan(raters=raters, people=people)
    return RatingDesk(items, Store(folder / "ratings.sqlite"), plan)
