"""The target follows all conditions of an instruction at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from instruct_imagen.data.example import EDGE_KINDS, Example, ExampleReference, Scene
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import load_templates
from instruct_imagen.data.tasks.combinations import CONTROLS
from instruct_imagen.data.tasks.registry import training_tasks
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    STYLE_NAMES,
    caption_name,
    scene_rng,
)
from instruct_imagen.data.world.vocabulary import Vocabulary

COUNT = 400
HELD_OUT = sorted(set(all_tasks()) - set(training_tasks()))


def made(task: str, vocabulary: Vocabulary) -> Iterator[Example]:
    for index in range(COUNT):
        yield all_tasks()[task]().example(scene_rng(11, index), vocabulary)


def by_role(example: Example, *roles: str) -> list[ExampleReference]:
    return [one for one in example.references if one.role in roles]


def markers(references: list[ExampleReference]) -> set[int]:
    return {one.marker for one in references}


@pytest.mark.parametrize("task", HELD_OUT)
def test_the_target_follows_every_condition(task: str, vocabulary: Vocabulary) -> None:
    for example in made(task, vocabulary):
        scene = example.target.scene
        style = by_role(example, "style")
        if style:
            (asset,) = style[0].picture.scene.placements
            assert {placed.style for placed in scene.placements} == {asset.style}
            assert asset.concept not in {placed.concept for placed in scene.placements}
        for subject in by_role(example, "subject"):
            (shown,) = subject.picture.scene.placements
            (drawn,) = (one for one in scene.placements if one.concept == shown.concept)
            assert subject.text == caption_name(shown.concept)
            assert (shown.style == drawn.style) == (not style)
            assert not (shown.tint or drawn.tint or drawn.turn)
            assert f"[ref#{subject.marker}] {subject.text}" in example.text
            colours = subject.picture.scene.background.colours
            assert not set(colours) & set(scene.background.colours)
        for control in by_role(example, *CONTROLS):
            kinds = EDGE_KINDS if control.role == "edge" else {control.role}
            assert control.picture.kind in kinds
            assert control.picture.scene == scene
        for background in by_role(example, "content"):
            assert background.picture.scene == Scene(background=scene.background, placements=())
        if {one.style for one in scene.placements} & DARK_INK_STYLES:
            assert not set(scene.background.colours) & DARK_COLOURS
        assert not any(name in example.text for name in STYLE_NAMES.values())


@pytest.mark.parametrize("task", HELD_OUT)
def test_captions_are_silent_about_what_a_reference_shows(
    task: str, vocabulary: Vocabulary
) -> None:
    for example in made(task, vocabulary):
        shown = by_role(example, "content")
        assert ("background" in example.caption) == (not shown)
        marked = re.sub(r"the \[ref#\d\] ", "", example.text)
        for asset in example.target.scene.placements:
            assert caption_name(asset.concept) in marked.lower()


def test_templates_of_two_subjects_do_not_say_how_they_stand() -> None:
    task = all_tasks()["multi_subject"]
    said = re.compile(r"\b(beside|next to|near|apart|side|above|below|left|right|behind|front)\b")
    assert not [line for line in load_templates(task.name, *task.forms) if said.search(line)]


@pytest.mark.parametrize("task", ["control_style", "control_subject", "many_conditions"])
def test_no_noun_stands_right_before_a_control(task: str) -> None:
    """Which may be "the mask [ref#1]": not "layout the mask"."""
    nouns = re.compile(r"([(:,] ?|\bthe )(layout|draft|style|plan|map|sketch) \{control\}")
    forms = all_tasks()[task].forms
    assert not [line for line in load_templates(task, *forms) if nouns.search(line.lower())]


@pytest.mark.parametrize("task", HELD_OUT)
def test_markers_have_any_order_and_share_subjects(task: str, vocabulary: Vocabulary) -> None:
    orders, pictures = Counter(), Counter()
    for example in made(task, vocabulary):
        roles = dict(sorted((one.marker, one.role) for one in example.references))
        orders[tuple(roles.values())] += 1
        for k, role in roles.items():
            if role == "subject":
                pictures[sum(one.marker == k for one in example.references)] += 1
    first = Counter(roles[0] in CONTROLS for roles in orders)
    if task.startswith("control"):
        assert len(first) == 2
    assert task == "multi_subject" or len(orders) >= 2
    if pictures:
        assert set(pictures) == {1, 2}
        assert abs(pictures[2] / pictures.total() - 0.25) < 0.08


def test_two_subjects_share_a_style_or_do_not(vocabulary: Vocabulary) -> None:
    numbers = Counter(
        len({asset.style for asset in example.target.scene.placements})
        for example in made("multi_subject", vocabulary)
    )
    assert set(numbers) == {1, 2}
    assert abs(numbers[1] / COUNT - 0.5) < 0.1


def test_many_conditions_are_three_to_five(vocabulary: Vocabulary) -> None:
    kinds = Counter()
    for example in made("many_conditions", vocabulary):
        subjects = markers(by_role(example, "subject"))
        others = [
            name
            for name, roles in (
                ("style", ("style",)),
                ("control", tuple(CONTROLS)),
                ("background", ("content",)),
            )
            if by_role(example, *roles)
        ]
        assert len(markers(list(example.references))) == len(subjects) + len(others)
        kinds[(len(subjects), *others)] += 1
    assert set(kinds) == {
        (1, "style", "control"),
        (2, "style"),
        (2, "control"),
        (1, "style", "control", "background"),
        (2, "style", "control", "background"),
    }
    assert min(kinds.values()) > COUNT / 5 * 0.7


def test_all_controls_are_drawn(vocabulary: Vocabulary) -> None:
    for task in ("control_subject", "control_style", "many_conditions"):
        drawn = Counter(
            one.role for example in made(task, vocabulary) for one in by_role(example, *CONTROLS)
        )
        assert set(drawn) == CONTROLS
        assert min(drawn.values()) > drawn.total() / 4 * 0.7


@pytest.mark.parametrize("task", HELD_OUT)
def test_our_own_drawings_suffice(task: str) -> None:
    assert len(set(made(task, fallback_vocabulary()))) == COUNT


@pytest.mark.parametrize("task", HELD_OUT)
def test_a_world_without_a_second_thing_is_refused(task: str) -> None:
    lone = replace(fallback_vocabulary(), pairs=(("sun", "flat"),))
    if task == "control_subject":
        assert all_tasks()[task]().example(scene_rng(0, 0), lone).references
        return
    with pytest.raises(ValueError, match="no assets for so many conditions in 200 draws"):
        all_tasks()[task]().example(scene_rng(0, 0), lone)
