"""Judges are judged: by an oracle that is right, and by one that sees nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.atlas import SIDE, Atlas
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.known_answers import (
    SEED,
    TASKS,
    Spoiled,
    judged,
    known_cases,
    known_examples,
    table,
)
from instruct_imagen.evaluation.scene_changes import Props, is_clear
from instruct_imagen.evaluation.violation_sheet import violation_sheets
from instruct_imagen.evaluation.violations import Violation, violations
from tests.data.people import people
from tests.evaluation.oracle import Oracle

SIZE = 32


@cache
def _props() -> Props:
    faces = people(each=4)
    own = fallback_atlas()
    sprites = [own.sprites, *(_portrait(number)[None] for number in range(len(faces)))]
    pairs = (*own.pairs, *(face.pair for face in faces))
    atlas = Atlas(pairs=pairs, sprites=np.concatenate(sprites), sources={})
    rich = Variety(most_assets=2, places=0.25, turned=0.1, tinted=0.1)
    return Props(vocabulary=replace(fallback_vocabulary(), variety=rich, faces=faces), atlas=atlas)


def _portrait(number: int) -> np.ndarray:
    """A disc whose colour is the person, with a mouth whose height is the mood."""
    person, mood = divmod(number, 5)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    sprite = np.zeros((4, SIDE, SIDE), np.uint8)
    disc = np.hypot(rows - SIDE / 2, columns - SIDE / 2) < SIDE * 0.45
    colour = [(person * 97) % 256, (person * 53 + 80) % 256, (person * 151 + 40) % 256, 255]
    sprite[:, disc] = np.array(colour, np.uint8)[:, None]
    sprite[:3, 30 + 4 * mood : 34 + 4 * mood, 20:44] = 0
    return sprite


@cache
def _cases() -> tuple[Case, ...]:
    props = _props()
    return tuple(known_cases(known_examples(props.vocabulary, 6), props, SIZE))


@cache
def _violations() -> tuple[tuple[Case, Violation], ...]:
    groups: Counter[str] = Counter()
    found = []
    for case in _cases():
        rng = scene_rng(SEED + 900, groups[case.group])
        groups[case.group] += 1
        found += [(case, one) for one in violations(case, _props(), rng)]
    return tuple(found)


@cache
def _oracle() -> Oracle:
    scenes = [one.scene for _, one in _violations()] + [c.example.target.scene for c in _cases()]
    pixels = render_pictures([Picture(scene=one) for one in scenes], _props().atlas, SIZE)
    arrays = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    return Oracle(dict(zip((one.tobytes() for one in arrays), scenes, strict=True)), _props().atlas)


@dataclass(frozen=True)
class Blind:
    """Is content with everything."""

    name = "blind"
    about = "sees nothing"
    fingerprint = "blind"

    def judge(self, cases, images):
        return [
            Verdict(
                scores=tuple(
                    Score(condition=c.name, value=1.0, reason="") for c in case.conditions
                ),
                pq=1.0,
                pq_reason="",
            )
            for case in cases
        ]


def test_every_task_has_cases_and_every_kind_of_condition_a_violation():
    assert {case.group for case in _cases()} == set(TASKS)
    kinds = {one.kind for case in _cases() for one in case.conditions}
    broken = {
        next(c.kind for c in case.conditions if c.name == one.condition)
        for case, one in _violations()
    }
    assert broken == kinds


def test_an_oracle_is_right():
    answers = judged(_oracle(), _cases(), _props(), SIZE)
    assert all(row.overall == 1 for row in answers.targets)
    assert all(enough for _, enough in answers.asked.values()), table(answers)
    assert json.loads(json.dumps(answers.as_json()))["judge"] == "oracle"
    assert "violated" in table(answers) and "blur" in table(answers)


def test_who_sees_nothing_is_found_out():
    answers = judged(Blind(), _cases(), _props(), SIZE)
    enough = [good for _, good in answers.asked.values()]
    assert enough == [True, False, False, False]
    assert len(answers.misses) == len(_violations())


def test_a_violation_is_clear_and_changes_nothing_else():
    for case, one in _violations():
        target, changed = case.example.target.scene, one.scene
        assert is_clear(target, changed, _props().atlas)
        kind = next(c.kind for c in case.conditions if c.name == one.condition)
        if kind not in ("edit", "source") and one.done != "other background":
            assert changed.background == target.background
        if kind in ("subject", "face") or one.done == "other thing":
            differ = [a != b for a, b in zip(target.placements, changed.placements, strict=True)]
            assert sum(differ) == 1
            assert [a.style for a in target.placements] == [a.style for a in changed.placements]
        if kind in ("mask", "depth", "edge", "sketch"):
            looks = [
                [(a.concept, a.style, a.tint) for a in s.placements] for s in (target, changed)
            ]
            assert looks[0] == looks[1]
        if one.done == "other style":
            assert [(a.concept, a.x, a.y) for a in target.placements] == [
                (a.concept, a.x, a.y) for a in changed.placements
            ]


def test_violations_are_the_same_for_the_same_generator():
    case = next(case for case in _cases() if case.group == "many_conditions")
    one, other = (list(violations(case, _props(), scene_rng(1, 2))) for _ in range(2))
    assert one == other and one


def test_a_case_without_an_example_cannot_be_violated():
    case = replace(_cases()[0], example=None)
    with pytest.raises(ValueError, match="not of the world"):
        list(violations(case, _props(), scene_rng(1, 2)))


def test_one_case_of_a_group_is_too_few():
    with pytest.raises(EvaluationError, match="raise the count"):
        judged(Blind(), _cases()[:1], _props(), SIZE)


def test_order_of_quality():
    assert Spoiled(fault="blur", count=1, pq=(1.0, 0.5, 0.5, 0.0)).ordered
    assert not Spoiled(fault="blur", count=1, pq=(1.0, 0.5, 0.6, 0.0)).ordered
    assert not Spoiled(fault="blur", count=1, pq=(1.0, 1.0, 1.0, 1.0)).ordered


def test_sheets_show_each_kind():
    cases = [case for case in _cases() if case.group in ("subject", "control_style")]
    sheets = dict(violation_sheets(cases, _props(), SIZE, rows=2))
    assert {"subject_other_concept", "style_other_style"} <= set(sheets)
    assert all(np.asarray(sheet).std() > 0 for sheet in sheets.values())
