"""Agreement, with known answers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.rating.agreement import (
    agreement,
    alpha_of,
    judge_agreement,
    medians,
    read_verdicts,
)
from instruct_imagen.evaluation.rating.storage import Rating

# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section C: four observers,
# twelve units, missing values.
PUBLISHED = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""


@pytest.mark.parametrize(("level", "alpha"), [("ordinal", 0.815), ("interval", 0.849)])
def test_a_published_example(level, alpha):
    table = [line.split() for line in PUBLISHED.strip().splitlines()]
    counts = np.array([[column.count(v) for v in "12345"] for column in zip(*table, strict=True)])
    assert alpha_of(counts, range(1, 6), level) == pytest.approx(alpha, abs=5e-4)


def rated(scores, methods=("a",)):
    """Ratings from rater → one (SC, PQ) an image; images are cases of each method in turn."""
    return [
        Rating(case=f"t/{n // len(methods)}", method=methods[n % len(methods)], rater=rater,
               sc=float(sc), pq=float(pq))
        for rater, given in scores.items()
        for n, (sc, pq) in enumerate(given)
    ]  # fmt: skip


def drawn(seed, count):
    return np.random.default_rng(seed).integers(3, size=(count, 2)) / 2


def test_raters_who_are_one_agree_fully():
    given = drawn(0, 60)
    for row in agreement(rated({"ann": given, "bob": given, "carl": given})):
        assert (row.alpha, row.low, row.high, row.equal) == (1.0, 1.0, 1.0, 1.0)
        assert row.images == 60


@pytest.mark.parametrize("level", ["ordinal", "interval"])
def test_raters_who_do_not_look_agree_by_chance(level):
    ratings = rated({f"rater{n}": drawn(n, 400) for n in range(3)})
    rows = agreement(ratings, level=level)
    assert [row.measure for row in rows] == ["SC", "PQ", "O"]
    for row in rows:
        assert row.alpha == pytest.approx(0, abs=0.08)
        assert row.low < 0 < row.high


def test_raters_who_contradict_each_other_are_below_chance():
    given = drawn(0, 60)
    for row in agreement(rated({"ann": given, "bob": 1 - given}))[:2]:
        assert row.alpha < -0.3


def test_an_example_by_hand():
    """Interval level, two raters: α = 1 - (n - 1) Σ d² / Σ over all pairs of values d²."""
    given = {"ann": [(0, 0), (1, 0), (1, 1)], "bob": [(0, 1), (0.5, 0), (1, 1)]}
    values = np.array([0, 0, 1, 0.5, 1, 1])
    expected = 1 - 5 * 2 * 0.5**2 / np.square(values[:, None] - values).sum()
    sc, pq, _ = agreement(rated(given), level="interval")
    assert sc.alpha == pytest.approx(expected)
    assert (sc.images, sc.equal, pq.equal) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_overall_is_of_each_raters_own_scores():
    """Two raters who differ in SC and PQ can agree in O."""
    given = {"ann": [(0, 1), (1, 0.5)], "bob": [(1, 0), (0.5, 1)]}
    sc, pq, overall = agreement(rated(given))
    assert sc.alpha < 0 and pq.alpha < 0
    assert overall.alpha == 1.0


def test_images_of_one_rater_do_not_count_and_sameness_has_no_alpha():
    given = drawn(0, 20)
    ratings = rated({"ann": given, "bob": given[:5]})
    assert agreement(ratings)[0].images == 5
    assert math.isnan(agreement(rated({"ann": given}))[0].alpha)
    same = agreement(rated({"ann": [(1, 1)] * 4, "bob": [(1, 1)] * 4}))[0]
    assert math.isnan(same.alpha) and (same.images, same.equal) == (4, 1.0)


def test_the_interval_is_over_cases_not_over_images():
    """The same ratings, as images of 20 cases or of 160 cases: the former say less."""
    given = {f"rater{n}": np.repeat(drawn(n, 20), 8, 0) for n in range(2)}
    few, many = (
        agreement(rated(given, tuple("abcdefgh")))[0],
        agreement(rated(given))[0],
    )
    assert few.alpha == many.alpha
    assert few.high - few.low > 2 * (many.high - many.low)


def test_the_interval_covers_and_repeats():
    truth = drawn(0, 400)
    chance = np.random.default_rng(1)

    def seen(count):
        noisy = chance.random((count, 2)) < 0.3
        return np.where(noisy, chance.integers(3, size=(count, 2)) / 2, truth[:count])

    large = agreement(rated({"ann": seen(400), "bob": seen(400)}))[0]
    inside = 0
    for _ in range(4):
        row = agreement(rated({"ann": seen(80), "bob": seen(80)}))[0]
        inside += row.low <= large.alpha <= row.high
    assert inside >= 3
    ratings = rated({"ann": truth[:30], "bob": truth[1:31]})
    assert agreement(ratings) == agreement(ratings)


def test_a_judge_is_compared_with_the_median_or_with_one_person():
    truth = drawn(0, 80)
    ratings = rated({"ann": truth, "bob": truth, "carl": 1 - truth})
    verdicts = {f"t/{n}": tuple(map(float, pair)) for n, pair in enumerate(truth)}
    assert [row.alpha for row in judge_agreement(ratings, verdicts)] == [1.0] * 3
    carl = [one for one in ratings if one.rater == "carl"]
    assert judge_agreement(carl, verdicts)[0].alpha < 0
    blind = {f"t/{n}": tuple(map(float, pair)) for n, pair in enumerate(drawn(5, 80))}
    assert judge_agreement(ratings, blind)[0].alpha == pytest.approx(0, abs=0.25)
    assert judge_agreement(ratings, blind)[0].images == 80


def test_a_judge_without_a_verdict_or_with_several_methods_is_refused():
    ratings = rated({"ann": drawn(0, 4)})
    with pytest.raises(EvaluationError, match=r"no verdict for 3 cases that were rated.*t/1"):
        judge_agreement(ratings, {"t/0": (1.0, 1.0)})
    with pytest.raises(EvaluationError, match="ratings of a, b: choose one with --method"):
        judge_agreement(rated({"ann": drawn(0, 4)}, ("a", "b")), {})


def test_the_lower_of_two_medians():
    given = rated({"ann": [(0, 1)], "bob": [(0.5, 1)], "carl": [(1, 0)]})
    assert medians(given) == {("t/0", "a"): (0.5, 1.0)}
    assert medians(given[:2]) == {("t/0", "a"): (0.0, 1.0)}


def test_verdicts_are_read_in_both_forms(tmp_path):
    path = tmp_path / "verdicts-truth.jsonl"
    lines = [
        {"case": "t/0", "scores": [1, 0.5], "sc": 0.5, "pq": 1},
        {"id": "t/1", "scores": [["text", 1.0, "why", {}], ["style", 0.0, "why", {}]], "pq": 0.5,
         "error": "", "more": 3},
        {"id": "t/2", "scores": [], "pq": 0.0, "error": "no such probe"},
        {"case": "t/0", "sc": 1, "pq": 0},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_verdicts(path) == {"t/0": (1.0, 0.0), "t/1": (0.0, 0.5)}


@pytest.mark.parametrize(
    "line",
    ["x", "[]", '{"case": "a"}', '{"case": "a", "sc": 0.7, "pq": 1}', '{"sc": 1, "pq": 1}',
     '{"id": "a", "scores": [], "pq": 1}', '{"case": 3, "sc": 1, "pq": 1}',
     '{"case": "a", "sc": true, "pq": 1}'],
)  # fmt: skip
def test_a_broken_verdict_is_one_line(tmp_path, line):
    path = tmp_path / "v.jsonl"
    path.write_text(f'{{"case": "ok/1", "sc": 1, "pq": 1}}\n{line}\n')
    with pytest.raises(EvaluationError, match=r"v\.jsonl: line 2") as raised:
        read_verdicts(path)
    assert "\n" not in str(raised.value)
