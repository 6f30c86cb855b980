"""Faces: one picture of a person from others of the same person."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from instruct_imagen.data.example import Example
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import drawable, load_templates
from instruct_imagen.data.tasks.faces import styles_of_set
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.scenes import caption_name, scene_rng
from instruct_imagen.data.world.vocabulary import Face, Vocabulary, VocabularyError
from tests.data.people import EXPRESSIONS, STYLES, people

SETS = ["face", "face_hq"]
COUNT = 600


def made(task: str, vocabulary: Vocabulary) -> list[Example]:
    return [all_tasks()[task]().example(scene_rng(1, index), vocabulary) for index in range(COUNT)]


@pytest.mark.parametrize("task", SETS)
def test_all_pictures_are_of_one_person_with_different_expressions(
    task: str, vocabulary: Vocabulary
) -> None:
    by_pair = {face.pair: face for face in vocabulary.faces}
    numbers, seen = Counter(), set()
    for example in made(task, vocabulary):
        scenes = [example.target.scene, *(one.picture.scene for one in example.references)]
        shown = []
        for scene in scenes:
            (asset,) = scene.placements
            shown.append(by_pair[asset.concept, asset.style])
            for centre in (asset.x, asset.y):
                assert asset.scale / 2 <= centre <= 1 - asset.scale / 2
        assert len({(face.person, face.style) for face in shown}) == 1
        assert len({face.expression for face in shown}) == len(shown)
        colours = [set(scene.background.colours) for scene in scenes]
        assert sum(map(len, colours)) == len(set().union(*colours))  # none twice
        numbers[len(example.references)] += 1
        seen.add((shown[0].person, shown[0].style))
    assert set(numbers) == {1, 2, 3}
    assert min(numbers.values()) > COUNT / 3 * 0.8
    wanted = {(face.person, face.style) for face in vocabulary.faces}
    assert seen == {one for one in wanted if one[1] in {style for _, style in seen}}


@pytest.mark.parametrize("task", SETS)
def test_texts_say_expression_and_background_and_mark_the_person(
    task: str, vocabulary: Vocabulary
) -> None:
    by_pair = {face.pair: face for face in vocabulary.faces}
    for example in made(task, vocabulary):
        (asset,) = example.target.scene.placements
        expression = by_pair[asset.concept, asset.style].expression
        assert f"{expression} face" in example.text.lower()
        assert not any(other in example.text.lower() for other in set(EXPRESSIONS) - {expression})
        for colour in example.target.scene.background.colours:
            assert colour in example.caption
        assert re.search(rf"\ban? {expression} face\b", example.caption)
        assert "[ref#1] person" in example.text
        assert caption_name(asset.concept) not in example.text
        assert {(one.marker, one.role) for one in example.references} == {(1, "face")}


def test_the_two_sets_share_no_style_and_no_template(vocabulary: Vocabulary) -> None:
    styles = [styles_of_set(vocabulary, number) for number in (0, 1)]
    assert styles == [(STYLES[0], STYLES[2]), (STYLES[1],)]
    for task, own in zip(SETS, styles, strict=True):
        drawn = {one.target.scene.placements[0].style for one in made(task, vocabulary)}
        assert drawn == set(own)
    forms = all_tasks()["face"].forms
    assert not set(load_templates("face", *forms)) & set(load_templates("face_hq", *forms))


@pytest.mark.parametrize("task", SETS)
def test_without_faces_it_cannot_be_drawn(task: str) -> None:
    made_task, words = all_tasks()[task](), fallback_vocabulary()
    assert not drawable(made_task, words)
    assert drawable(made_task, replace(words, faces=people()))
    with pytest.raises(VocabularyError, match=f"{task} cannot be drawn: the world has no"):
        made_task.example(scene_rng(0, 0), words)


def test_a_person_with_one_expression_is_passed_over() -> None:
    lone = Face(person="loner", expression="sad", style=STYLES[0])
    words = replace(fallback_vocabulary(), faces=(lone, *people(STYLES[:1], each=1)))
    drawn = {one.target.scene.placements[0].concept for one in made("face", words)}
    assert drawn == {face.pair[0] for face in people(STYLES[:1], each=1)}


def test_a_vocabulary_groups_faces_by_person_and_style() -> None:
    words = replace(fallback_vocabulary(), faces=people(each=2))
    assert words.face_styles == STYLES
    for style in STYLES:
        groups = words.people_of(style)
        assert [len(group) for group in groups] == [len(EXPRESSIONS)] * 2
        assert all({face.style for face in group} == {style} for group in groups)
        assert all(len({face.person for face in group}) == 1 for group in groups)
    assert words.people_of("flat") == ()
    assert fallback_vocabulary().face_styles == ()
