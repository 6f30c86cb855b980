"""Contact sheets of suites: for people to check what a model will be asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from instruct_imagen.data.task_sheet import SIDE, Cell, draw_cells
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.suites.base import Suite
from instruct_imagen.images import load_image


def suite_sheet(suite: Suite, *, each: int, size: int, group: str = "") -> Image.Image:
    """Cases of each group, spread over it: references and target, text, and conditions.

    Args:
        suite: The suite.
        each: Cases of a group, at most.
        size: Side of a picture in pixels, as a model sees it; pixels are enlarged to `SIDE`.
        group: Only this one; empty for all.

    Raises:
        EvaluationError: There is no such group.
    """
    if group and group not in suite.groups:
        raise EvaluationError(
            f"{suite.name} has no group '{group}': use one of {', '.join(suite.groups)}"
        )
    wanted = {group: suite.groups[group]} if group else dict(suite.groups)
    scale = max(-(-SIDE // size), 1)
    cells = [_cell(case, size) for case in _spread(suite, wanted, each, size)]
    return draw_cells(cells, size * scale)


def _spread(suite: Suite, wanted: dict[str, int], each: int, size: int) -> Iterator[Case]:
    """Evenly over each group, from its first case on."""
    cases = suite.cases(size)
    numbers: dict[str, list[int]] = {name: [] for name in wanted}
    for number, name in enumerate(group_of_each(suite)):
        if name in numbers:
            numbers[name].append(number)
    for members in numbers.values():
        count = min(each, len(members))
        for place in range(count):
            yield cases[members[place * len(members) // count]]


def group_of_each(suite: Suite) -> list[str]:
    """The group of each case: groups follow each other in the order of the table."""
    return [name for name, count in suite.groups.items() for _ in range(count)]


def _cell(case: Case, size: int) -> Cell:
    """References, and the target where one is known."""
    references = case.instruction.references
    pictures = [_pixels(one.image, size) for one in references]
    labels = [f"[ref#{one.marker}] {one.text}" for one in references]
    known = case.target is not None
    target = case.target if known else np.full((size, size, 3), 255, np.uint8)
    conditions = ", ".join(one.name for one in case.conditions)
    unseen = f" (unseen {case.unseen})" if case.unseen else ""
    return Cell(
        pictures=(*pictures, target),
        labels=(*labels, "target" if known else "no target"),
        text=f"{case.id}{unseen}: {case.instruction.text} ({conditions})",
    )


def _pixels(image: object, size: int) -> np.ndarray:
    """A reference as (size, size, 3) uint8, squeezed if it is no square."""
    loaded = load_image(image)
    return np.asarray(loaded.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
