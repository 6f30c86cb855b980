"""Tasks in scenes of up to four assets, turned, tinted and in places: all they say stays true."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from instruct_imagen.data.example import Background, Example, Scene
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.faces import FaceTask
from instruct_imagen.data.tasks.registry import is_heldout, training_tasks
from instruct_imagen.data.world.captions import adjectives
from instruct_imagen.data.world.nouns import caption_name, plural
from instruct_imagen.data.world.palette import DARK_INK_STYLES, PALETTE, STYLE_NAMES, tints_on
from instruct_imagen.data.world.places import PLACES
from instruct_imagen.data.world.relations import relations
from instruct_imagen.data.world.scenes import can_be_tinted, scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.world.claims import Reader
from tests.data.world.test_captions import check_places, check_what_is_there

COUNT = 500
RICH = Variety(places=0.3, turned=0.3, tinted=0.5)
# Faces are told by their expressions, which claims do not read.
THINGS = sorted(n for n, task in training_tasks().items() if not issubclass(task, FaceTask))
CAPTIONED = sorted(set(THINGS) - {"style_transfer", "reproduce"})
HELD_OUT = sorted(name for name, task in all_tasks().items() if is_heldout(task))


@pytest.fixture(scope="module")
def world(training_world: Vocabulary) -> Vocabulary:
    return replace(training_world, variety=RICH)


@pytest.fixture(scope="module")
def reader(world: Vocabulary) -> Reader:
    singular = {concept: caption_name(concept) for concept in world.concepts}
    several = {concept: name for concept in singular if (name := plural(concept)) is not None}
    phrases = [phrase for place in PLACES.values() for phrase in place.phrases]
    return Reader(singular, several, STYLE_NAMES.values(), phrases)


def drawn(task: str, world: Vocabulary, count: int = COUNT) -> list[Example]:
    return [all_tasks()[task]().example(scene_rng(41, index), world) for index in range(count)]


def scenes_of(example: Example) -> list[Scene]:
    return [example.target.scene, *(one.picture.scene for one in example.references)]


@pytest.mark.parametrize("task", CAPTIONED)
def test_every_caption_is_true(task: str, world: Vocabulary, reader: Reader) -> None:
    counts: Counter[int] = Counter()
    for example in drawn(task, world):
        scene = example.target.scene
        claims = reader.read(example.caption)
        check_what_is_there(scene, claims, example.caption)
        check_places(scene, claims, example.caption)
        counts[len(scene.placements)] += 1
    assert set(counts) == {1, 2, 3, 4}


@pytest.mark.parametrize("task", THINGS)
def test_ink_is_not_tinted_and_tints_are_seen(task: str, world: Vocabulary) -> None:
    seen = 0
    for example in drawn(task, world, 300):
        for scene in scenes_of(example):
            for asset in scene.placements:
                if asset.tint:
                    seen += 1
                    assert asset.style not in DARK_INK_STYLES
                    assert can_be_tinted(asset.concept, asset.style)
                    assert asset.tint in tints_on(scene.background.colours)
    assert seen


@pytest.mark.parametrize("task", HELD_OUT)
def test_captions_of_combinations_are_true(task: str, world: Vocabulary, reader: Reader) -> None:
    said: Counter[str] = Counter()
    for example in drawn(task, world):
        scene, words = example.target.scene, example.caption
        if any(one.role == "content" for one in example.references):
            # Nothing is said of what the reference shows: this could be said in its place.
            scene = replace(scene, background=Background(kind="plain", colours=("white",)))
            words += " on a white background"
            said["silent"] += 1
        claims = reader.read(words)
        check_what_is_there(scene, claims, words)
        said += check_places(scene, claims, words)
    assert said["left"] if task != "style_subject" and task != "control_subject" else not said
    assert bool(said["silent"]) == (task == "many_conditions")


@pytest.mark.parametrize("task", ["subject", "subject_in_place"])
def test_the_subject_has_the_same_colour_in_every_picture(task: str, world: Vocabulary) -> None:
    looks: Counter[str] = Counter()
    for example in drawn(task, world):
        for reference in example.references:
            scene = reference.picture.scene
            (shown,) = scene.placements
            (target,) = (
                asset for asset in example.target.scene.placements if asset.concept == shown.concept
            )  # and there is no other of its kind
            assert (shown.style, shown.tint) == (target.style, target.tint)
            assert shown.turn == (target.turn if task == "subject_in_place" else 0)
            marked = f"[ref#1] {adjectives(target)}".strip() + f" {caption_name(target.concept)}"
            plain = f"[ref#1] {caption_name(target.concept)}"
            assert marked in example.text or plain in example.text, example.text
            looks["turned"] += target.turn != 0
            looks["tinted"] += target.tint != ""
            names = [caption_name(one.concept) for one in example.target.scene.placements]
            assert sum(reference.text in name or name in reference.text for name in names) == 1
            if set(scene.background.colours) & set(PALETTE) and shown.tint:
                assert shown.tint in tints_on(scene.background.colours)
    assert min(looks.values()) > 20


@pytest.mark.parametrize("task", ["styled", "style_transfer"])
def test_a_style_is_shown_as_it_was_drawn(task: str, world: Vocabulary) -> None:
    for example in drawn(task, world):
        (style,) = (one for one in example.references if one.role == "style")
        for asset in style.picture.scene.placements:
            assert not (asset.turn or asset.tint)


def test_style_transfer_keeps_looks(world: Vocabulary) -> None:
    changed = stacks = floating = 0
    for example in drawn("style_transfer", world, 1000):
        (content,) = (one for one in example.references if one.role == "content")
        before, after = content.picture.scene, example.target.scene
        assert before.background == after.background
        for one, other in zip(before.placements, after.placements, strict=True):
            assert replace(one, style=other.style) == other
            changed += bool(one.tint or one.turn)
        on = [[r for r in relations(scene) if r.kind == "on"] for scene in (before, after)]
        stacks += bool(on[0])
        floating += on[0] != on[1]
    assert changed > 100
    assert stacks > floating
    assert floating < 10


@pytest.mark.parametrize("task", HELD_OUT)
def test_a_combination_has_no_colour_and_no_turn_of_its_own(task: str, world: Vocabulary) -> None:
    for example in drawn(task, world, 50):
        for scene in scenes_of(example):
            assert not any(asset.turn or asset.tint for asset in scene.placements)
