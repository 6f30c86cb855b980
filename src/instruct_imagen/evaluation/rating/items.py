"""What is rated: the images of several methods for the same cases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_imagen.evaluation.case import Case, EvaluationError


@dataclass(frozen=True, kw_only=True, eq=False)
class RatingItem:
    """One image to be rated.

    Attributes:
        case: What was asked.
        method: Whose image it is; raters never see it.
        path: Of the image.
    """

    case: Case
    method: str
    path: Path


def rating_items(cases: Iterable[Case], folders: Mapping[str, Path]) -> tuple[RatingItem, ...]:
    """Every case with the image of each method, in the order of the cases.

    Args:
        cases: Of a suite.
        folders: Method → folder of its images; that of the case ``edge_to_image/0007`` is
            ``edge_to_image/0007.png`` in it.

    Raises:
        EvaluationError: There is no case or method, an id has no task before a slash, or a method
            lacks an image: a rater compares all methods on one case.
    """
    found = [
        RatingItem(case=case, method=method, path=Path(folder) / f"{case.id}.png")
        for case in cases
        for method, folder in folders.items()
    ]
    if not found:
        raise EvaluationError(
            "no case of the suite has its images there: name the suite that they answer, which is "
            "the folder above the model's"
        )
    for item in found:
        task, slash, rest = item.case.id.partition("/")
        if not (task and slash and rest):
            raise EvaluationError(
                f"case '{item.case.id}' needs a task before a slash, as 'task/{item.case.id}': "
                "ratings are exported one file a task"
            )
    missing = [item for item in found if not item.path.is_file()]
    if missing:
        first = missing[0]
        raise EvaluationError(
            f"method {first.method} has no image of {len(missing)} cases, the first is "
            f"{first.path}: finish its run, or rate fewer cases"
        )
    return tuple(found)


def sampled(cases: Sequence[Case], count: int) -> tuple[Case, ...]:
    """`count` cases, as evenly over the groups as they allow; a larger sample has the smaller.

    The choice depends on the ids alone, so that it is the same on every start of the page.
    """
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    ranked = [
        (rank, number, case)
        for number, group in enumerate(groups.values())
        for rank, case in enumerate(sorted(group, key=lambda case: _hashed(case.id)))
    ]
    ranked.sort(key=lambda entry: entry[:2])
    chosen = {id(case) for _, _, case in ranked[:count]}
    return tuple(case for case in cases if id(case) in chosen)


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def pixels_id(pixels: np.ndarray) -> str:
    """A name of an image that depends on its pixels alone.

    Args:
        pixels: uint8 (H, W, 3).
    """
    shape = "×".join(str(side) for side in pixels.shape)
    return hashlib.sha256(shape.encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
