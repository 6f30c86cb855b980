"""Who rates what."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruct_imagen.evaluation.rating.assignment import (
    HELD_FOR,
    Plan,
    finished,
    next_case,
    shuffled,
    token,
)
from instruct_imagen.evaluation.rating.storage import Assignment, Rating


class Work:
    """A state that raters change in turns."""

    def __init__(self, cases, methods, plan):
        self.methods = {f"t/{number}": methods for number in range(cases)}
        self.plan, self.assignments, self.ratings, self.now = plan, [], [], 0.0

    def take(self, rater):
        self.now += 1.0
        case = next_case(
            rater, self.methods, self.assignments, self.ratings, self.plan,
            secret="s", now=self.now,
        )  # fmt: skip
        if case is not None:
            self.assignments.append(Assignment(rater=rater, case=case, at=self.now))
        return case

    def finish(self, rater, case):
        for method in self.methods[case]:
            self.ratings.append(Rating(case=case, method=method, rater=rater, sc=1.0, pq=1.0))

    def loads(self):
        return Counter(one.rater for one in self.assignments)


@settings(max_examples=40)
@given(
    cases=st.integers(1, 12), raters=st.integers(1, 4), more=st.integers(0, 3), seed=st.integers()
)
def test_every_case_gets_its_raters_and_nobody_a_case_twice(cases, raters, more, seed):
    work = Work(cases, ("a", "b"), Plan(raters=raters))
    people = [f"rater{number}" for number in range(raters + more)]
    chance = np.random.default_rng(abs(seed))
    busy = {}
    while True:
        turns = [people[n] for n in chance.permutation(len(people))]
        if not any(self_turn(work, rater, busy, chance) for rater in turns) and not busy:
            break
    done = finished(work.methods, work.ratings)
    assert all(len(found) == raters for found in done.values())
    pairs = [(one.rater, one.case) for one in work.assignments]
    assert len(pairs) == len(set(pairs)) == cases * raters


def self_turn(work, rater, busy, chance):
    """Finishes what the rater holds, at times, or takes a case; True where something happened."""
    if rater in busy:
        if chance.random() < 0.5:
            work.finish(rater, busy.pop(rater))
        return True
    case = work.take(rater)
    if case is not None:
        busy[rater] = case
    return case is not None


def test_a_share_is_the_same_for_all():
    assert Plan(raters=3).share(100) == 100
    assert Plan(raters=3, people=6).share(100) == 50
    assert Plan(raters=3, people=7).share(100) == 43
    work = Work(40, ("a",), Plan(raters=3, people=6))
    for turn in range(20):
        for rater in "abcdef":
            work.finish(rater, work.take(rater))
        assert set(work.loads().values()) == {turn + 1}
    assert all(len(raters) == 3 for raters in finished(work.methods, work.ratings).values())


def test_begun_cases_come_first():
    work = Work(30, ("a",), Plan(raters=3))
    begun = {work.take("ann") for _ in range(1)}
    for case in begun:
        work.finish("ann", case)
    assert work.take("bob") in begun
    assert work.take("carl") in begun
    assert work.take("dora") not in begun


def test_who_left_is_not_waited_for():
    work = Work(1, ("a", "b"), Plan(raters=1))
    case = work.take("ann")
    assert work.take("bob") is None
    work.now += HELD_FOR
    assert work.take("bob") == case


def test_a_case_is_finished_with_all_its_methods():
    ratings = [Rating(case="t/0", method="a", rater="ann", sc=1.0, pq=1.0)]
    assert finished({"t/0": ("a", "b")}, ratings) == {"t/0": set()}
    assert finished({"t/0": ("a",)}, ratings) == {"t/0": {"ann"}}


def test_orders_are_of_the_rater_and_repeat():
    cases = [f"t/{number}" for number in range(30)]
    assert shuffled(cases, "s", "ann") == shuffled(reversed(cases), "s", "ann")
    orders = {tuple(shuffled(cases, seed, rater)) for seed in "st" for rater in ("ann", "bob")}
    assert len(orders) == 4
    # every method is as often the first of a case
    first = Counter(shuffled(("x", "y", "z"), "s", "ann", f"t/{n}")[0] for n in range(600))
    assert all(count == pytest.approx(200, abs=50) for count in first.values())


def test_tokens_differ_and_tell_nothing():
    made = {token("s", rater, case, method)
            for rater in "ab" for case in ("t/0", "t/1") for method in ("x", "y")}  # fmt: skip
    assert len(made) == 8
    assert token("s", "a", "t/0", "x") != token("r", "a", "t/0", "x")
    # parts cannot run into each other
    assert token("s", "a", "b\0c", "d") != token("s", "a", "b", "c\0d")
