"""Means with confidence intervals: bootstrap over cases, seeded; numpy only.

Intervals are percentiles of means of resampled cases (Efron, Annals of Statistics 7, 1979).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 4000
LEVEL = 0.95
_SEED = 20240101
_AT_ONCE = 2_000_000  # random numbers, 16 MB


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean, and the interval in which it lies with probability `LEVEL`.

    Attributes:
        value: The mean.
        low: Lower end; not a number where a group has a single case, of which none is known.
        high: Upper end; as well.
        cases: That it is over.
    """

    value: float
    low: float
    high: float
    cases: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out: for differences, that there is one."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same cases and seeds, first minus second.

    Attributes:
        difference: Of the means.
        better: Share of cases on which the first is better.
        equal: Share on which they are equal.
        worse: Share on which it is worse.
    """

    difference: Estimate
    better: float
    equal: float
    worse: float


def resampled_means(
    values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = _SEED
) -> np.ndarray:
    """Means of bootstrap samples.

    Args:
        values: (n,), n at least 1.
        resamples: How many samples.
        seed: Of their choice.

    Returns:
        (resamples,) float64.
    """
    rng = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(values))
    parts = [
        values[rng.integers(len(values), size=(min(rows, resamples - start), len(values)))].mean(1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def mean(
    values: Sequence[float] | np.ndarray, *, resamples: int = RESAMPLES, seed: int = _SEED
) -> Estimate:
    """The mean over cases.

    Raises:
        ValueError: There is no value, or one is not finite: a case that failed has no score, and
            must not vanish from a mean.
    """
    return group_average([values], resamples=resamples, seed=seed)


def group_average(
    groups: Sequence[Sequence[float] | np.ndarray],
    *,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> Estimate:
    """The mean of the means of groups, as in [Hu24] Table 4; cases are resampled in their group.

    Raises:
        ValueError: See `mean`.
    """
    arrays = [_checked(values) for values in groups]
    if not arrays:
        raise ValueError("there is no group to average")
    value, cases = float(np.mean([one.mean() for one in arrays])), sum(map(len, arrays))
    if min(map(len, arrays)) == 1:
        return Estimate(value=value, low=np.nan, high=np.nan, cases=cases)
    drawn = np.mean(
        [resampled_means(one, resamples=resamples, seed=seed + n) for n, one in enumerate(arrays)],
        axis=0,
    )
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value=value, low=float(low), high=float(high), cases=cases)


def compare(
    first: Sequence[Sequence[float] | np.ndarray],
    second: Sequence[Sequence[float] | np.ndarray],
    *,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> Comparison:
    """Paired: difference case by case, which leaves out how hard the cases are.

    Args:
        first: Values of a model, by groups.
        second: Of another, in the same order.
        resamples: How many bootstrap samples.
        seed: Of their choice.

    Raises:
        ValueError: They are not of the same cases, or see `mean`.
    """
    if [len(one) for one in first] != [len(one) for one in second]:
        raise ValueError("a paired comparison needs the same cases of both models")
    pairs = zip(first, second, strict=True)
    differences = [_checked(one) - _checked(other) for one, other in pairs]
    # Means over seeds, summed in another order, may differ in their last bit.
    together = np.concatenate(differences).round(12)
    return Comparison(
        difference=group_average(differences, resamples=resamples, seed=seed),
        better=float((together > 0).mean()),
        equal=float((together == 0).mean()),
        worse=float((together < 0).mean()),
    )


def _checked(values: Sequence[float] | np.ndarray) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError("a mean needs at least one value")
    if not np.isfinite(array).all():
        raise ValueError("a value is not finite: a failed case cannot be averaged away")
    return array
