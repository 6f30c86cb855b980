"""People as a judge: verdicts out of ratings that the rating page stored.

People give one SC for a whole image, that of the least consistent condition ([Hu24] A.4). So each
condition is scored with it, and the reason says that they were rated as a whole: the minimum over
conditions is then the people's SC, and no condition is singled out of which nobody said anything.
SC and PQ are the medians of an image's raters, because a verdict is 0, 0.5 or 1 and a mean of three
raters is not; of an even number of raters the lower of the middle two counts. (The paper's tables
average over raters instead: `instruct-imagen ratings agreement` prints these means.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from statistics import median_low
from typing import ClassVar

import numpy as np

from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.rating.items import pixels_id
from instruct_imagen.evaluation.rating.storage import Rating, Store

RATED_AS_A_WHOLE = "rated as a whole"


class Human:
    """Medians of people's ratings.

    Images are recognised by their pixels, so that ratings of earlier images of a method never pass
    for those of new ones.

    Args:
        store: File of the ratings.
        raters: That an image needs at least.
        method: Take the ratings of the images of this method by its name instead: for imported
            ratings, which do not know what was shown.
    """

    name: ClassVar[str] = "human"
    about: ClassVar[str] = "people's ratings: store=FILE of `instruct-imagen rate`, raters=3"

    def __init__(self, *, store: str, raters: str = "3", method: str = "") -> None:
        if not (raters.isascii() and raters.isdigit() and int(raters) > 0):
            raise EvaluationError(f"judge human: raters must be a whole number, not '{raters}'")
        self._raters, self._method = int(raters), method
        self._path = Path(store)
        self._ratings: dict[tuple[str, str], list[Rating]] = {}
        for rating in Store(self._path, create=False).ratings():
            named = rating.method if method else rating.image
            self._ratings.setdefault((rating.case, named), []).append(rating)

    @property
    def fingerprint(self) -> str:
        """Of all ratings, and of how they are read."""
        lines = sorted(
            repr((one.key, one.sc, one.pq, one.image))
            for ratings in self._ratings.values()
            for one in ratings
        )
        parts = "\n".join([str(self._raters), self._method, *lines])
        return hashlib.sha256(parts.encode()).hexdigest()

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        """See `judges.base.Judge`.

        Raises:
            EvaluationError: An image has fewer raters than are needed; names its case.
        """
        return [self._verdict(case, image) for case, image in zip(cases, images, strict=True)]

    def _verdict(self, case: Case, image: np.ndarray) -> Verdict:
        found = self._ratings.get((case.id, self._method or pixels_id(image)), [])
        raters = sorted({rating.rater for rating in found})
        if len(raters) < self._raters:
            raise EvaluationError(
                f"the image of {case.id} has {len(raters)} of {self._raters} raters in "
                f"'{self._path}': rate it with instruct-imagen rate, or ask for fewer raters"
            )
        sc = median_low(rating.sc for rating in found)
        given = ", ".join(f"{rating.sc:g}" for rating in found)
        quality = ", ".join(f"{rating.pq:g}" for rating in found)
        return Verdict(
            scores=tuple(
                Score(
                    condition=one.name,
                    value=sc,
                    reason=f"{RATED_AS_A_WHOLE}: {given}",
                    measures={"raters": len(raters)},
                )
                for one in case.conditions
            ),
            pq=median_low(rating.pq for rating in found),
            pq_reason=f"raters gave {quality}",
            measures={
                "raters": len(raters),
                "mean_sc": float(np.mean([rating.sc for rating in found])),
                "mean_pq": float(np.mean([rating.pq for rating in found])),
            },
        )


JUDGE = Human
