"""The hold-out of combinations: no training yields one, and each held-out task yields its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest

from instruct_imagen.data.example import Example, ExampleReference, Picture
from instruct_imagen.data.mixture import Mixture
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.combinations import combination_of
from instruct_imagen.data.tasks.my_subject import MySubject
from instruct_imagen.data.tasks.registry import training_tasks
from instruct_imagen.data.world.artwork.registry import SOURCES
from instruct_imagen.data.world.faces import is_held_out, training_faces
from instruct_imagen.data.world.holdout import holdout, named_like_heldout
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.sources import STYLES, IconSet
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.recipes import recipe, recipe_names
from instruct_imagen.recipes.config import heldout_ratios
from tests.data.people import people

DRAWS = 100_000
COMBINATIONS = {
    "style_subject": "style+subject",
    "multi_subject": "multi-subject",
    "control_subject": "control+subject",
    "control_style": "control+style",
    "many_conditions": "triples",
}


def test_the_held_out_tasks_are_the_combinations_of_the_frozen_file() -> None:
    assert set(all_tasks()) - set(training_tasks()) == set(COMBINATIONS)
    assert sorted(COMBINATIONS.values()) == sorted(holdout().combinations)


@pytest.mark.parametrize("task", COMBINATIONS)
def test_each_held_out_task_makes_its_combination_and_no_other(
    task: str, vocabulary: Vocabulary
) -> None:
    made = (all_tasks()[task]().example(scene_rng(5, index), vocabulary) for index in range(1000))
    assert {combination_of(example) for example in made} == {COMBINATIONS[task]}


def test_nothing_in_training_yields_what_is_held_out(icon_sets: Mapping[str, IconSet]) -> None:
    """100,000 draws over the mixtures of all stages of all recipes without the switch.

    Equally many of each mixture, of the people of training and of all sources that are installed.
    """
    held = holdout()
    words = training_vocabulary(sources=tuple(SOURCES), sets=icon_sets)
    faces = {face.pair: face for face in words.faces}
    assert set(words.faces) == set(training_faces())
    tasks = {**all_tasks(), "my_subject": partial(MySubject, "clay dog", ("a clay dog",) * 4)}
    recipes = [config for config in map(recipe, recipe_names()) if not config.heldout_tasks]
    assert len(recipes) == len(recipe_names()) - 1
    mixtures = {
        tuple(sorted((name, ratio) for name, ratio in stage.ratios.items() if ratio > 0))
        for config in recipes
        for stage in config.stages
    }
    assert not any(heldout_ratios(config.stages) for config in recipes)
    each = -(-DRAWS // len(mixtures))
    found: Counter[str] = Counter()
    seen: set[str] = set()
    for seed, ratios in enumerate(sorted(mixtures)):
        stream = Mixture(tasks, dict(ratios), words, seed)
        for index in range(each):
            example = stream.example(index)
            found[example.task] += 1
            assert combination_of(example) is None, example
            for picture in (example.target, *(one.picture for one in example.references)):
                for asset in picture.scene.placements if isinstance(picture, Picture) else ():
                    pair = asset.concept, asset.style
                    seen.add(asset.style)
                    if pair in faces:
                        assert not is_held_out(faces[pair]), example
                    elif asset.style not in STYLES:
                        assert not named_like_heldout(asset.concept), example
                    assert asset.concept not in held.concepts, example
                    assert asset.style != held.style, example
    assert found.total() >= DRAWS
    used = {name for ratios in mixtures for name, _ in ratios}
    assert set(found) == used
    assert seen == {*words.styles, *words.face_styles}
    assert used >= {"face", "face_hq", "text_to_image_art", "my_subject", "masked_edit"}


def test_the_switch_alone_lets_combinations_into_training(training_world: Vocabulary) -> None:
    last = recipe("all_conditions").stages[-1]
    stream = Mixture(all_tasks(), last.ratios, replace(training_world, faces=people()), 0)
    made = Counter(combination_of(stream.example(index)) for index in range(1000))
    assert made == {None: 800, **dict.fromkeys(holdout().combinations, 40)}


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ([], None),
        ([(1, "subject")], None),
        ([(1, "subject"), (1, "subject"), (1, "subject")], None),  # images of one subject
        ([(1, None), (2, None), (3, None)], None),  # the neighbours of stage 1
        ([(1, "content"), (2, "style")], None),
        ([(1, "source"), (2, "mask")], None),
        ([(1, "subject"), (2, "source")], None),
        ([(1, "subject"), (1, "subject"), (2, "subject")], "multi-subject"),
        ([(1, "face"), (2, "subject")], "multi-subject"),
        ([(1, "style"), (2, "subject"), (2, "subject")], "style+subject"),
        ([(1, "face"), (2, "style")], "style+subject"),
        ([(1, "subject"), (2, "sketch")], "control+subject"),
        ([(1, "depth"), (2, "subject")], "control+subject"),
        ([(1, "edge"), (2, "style")], "control+style"),
        ([(1, "mask"), (2, "style"), (3, "content")], "triples"),
        ([(1, "subject"), (2, "subject"), (3, "subject")], "triples"),
        ([(1, "source"), (2, "mask"), (3, "subject")], "triples"),
    ],
)
def test_a_combination_is_read_from_roles_and_markers(
    roles: list[tuple[int, str | None]], expected: str | None, vocabulary: Vocabulary
) -> None:
    picture = Picture(scene=sample_scene(scene_rng(0, 0), vocabulary))
    references = tuple(
        ExampleReference(marker=marker, text="thing", role=role, picture=picture)
        for marker, role in roles
    )
    example = Example(task="any", text="A.", caption="", references=references, target=picture)
    assert combination_of(example) == expected
