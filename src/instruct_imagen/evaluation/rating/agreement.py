"""How far raters agree with each other, and a judge with raters: Krippendorff's α.

α is 1 where all agree, 0 where they agree as often as chance would have it, and less where they
contradict each other (K. Krippendorff, Content Analysis, 2004, ch. 11). The level of measurement
is *ordinal*, as in ImagenHub's own analysis: 0, 0.5 and 1 are names of ordered grades, and nobody
told the raters that from "no" to "partly" is as far as from "partly" to "yes". O = √(SC·PQ) of a
rater has the values 0, 0.5, 0.71 and 1, whose distances mean still less. ``interval`` takes the
numbers at their word and can be asked for.

A unit is an image, so a rater who has not seen it is simply missing there. Intervals are
percentiles of a bootstrap over cases: all images of a drawn case come with it, since what makes one
of them hard to rate may make all of them hard.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Literal

import numpy as np

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.base import SCORES
from instruct_imagen.evaluation.rating.storage import Rating

Level = Literal["ordinal", "interval"]

MEASURES: Mapping[str, Callable[[float, float], float]] = {
    "SC": lambda sc, pq: sc,
    "PQ": lambda sc, pq: pq,
    "O": lambda sc, pq: math.sqrt(sc * pq),
}
"""What agreement is asked about: a value of SC and PQ."""

RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far several agree.

    Attributes:
        measure: One of `MEASURES`.
        alpha: Krippendorff's; NaN where all values are equal or nobody rated the same image.
        low: Lower end of its 95% interval; NaN where α is undefined in most resamples.
        high: Upper end.
        images: Rated by two or more.
        equal: Share of pairs of ratings of an image that are the same.
    """

    measure: str
    alpha: float
    low: float
    high: float
    images: int
    equal: float


def alpha_of(counts: np.ndarray, values: Sequence[float], level: Level = "ordinal") -> float:
    """Krippendorff's α.

    Args:
        counts: int (units, values): how many raters gave a unit this value.
        values: In their order.
        level: Of measurement.

    Returns:
        At most 1; NaN where no unit has two ratings or those that have are all the same.
    """
    krippendorff = _krippendorff()
    paired = counts[counts.sum(1) >= 2]
    if np.count_nonzero(paired.sum(0)) < 2:
        return math.nan
    return float(
        krippendorff.alpha(
            value_counts=paired, value_domain=list(values), level_of_measurement=level
        )
    )


def agreement(
    ratings: Sequence[Rating], *, level: Level = "ordinal", seed: int = 0
) -> tuple[Agreement, ...]:
    """How far raters agree, for each of `MEASURES`.

    Args:
        ratings: One for each case, method and rater; two raters at least.
        level: Of measurement.
        seed: Of the bootstrap.
    """
    given = [(rating.case, rating.method, rating.sc, rating.pq) for rating in ratings]
    return tuple(_agreement(given, measure, level, seed) for measure in MEASURES)


def judge_agreement(
    ratings: Sequence[Rating],
    verdicts: Mapping[str, tuple[float, float]],
    *,
    level: Level = "ordinal",
    seed: int = 0,
) -> tuple[Agreement, ...]:
    """How far a judge agrees with people: α of two, the judge and the median of an image's raters.

    To compare with a single person pass their ratings alone.

    Args:
        ratings: Of the images of one method.
        verdicts: Case id → SC and PQ of the judge, of the images of that method.
        level: Of measurement.
        seed: Of the bootstrap.

    Raises:
        EvaluationError: There are ratings of several methods, or the judge has no verdict for a
            case that was rated.
    """
    methods = sorted({rating.method for rating in ratings})
    if len(methods) > 1:
        raise EvaluationError(
            f"verdicts are of one method and the ratings of {', '.join(methods)}: choose one with "
            "--method"
        )
    people = medians(ratings)
    missing = [case for case, _ in people if case not in verdicts]
    if missing:
        raise EvaluationError(
            f"the judge has no verdict for {len(missing)} cases that were rated, the first is "
            f"{missing[0]}: judge the same suite"
        )
    given = [(case, method, *scores) for (case, method), scores in people.items()]
    given += [(case, method, *verdicts[case]) for case, method in people]
    return tuple(_agreement(given, measure, level, seed) for measure in MEASURES)


