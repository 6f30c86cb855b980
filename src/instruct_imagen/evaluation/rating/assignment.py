"""Who rates what, and in which order: pure functions of who has rated what so far.

A case is given to a rater when they have finished the one before, so fast raters take more and
whoever leaves holds at most one back. All methods of a case are rated by the same people
([Hu24] A.4), one after the other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from instruct_imagen.evaluation.rating.storage import Assignment, Rating

HELD_FOR = 3600.0
"""Seconds for which a case that was given out and not finished counts as one that will be."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the work is shared.

    Attributes:
        raters: That each case needs, at least.
        people: Between whom the cases are shared; the share of each is
            cases · raters / people, rounded up. 0 for no shares: each rates all that is needed.
    """

    raters: int = 3
    people: int = 0

    def share(self, cases: int) -> int:
        """How many cases a rater is asked for, of so many."""
        if self.people <= self.raters:
            return cases
        return math.ceil(cases * self.raters / self.people)


def shuffled(things: Collection[str], *seeds: str) -> list[str]:
    """Things in an order that the seeds alone decide."""
    return sorted(things, key=lambda thing: _digest(*seeds, thing))


def token(secret: str, rater: str, case: str, method: str) -> str:
    """What the browser knows an image by: says nothing of case or method."""
    return _digest(secret, "token", rater, case, method)[:24]


def _digest(*parts: str) -> str:
    joined = "\0".join(part.replace("\0", "\0\0") for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()


def finished(
    methods: Mapping[str, Collection[str]], ratings: Sequence[Rating]
) -> dict[str, set[str]]:
    """Case → raters who have rated all its methods.

    Args:
        methods: Case → its methods.
        ratings: So far.
    """
    given: dict[tuple[str, str], set[str]] = {}
    for rating in ratings:
        given.setdefault((rating.case, rating.rater), set()).add(rating.method)
    found: dict[str, set[str]] = {case: set() for case in methods}
    for (case, rater), rated in given.items():
        if case in methods and rated.issuperset(methods[case]):
            found[case].add(rater)
    return found


def next_case(
    rater: str,
    methods: Mapping[str, Collection[str]],
    assignments: Sequence[Assignment],
    ratings: Sequence[Rating],
    plan: Plan,
    *,
    secret: str,
    now: float,
) -> str | None:
    """The case that a rater is given next; None where no case needs them.

    Cases that lack the fewest raters come first: when the work stops early, those that were begun
    have all their raters. Among equals the order is the rater's own.

    Args:
        rater: Who asks; has finished what they were given.
        methods: Case → its methods.
        assignments: Of everybody.
        ratings: Of everybody.
        plan: How many raters a case needs.
        secret: Seed of the order.
        now: Seconds since 1970: who was given a case `HELD_FOR` ago and has not finished it is not
            waited for.
    """
    taken = finished(methods, ratings)
    own = {one.case for one in assignments if one.rater == rater}
    for one in assignments:
        if one.case in taken and now - one.at < HELD_FOR:
            taken[one.case].add(one.rater)
    open_cases = [
        case
        for case in methods
        if case not in own and rater not in taken[case] and len(taken[case]) < plan.raters
    ]
    order = {case: place for place, case in enumerate(shuffled(open_cases, secret, rater))}
    return min(open_cases, key=lambda case: (-len(taken[case]), order[case]), default=None)
