"""Means and their intervals, against answers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from instruct_imagen.evaluation.statistics import (
    Estimate,
    compare,
    group_average,
    mean,
    resampled_means,
)

SCORES = np.array([0.0, 0.5, 1.0])


def test_a_mean_and_the_interval_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(2, 1, 400)
    found = mean(values)
    assert found.value == pytest.approx(values.mean())
    assert found.cases == 400
    half = 1.96 * values.std() / 20
    assert found.high - found.value == pytest.approx(half, rel=0.08)
    assert found.value - found.low == pytest.approx(half, rel=0.08)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    shares = (0.3, 0.3, 0.4)
    truth = float(np.dot(shares, SCORES))
    hits = 0
    for _ in range(400):
        found = mean(rng.choice(SCORES, 100, p=shares), resamples=500)
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_the_average_over_groups_gives_each_the_same_weight():
    large, small = np.zeros(455), np.ones(99)
    found = group_average([large, small])
    assert (found.value, found.low, found.high, found.cases) == (0.5, 0.5, 0.5, 554)


def test_its_interval_resamples_within_groups():
    rng = np.random.default_rng(2)
    groups = [rng.normal(k, 1, 50) for k in (0, 100)]  # far apart: between them nothing varies
    found = group_average(groups)
    expected = 1.96 * np.sqrt(sum(one.var() / 50 for one in groups)) / 2
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.1)


def test_pairs_leave_out_how_hard_the_cases_are():
    rng = np.random.default_rng(3)
    hard = rng.uniform(0, 1, 100)
    first, second = hard + 0.05 + rng.normal(0, 0.02, 100), hard
    paired = compare([first], [second]).difference
    assert paired.clear
    assert paired.value == pytest.approx(0.05, abs=0.01)
    apart = [mean(first), mean(second)]
    assert apart[0].low < apart[1].high  # unpaired, nothing could be said


def test_shares_of_better_equal_and_worse():
    found = compare([[1, 1, 0], [0.5]], [[0, 1, 0.5], [0]])
    assert (found.better, found.equal, found.worse) == (0.5, 0.25, 0.25)
    assert found.difference.value == pytest.approx((0.5 / 3 + 0.5) / 2)


def test_no_difference_is_found_where_there_is_none_but_by_chance():
    rng = np.random.default_rng(4)
    clear = 0
    for _ in range(200):
        pair = rng.choice(SCORES, (2, 80))
        clear += compare([pair[0]], [pair[1]], resamples=500).difference.clear
    assert clear <= 20


def test_the_same_seed_gives_the_same_and_large_inputs_go_in_parts():
    values = np.random.default_rng(5).normal(size=3000)
    assert mean(values) == mean(values)
    assert mean(values) != mean(values, seed=1)
    drawn = resampled_means(values, resamples=4000)  # 12 million choices
    assert drawn.shape == (4000,)
    assert len(np.unique(drawn)) == 4000


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [[1.0]]])
def test_what_has_no_mean_is_an_error(values):
    with pytest.raises(ValueError, match=r"needs at least one|not finite"):
        mean(values)
    with pytest.raises(ValueError, match="no group"):
        group_average([])
    with pytest.raises(ValueError, match="same cases"):
        compare([[1.0]], [[1.0, 2.0]])


def test_a_single_case_has_a_mean_and_no_interval():
    found = group_average([[0.5], [0.0, 1.0]])
    assert (found.value, found.cases) == (0.5, 3)
    assert np.isnan([found.low, found.high]).all()
    assert not found.clear


def test_a_difference_is_clear_when_its_interval_leaves_zero_out():
    assert Estimate(value=1, low=0.1, high=2, cases=3).clear
    assert Estimate(value=-1, low=-2, high=-0.1, cases=3).clear
    assert not Estimate(value=1, low=-0.1, high=2, cases=3).clear


def test_sums_in_another_order_are_equal():
    second, first = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert sum(first) != sum(second)
    found = compare([[sum(first) / 3] * 2], [[sum(second) / 3] * 2])
    assert (found.better, found.equal, found.worse) == (0, 1, 0)
