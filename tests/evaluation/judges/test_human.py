"""People as a judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.rating.items import pixels_id
from instruct_imagen.evaluation.rating.storage import Rating, Store
from tests.evaluation.rating.small import small_cases

CASE = next(case for case in small_cases() if len(case.conditions) > 1)
IMAGE = CASE.target


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "r.sqlite")
    for rater, sc, pq in (("ann", 1.0, 0.5), ("bob", 0.5, 1.0), ("carl", 1.0, 1.0)):
        rating = Rating(case=CASE.id, method="ours", rater=rater, sc=sc, pq=pq)
        made.add(replace(rating, image=pixels_id(IMAGE)), rater)
    return made


def test_a_verdict_is_the_median_of_the_raters(store):
    (verdict,) = open_judge(f"human:store={store.path}").judge([CASE], [IMAGE])
    assert (verdict.sc, verdict.pq) == (1.0, 1.0)
    assert [score.condition for score in verdict.scores] == [one.name for one in CASE.conditions]
    assert all(score.reason == "rated as a whole: 1, 0.5, 1" for score in verdict.scores)
    assert verdict.measures["mean_sc"] == pytest.approx(5 / 6)


def test_of_two_raters_the_lower_counts(store):
    store.add(Rating(case=CASE.id, method="b", rater="ann", sc=0.0, pq=0.5), "x")
    store.add(Rating(case=CASE.id, method="b", rater="bob", sc=0.5, pq=1.0), "y")
    judge = open_judge(f"human:store={store.path},raters=2,method=b")
    (verdict,) = judge.judge([CASE], [np.zeros_like(IMAGE)])
    assert (verdict.sc, verdict.pq) == (0.0, 0.5)


def test_a_case_without_enough_raters_is_named(store):
    with pytest.raises(EvaluationError, match=f"{CASE.id} has 3 of 4 raters"):
        open_judge(f"human:store={store.path},raters=4").judge([CASE], [IMAGE])
    other = IMAGE.copy()
    other[0, 0, 0] ^= 1
    with pytest.raises(EvaluationError, match=f"{CASE.id} has 0 of 3 raters"):
        open_judge(f"human:store={store.path}").judge([CASE], [other])


def test_the_fingerprint_changes_with_ratings_and_options(store):
    def fingerprint(more=""):
        return open_judge(f"human:store={store.path}{more}").fingerprint

    first = fingerprint()
    assert first == fingerprint() != fingerprint(",raters=2")
    store.add(Rating(case="t/1", method="ours", rater="ann", sc=0.0, pq=0.0), "z")
    assert fingerprint() != first


def test_options_are_checked(tmp_path, store):
    with pytest.raises(EvaluationError, match="there are no ratings"):
        open_judge(f"human:store={tmp_path / 'none'}")
    with pytest.raises(EvaluationError, match="whole number"):
        open_judge(f"human:store={store.path},raters=0")
    with pytest.raises(EvaluationError, match="needs store"):
        open_judge("human")