def medians(ratings: Sequence[Rating]) -> dict[tuple[str, str], tuple[float, float]]:
    """(Case, method) → medians of SC and of PQ; of an even number the lower of the middle two."""
    grouped: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        grouped.setdefault((rating.case, rating.method), []).append(rating)
    return {
        key: (median_low(one.sc for one in group), median_low(one.pq for one in group))
        for key, group in grouped.items()
    }


def read_verdicts(path: Path) -> dict[str, tuple[float, float]]:
    """Case id → SC and PQ of a judge.

    A line is ``{"case": id, "sc": x, "pq": y}``, or one of an evaluation's
    ``verdicts-<judge>.jsonl``: ``{"id": id, "scores": [[condition, value, …], …], "pq": y,
    "error": ""}``, whose SC is the least of its scores and which is no verdict where it has an
    error. Of several lines on a case the last counts; other keys are not read.

    Raises:
        EvaluationError: The file is missing, or a line is neither.
    """
    found: dict[str, tuple[float, float]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            verdict = json.loads(line)
            case = verdict["id"] if "id" in verdict else verdict["case"]
            if verdict.get("error"):
                found.pop(case, None)
                continue
            sc = verdict["sc"] if "sc" in verdict else min(one[1] for one in verdict["scores"])
            scores = (sc, verdict["pq"])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise EvaluationError(
                f"{path}: line {number} must be an object with case, sc and pq"
            ) from error
        if not isinstance(case, str) or not all(_is_score(score) for score in scores):
            raise EvaluationError(f"{path}: line {number}: sc and pq must be 0, 0.5 or 1")
        found[case] = (float(scores[0]), float(scores[1]))
    return found


def _is_score(value: object) -> bool:
    return type(value) in (int, float) and value in SCORES


def _agreement(
    given: Sequence[tuple[str, str, float, float]], measure: str, level: Level, seed: int
) -> Agreement:
    """Of (case, method, SC, PQ) of anybody."""
    values = [round(MEASURES[measure](sc, pq), 12) for _, _, sc, pq in given]
    domain = sorted(set(values))
    units = {key: place for place, key in enumerate(dict.fromkeys(one[:2] for one in given))}
    counts = np.zeros((len(units), len(domain)), np.int64)
    for one, value in zip(given, values, strict=True):
        counts[units[one[:2]], domain.index(value)] += 1
    low, high = _interval([case for case, _ in units], counts, domain, level, seed)
    raters = counts.sum(1)
    pairs = (raters * (raters - 1)).sum()
    return Agreement(
        measure=measure,
        alpha=alpha_of(counts, domain, level),
        low=low,
        high=high,
        images=int((raters >= 2).sum()),
        equal=float((counts * (counts - 1)).sum() / pairs) if pairs else math.nan,
    )


def _interval(
    cases: Sequence[str], counts: np.ndarray, domain: Sequence[float], level: Level, seed: int
) -> tuple[float, float]:
    """The 95% interval of α over cases; NaN where more than half of the resamples have no α."""
    names = sorted(set(cases))
    rows = {name: [] for name in names}
    for place, case in enumerate(cases):
        rows[case].append(place)
    chance = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES if len(names) > 1 else 0):
        chosen = chance.integers(len(names), size=len(names))
        places = [place for one in chosen for place in rows[names[one]]]
        drawn.append(alpha_of(counts[places], domain, level))
    known = [value for value in drawn if not math.isnan(value)]
    if len(known) <= RESAMPLES / 2:
        return math.nan, math.nan
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def _krippendorff():
    try:
        import krippendorff
    except ModuleNotFoundError as error:
        raise EvaluationError(
            "agreement needs krippendorff: pip install 'instruct-imagen[evaluation]'"
        ) from error
    return krippendorff
