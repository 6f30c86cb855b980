"""What holds for the examples of every task, and the truth of each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from instruct_imagen.data.example import EDGE_KINDS, Example, ExampleReference, Scene
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import MIN_TEMPLATES, load_templates
from instruct_imagen.data.tasks.registry import training_tasks
from instruct_imagen.data.tasks.subject import mark_subject
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    STYLE_NAMES,
    caption_name,
    scene_rng,
)
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.people import EXPRESSIONS, people

COUNT = 600
HOLDOUT_COUNT = 3000
TEMPLATED = sorted(name for name, task in all_tasks().items() if task.forms)
TASKS = sorted(all_tasks())
FACES = ["face", "face_hq"]
SPATIAL = ["edge_to_image", "mask_to_image", "depth_to_image", "sketch_to_image"]
Make = Callable[..., list[Example]]


@pytest.fixture(scope="module")
def make(vocabulary: Vocabulary) -> Make:
    def draw(task: str, count: int = COUNT) -> list[Example]:
        return [all_tasks()[task]().example(scene_rng(7, i), vocabulary) for i in range(count)]

    return draw


def scenes_of(example: Example) -> Iterator[Scene]:
    yield example.target.scene
    for reference in example.references:
        yield reference.picture.scene


def styles_of(scene: Scene) -> set[str]:
    return {placed.style for placed in scene.placements}


def concepts_of(scene: Scene) -> set[str]:
    return {placed.concept for placed in scene.placements}


def by_role(example: Example, role: str) -> ExampleReference:
    (reference,) = (reference for reference in example.references if reference.role == role)
    return reference


def names_a_style(text: str) -> bool:
    return any(name in text for name in STYLE_NAMES.values())


@pytest.mark.parametrize("task", TASKS)
def test_example_is_a_pure_function_of_the_generator(task: str, make: Make) -> None:
    assert make(task, 50) == make(task, 50)
    assert len({repr(example) for example in make(task, 50)}) > 40


@pytest.mark.parametrize("task", TASKS)
def test_only_the_vocabulary_is_drawn(task: str, make: Make, vocabulary: Vocabulary) -> None:
    pairs = set(vocabulary.pairs)
    if task in FACES:
        pairs = {face.pair for face in vocabulary.faces}
    for example in make(task):
        for scene in scenes_of(example):
            assert {(placed.concept, placed.style) for placed in scene.placements} <= pairs


@pytest.mark.parametrize("task", TASKS)
def test_nothing_held_out_is_drawn(task: str, training_world: Vocabulary) -> None:
    training, held = replace(training_world, faces=people()), holdout()
    for index in range(HOLDOUT_COUNT):
        for scene in scenes_of(all_tasks()[task]().example(scene_rng(3, index), training)):
            assert not concepts_of(scene) & held.concepts
            assert held.style not in styles_of(scene)


def test_no_task_makes_a_combination_that_is_held_out(make: Make) -> None:
    """Style + subject, two subjects, control + subject, control + style, or three conditions.

    No two roles but style transfer's, and in edits a mask or a subject stands beside the source.
    """
    pairs = {
        "style_transfer": {"content", "style"},
        "masked_edit": {"source", "mask"},
        "reference_edit": {"source", "subject"},
    }
    subjects = []
    for task in training_tasks():
        for example in make(task):
            roles = {reference.role for reference in example.references}
            if task != "retrieval":
                assert len(roles) <= 1 or roles == pairs.get(task), (task, roles)
            if roles in ({"subject"}, {"face"}):
                subjects.append(len({reference.marker for reference in example.references}))
    assert set(subjects) == {1}


@pytest.mark.parametrize("task", TEMPLATED)
def test_markers_and_references_agree(task: str, make: Make) -> None:
    for example in make(task):
        mentioned = {int(k) for k in re.findall(r"\[ref#(\d+)\]", example.text)}
        assert mentioned == {reference.marker for reference in example.references}
        assert mentioned == set(range(1, len(mentioned) + 1))
        markers = [reference.marker for reference in example.references]
        assert markers == sorted(markers)


@pytest.mark.parametrize("task", TASKS)
def test_texts_are_clean(task: str, make: Make) -> None:
    for example in make(task):
        assert example.task == task
        assert example.target.kind == "image"
        assert all(reference.text.strip() for reference in example.references)
        assert not re.search(r"[{}]|\s\s| [,.;:?!]|,,|\.\.", example.text), example.text
        assert not re.search(r"\b(an?|the|some) (an?|the|some)\b", example.text), example.text
        for article, letter in re.findall(r"\b(an?) (\w)", example.text):
            assert (article == "an") == (letter in "aeiou"), example.text


@pytest.mark.parametrize("task", TASKS)
def test_a_caption_describes_the_target_and_nothing_else(task: str, make: Make) -> None:
    for example in make(task):
        words = example.caption
        if not words:
            continue
        assert "[ref#" not in words
        shown = {caption_name(concept) for concept in concepts_of(example.target.scene)}
        if task in FACES:  # who it is, the references tell
            shown = {one for one in EXPRESSIONS if any(name.endswith(one) for name in shown)}
            assert len(shown) == 1
        assert all(name in words for name in shown)
        assert not words.endswith("."), words
        if task.endswith("_edit"):  # its text says what changes, and the source shows the rest
            continue
        # What a subject's marker changes in a caption is the article before it.
        said = [word for word in words.lower().split() if word not in ("a", "an", "the", "some")]
        assert set(re.findall(r"\w+", " ".join(said))) <= set(
            re.findall(r"\w+", example.text.lower())
        )


def test_the_tasks_without_a_caption(make: Make) -> None:
    captioned = {task: {bool(example.caption) for example in make(task)} for task in PAPER_RATIOS}
    silent = {task for task, found in captioned.items() if found == {False}}
    assert silent == {"style_transfer", "reproduce"}
    assert all(len(found) == 1 for found in captioned.values())
    for example in make("retrieval", 50):
        assert example.caption == example.text


@pytest.mark.parametrize("task", TEMPLATED)
def test_every_template_is_used(task: str, make: Make) -> None:
    templates = load_templates(task, *all_tasks()[task].forms)
    assert len(templates) >= MIN_TEMPLATES + 4
    examples = make(task, 1200)
    for template in templates:
        # What stands between the placeholders, in order; a comma may close a caption.
        parts = [re.escape(part) for part in re.split(r"\{\w+\}", template)]
        pattern = re.compile(".+?,?".join(parts))
        assert any(pattern.fullmatch(example.text) for example in examples), template


@pytest.mark.parametrize(
    "task", ["text_to_image", "text_to_image_art", "styled", "subject", *SPATIAL]
)
def test_text_names_what_the_target_shows(task: str, make: Make) -> None:
    for example in make(task):
        for concept in concepts_of(example.target.scene):
            assert caption_name(concept) in example.text.lower()


@pytest.mark.parametrize("task", ["text_to_image", *SPATIAL])
def test_most_captions_name_the_style(task: str, make: Make) -> None:
    examples = make(task)
    for example in examples:
        (style,) = styles_of(example.target.scene)
        others = set(STYLE_NAMES.values()) - {STYLE_NAMES[style]}
        assert not any(other in example.text for other in others)
    share = np.mean([names_a_style(example.text) for example in examples])
    assert abs(share - 0.8) < 0.06


def test_text_to_image_has_no_references(make: Make) -> None:
    examples = make("text_to_image")
    assert all(example.references == () for example in examples)
    bare = np.mean([not example.text.endswith((".", "?", "!")) for example in examples])
    assert abs(bare - 0.3) < 0.07


@pytest.mark.parametrize("task", SPATIAL)
def test_spatial_reference_lies_over_the_target(task: str, make: Make) -> None:
    for example in make(task):
        (reference,) = example.references
        assert reference.role == task.removesuffix("_to_image")
        kinds = EDGE_KINDS if reference.role == "edge" else {reference.role}
        assert reference.picture.kind in kinds
        assert reference.picture.scene == example.target.scene


def test_edges_are_of_image_depth_or_mask_and_of_three_widths(make: Make) -> None:
    count = 4000
    drawn = [one.references[0].picture for one in make("edge_to_image", count)]
    kinds = {"edge": 0.7, "depth_edge": 0.15, "mask_edge": 0.15}
    dilations = {0: 0.75, 1: 0.15, 2: 0.1}
    found = Counter((picture.kind, picture.dilation) for picture in drawn)
    assert set(found) == {(kind, dilation) for kind in kinds for dilation in dilations}
    for (kind, dilation), times in found.items():  # independent of each other
        assert abs(times / count - kinds[kind] * dilations[dilation]) < 0.03
    assert found["edge", 0] > count / 2  # what the shipped weights know


def test_each_sketch_is_by_a_hand_of_its_own(make: Make) -> None:
    hands = [one.references[0].picture.hand for one in make("sketch_to_image")]
    assert len(set(hands)) == len(hands)
    assert min(hands) >= 0


def test_subject_is_the_asset_of_the_references(make: Make) -> None:
    examples = make("subject")
    for example in examples:
        target = example.target.scene
        assets = {(placed.concept, placed.style) for placed in target.placements}
        assert len(styles_of(target)) == 1
        assert not names_a_style(example.text)
        for reference in example.references:
            assert (reference.marker, reference.role) == (1, "subject")
            (shown,) = reference.picture.scene.placements
            assert (shown.concept, shown.style) in assets
            assert reference.text == caption_name(shown.concept)
            assert f"[ref#1] {reference.text}" in example.text
            assert 0.75 <= shown.scale <= 0.95
            for centre in (shown.x, shown.y):
                assert shown.scale / 2 <= centre <= 1 - shown.scale / 2
    counts = Counter(len(example.references) for example in examples)
    for count, share in ((1, 0.6), (2, 0.2), (3, 0.12), (4, 0.08)):
        assert abs(counts[count] / COUNT - share) < 0.05
    assert sum(counts[count] for count in (1, 2, 3, 4)) == COUNT
    # Some companions are refused because of their name ("apple" beside "red apple").
    assert 0.12 < np.mean([len(e.target.scene.placements) == 2 for e in examples]) < 0.29


def test_subject_portraits_differ_from_each_other_and_from_the_target(make: Make) -> None:
    backgrounds, same_side = [], []
    for example in make("subject"):
        colours = list(example.target.scene.background.colours)
        flips = []
        first = example.references[0].picture.scene.placements[0]
        (drawn,) = (
            asset for asset in example.target.scene.placements if asset.concept == first.concept
        )
        same_side.append(first.flip == drawn.flip)
        for reference in example.references:
            scene = reference.picture.scene
            assert scene.background.kind == "plain"
            (colour,) = scene.background.colours
            assert colour not in colours
            if styles_of(scene) & DARK_INK_STYLES:
                assert colour not in DARK_COLOURS
            colours.append(colour)
            flips.append(scene.placements[0].flip)
        assert all(one != other for one, other in pairwise(flips))  # left and right in turn
        backgrounds.append(colours[len(example.target.scene.background.colours)])
    assert 0.4 < np.mean([colour == "white" for colour in backgrounds]) < 0.65
    assert abs(np.mean(same_side) - 0.8) < 0.06


def test_a_subject_in_place_has_moved_at_most_as_far_as_a_portrait_would(make: Make) -> None:
    shifts = []
    for example in make("subject_in_place"):
        (reference,) = example.references
        (shown,) = reference.picture.scene.placements
        (target,) = (
            asset for asset in example.target.scene.placements if asset.concept == shown.concept
        )
        assert (shown.style, shown.flip) == (target.style, target.flip)
        assert min(target.scale, 0.75) <= shown.scale <= max(target.scale, 0.95)
        colours = reference.picture.scene.background.colours
        assert not set(colours) & set(example.target.scene.background.colours)
        for centre in (shown.x, shown.y):
            assert shown.scale / 2 - 1e-9 <= centre <= 1 - shown.scale / 2 + 1e-9
        shifts.append(max(abs(shown.x - target.x), abs(shown.y - target.y)))
    assert np.median(shifts) < 0.03 < np.quantile(shifts, 0.9)


@pytest.mark.parametrize(
    ("words", "name", "marked"),
    [
        ("a dog on a red background", "dog", "the [ref#1] dog on a red background"),
        ("a cat and an owl on a blue background", "owl", "a cat and the [ref#1] owl on a blue"),
        ("some bread on a red background", "bread", "the [ref#1] bread on a red background"),
        ("scissors on a red background", "scissors", "the [ref#1] scissors on a red background"),
        ("a red apple and an apple, flat", "apple", "a red apple and the [ref#1] apple, flat"),
        ("a dog", "dog", "the [ref#1] dog"),
    ],
)
def test_mark_subject(words: str, name: str, marked: str) -> None:
    assert mark_subject(words, name, 1).startswith(marked)


def test_mark_subject_refuses_a_caption_of_something_else() -> None:
    with pytest.raises(ValueError, match="'a hot dog stand' does not name its subject 'cat'"):
        mark_subject("a hot dog stand", "cat", 1)


def test_styled_target_takes_the_style_and_not_the_concept(make: Make) -> None:
    examples = make("styled")
    for example in examples:
        (reference,) = example.references
        assert reference.role == "style"
        shown = reference.picture.scene
        assert len(shown.placements) == 1
        assert styles_of(shown) == styles_of(example.target.scene)
        assert not concepts_of(shown) & concepts_of(example.target.scene)
        assert not names_a_style(example.text)
    assert 0.15 < np.mean([len(e.target.scene.placements) == 2 for e in examples]) < 0.35


def test_style_transfer_redraws_the_content(make: Make) -> None:
    examples = make("style_transfer")
    for example in examples:
        content = by_role(example, "content").picture.scene
        style = by_role(example, "style").picture.scene
        (before,), (after,) = styles_of(content), styles_of(style)
        assert before != after
        redrawn = tuple(replace(placed, style=after) for placed in content.placements)
        assert example.target.scene == replace(content, placements=redrawn)
        assert not concepts_of(style) & concepts_of(content)
        if {before, after} & DARK_INK_STYLES:
            assert not set(content.background.colours) & DARK_COLOURS
        for concept in concepts_of(content) | concepts_of(style):
            assert caption_name(concept) not in example.text.split()
    order = np.mean([by_role(example, "content").marker == 1 for example in examples])
    assert abs(order - 0.5) < 0.08
    assert 0.12 < np.mean([len(e.target.scene.placements) == 2 for e in examples]) < 0.35


def test_reproduce_asks_for_its_reference(make: Make) -> None:
    for example in make("reproduce"):
        (reference,) = example.references
        assert reference.picture == example.target


def test_style_transfer_needs_two_styles() -> None:
    lone = Vocabulary((("dog", "twemoji"), ("owl", "twemoji")))
    with pytest.raises(ValueError, match="no concept in two styles in 200 draws"):
        all_tasks()["style_transfer"]().example(scene_rng(0, 0), lone)
