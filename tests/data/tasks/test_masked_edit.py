"""Edits: what they say is true, and nothing changes where the mask is black."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import pytest
import torch
from torch import Tensor

from instruct_imagen.data.example import Example, Picture, Placement, Scene
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import load_templates
from instruct_imagen.data.tasks.edits import (
    Edit,
    adding,
    draw_edit,
    edit_words,
    removing,
    replacing,
)
from instruct_imagen.data.tasks.masked_edit import MaskedEdit
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import (
    caption_name,
    definite,
    sample_scene,
    scene_rng,
    with_article,
)
from instruct_imagen.data.world.sources import IconSet
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary

COUNT = 400
World = tuple[Vocabulary, Atlas]


@pytest.fixture(scope="module")
def world(icon_sets: Mapping[str, IconSet]) -> World:
    """24 concepts of the artwork."""
    vocabulary = training_vocabulary(limit=24, min_styles=8, sets=icon_sets)
    return vocabulary, Atlas.build(vocabulary.pairs, sets=icon_sets)


@pytest.fixture(scope="module")
def examples(training_world: Vocabulary) -> list[Example]:
    """Of everything that training may draw."""
    return [MaskedEdit().example(scene_rng(11, i), training_world) for i in range(3 * COUNT)]


def picture_of(example: Example, role: str) -> Picture:
    (found,) = (one.picture for one in example.references if one.role == role)
    return found


def edit_of(example: Example) -> Edit:
    """The edit of an example, found by comparing its scenes."""
    source, target = picture_of(example, "source").scene, example.target.scene
    before = [asset for asset in source.placements if asset not in target.placements]
    after = [asset for asset in target.placements if asset not in source.placements]
    assert max(len(before), len(after)) == 1
    return Edit(
        source=source,
        target=target,
        old=before[0] if before else None,
        new=after[0] if after else None,
    )


def kind_of(edit: Edit) -> str:
    return "add" if edit.old is None else "remove" if edit.new is None else "replace"


def drawn(pictures: list[Picture], atlas: Atlas, size: int) -> Tensor:
    return render_pictures(pictures, atlas, size)


def check_outside(
    sources: list[Picture], masks: list[Picture], targets: list[Picture], atlas: Atlas, size: int
) -> None:
    """Target equals source bit for bit where the mask is black, and differs from it elsewhere."""
    source, mask, target = (drawn(part, atlas, size) for part in (sources, masks, targets))
    black = mask == 0
    assert torch.equal(source[black], target[black])
    assert black.flatten(1).any(1).all()
    assert (source != target).flatten(1).any(1).float().mean() > 0.98  # twins exist in line art


@pytest.mark.parametrize("size", [16, 32, 33, 64, 100])
def test_nothing_changes_where_the_mask_is_black(world: World, size: int) -> None:
    vocabulary, atlas = world
    found = [MaskedEdit().example(scene_rng(12, i), vocabulary) for i in range(COUNT)]
    kinds = Counter(picture_of(one, "mask").kind for one in found)
    assert set(kinds) == {"mask", "region"}
    assert abs(kinds["mask"] / COUNT - 0.5) < 0.08
    check_outside(
        [picture_of(one, "source") for one in found],
        [picture_of(one, "mask") for one in found],
        [one.target for one in found],
        atlas,
        size,
    )


@pytest.mark.parametrize("size", [16, 32, 64])
@pytest.mark.parametrize("kind", ["mask", "region"])
def test_nor_where_assets_overlap(world: World, size: int, kind: str) -> None:
    vocabulary, atlas = world
    edits = []
    for number in range(60):
        scene = overlapping(vocabulary, number)
        style = scene.placements[0].style
        present = {asset.concept for asset in scene.placements}
        concept = next(name for name in vocabulary.concepts_of(style) if name not in present)
        for index in (0, 1):
            edits += [replacing(scene, index, concept), adding(scene, index)]
            edits.append(removing(scene, index))
    check_outside(
        [Picture(scene=edit.source) for edit in edits],
        [Picture(scene=edit.changed, kind=kind) for edit in edits],
        [Picture(scene=edit.target) for edit in edits],
        atlas,
        size,
    )


def overlapping(vocabulary: Vocabulary, number: int) -> Scene:
    """Two assets, the nearer one over a part of the farther one."""
    rng = scene_rng(13, number)
    style = vocabulary.styles[number % len(vocabulary.styles)]
    pair = [(concept, style) for concept in vocabulary.concepts_of(style)[number % 5 :][:2]]
    scene = sample_scene(rng, vocabulary, assets=pair)
    far, near = scene.placements
    near = replace(near, x=far.x + 0.2 * (rng.random() - 0.5), y=far.y + 0.2 * rng.random())
    return replace(scene, placements=(far, near))


def test_our_own_drawings_can_be_edited() -> None:
    vocabulary, atlas = fallback_vocabulary(), fallback_atlas()
    found = [MaskedEdit().example(scene_rng(14, i), vocabulary) for i in range(60)]
    check_outside(
        [picture_of(one, "source") for one in found],
        [picture_of(one, "mask") for one in found],
        [one.target for one in found],
        atlas,
        32,
    )


def test_the_mask_shows_old_and_new_and_nothing_else(world: World) -> None:
    vocabulary, atlas = world
    for number in range(COUNT):
        example = MaskedEdit().example(scene_rng(15, number), vocabulary)
        edit, mask = edit_of(example), picture_of(example, "mask")
        assets = [asset for asset in (edit.old, edit.new) if asset is not None]
        assert mask.scene.placements == tuple(assets)
        alone = [
            Picture(scene=replace(edit.source, placements=(asset,)), kind=mask.kind)
            for asset in assets
        ]
        found, *parts = drawn([mask, *alone], atlas, 32)
        assert torch.equal(found > 0, torch.stack(parts).amax(0) > 0)


def test_one_asset_changes_and_keeps_style_and_place(examples: list[Example]) -> None:
    kinds: Counter[str] = Counter()
    sizes: dict[str, set[int]] = {}
    for example in examples:
        edit = edit_of(example)
        kind = kind_of(edit)
        kinds[kind] += 1
        sizes.setdefault(kind, set()).add(len(edit.source.placements))
        assert edit.source.background == edit.target.background
        assert len({asset.style for asset in (*edit.kept, *edit.changed.placements)}) == 1
        if kind == "replace":
            assert edit.new == replace(edit.old, concept=edit.new.concept)
            place = edit.source.placements.index(edit.old)
            assert edit.target.placements[place] == edit.new
        kept = tuple(asset for asset in edit.target.placements if asset != edit.new)
        assert kept == edit.kept  # in the same order
    assert sizes == {"replace": {1, 2}, "add": {1}, "remove": {2}}
    for kind, share in {"replace": 0.5, "add": 0.25, "remove": 0.25}.items():
        assert abs(kinds[kind] / len(examples) - share) < 0.04


# What an English reader takes a request to mean.
REQUESTS = [
    r"replace (?P<old>.+?) with (?P<new>.+)",
    r"(?:change|turn|transform) (?P<old>.+) into (?P<new>.+)",
    r"(?:swap|exchange) (?P<old>.+) for (?P<new>.+)",
    r"substitute (?P<new>.+) for (?P<old>.+)",
    r"draw (?P<new>.+) instead of (?P<old>.+)",
    r"put (?P<new>.+) in the place of (?P<old>.+)",
    r"let (?P<new>.+) take the place of (?P<old>.+)",
    r"(?:remove|erase|delete|take away|take out|clear away|get rid of) (?P<old>.+)",
    r"make (?P<old>.+) disappear",
    r"paint the background over (?P<old>.+)",
    r"put in (?P<new>.+)",
    r"(?:add|draw|insert|include|paint|put|place) (?P<new>.+)",
]
PLACE = re.compile(r" (?:on the (?:left|right)|(?:to the (?:left|right) of|next to) .+)$")


def test_the_words_say_what_changes(training_world: Vocabulary) -> None:
    used = set()
    for number in range(3 * COUNT):
        rng = scene_rng(16, number)
        edit = draw_edit(rng, training_world)
        words = edit_words(rng, edit)
        (pattern, *_) = (one for one in REQUESTS if re.fullmatch(one, words))
        said = {"old": None, "new": None, **re.fullmatch(pattern, words).groupdict()}
        said = {key: name and PLACE.sub("", name) for key, name in said.items()}
        old = None if edit.old is None else definite(edit.old.concept)
        new = None if edit.new is None else with_article(edit.new.concept)
        assert said == {"old": old, "new": new}, words
        used.add(pattern)
    assert used == set(REQUESTS)


def test_a_place_that_is_said_is_true(examples: list[Example]) -> None:
    said: Counter[str] = Counter()
    for example in examples:
        edit, text = edit_of(example), example.text
        changed = edit.old or edit.new
        # "next to the right anger bubble" says no side: that is a thing's name.
        place = re.sub(r"(left|right) (anger|speech) bubble", "bubble", text)
        for side, beside in re.findall(r" (?:on|to) the (left|right)( of)?\b", place):
            assert edit.kept, text
            (other,) = edit.kept
            assert (changed.x < other.x) == (side == "left"), text
            assert beside or (changed.x < 0.5) == (side == "left"), text
            if beside:
                assert f"{side} of {definite(other.concept)}" in text, text
            said[side + beside] += 1
        if " next to " in text:
            assert f"next to {definite(edit.kept[0].concept)}" in text, text
            said["next"] += 1
    assert set(said) == {"left", "right", "left of", "right of", "next"}
    with_two = sum(bool(edit_of(example).kept) for example in examples)
    assert abs(sum(said.values()) / with_two - 0.5) < 0.07


def test_what_stays_cannot_be_mistaken_for_what_changes(examples: list[Example]) -> None:
    for example in examples:
        edit = edit_of(example)
        names = {caption_name(asset.concept) for asset in edit.changed.placements}
        for other in edit.kept:
            stays = caption_name(other.concept)
            assert not any(name in stays or stays in name for name in names), example.text


def test_with_is_said_before_what_comes_alone(training_world: Vocabulary) -> None:
    """No "replace the padlock with key with a dog"."""
    rng, style = scene_rng(17, 0), "twemoji"
    for concept, allowed in (("locked-with-key", False), ("dog", True)):
        scene = sample_scene(rng, training_world, assets=[(concept, style)])
        edit = replacing(scene, 0, "bell-with-slash")
        said = {edit_words(rng, edit) for _ in range(200)}
        assert len(said) == 9 + allowed
        assert any(words.startswith("replace") for words in said) == allowed


def test_markers_roles_and_short_texts(examples: list[Example]) -> None:
    first = [example.references[0].role for example in examples]
    assert abs(first.count("source") / len(examples) - 0.5) < 0.05
    for example in examples:
        assert {one.role: one.picture.kind for one in example.references} in (
            {"source": "image", "mask": "mask"},
            {"source": "image", "mask": "region"},
        )
    for role, least in (("source", 6), ("mask", 4)):
        texts = {one.text for example in examples for one in example.references if one.role == role}
        assert len(texts) >= least


def test_the_caption_describes_the_target(examples: list[Example]) -> None:
    for example in examples:
        for asset in example.target.scene.placements:
            assert with_article(asset.concept) in example.caption
        old = edit_of(example).old
        shown = [with_article(asset.concept) for asset in example.target.scene.placements]
        if old is not None and not any(caption_name(old.concept) in name for name in shown):
            named = example.caption.split(" on a")[0]
            assert caption_name(old.concept) not in named, example.caption


def test_templates_are_many_and_of_all_kinds() -> None:
    templates = load_templates("masked_edit", *MaskedEdit.forms)
    assert len(templates) >= 100
    orders = {tuple(re.findall(r"\{(\w+)\}", one.lower())) for one in templates}
    assert orders == set(permutations(("source", "mask", "edit")))
    starts = Counter(one.split()[0].strip(".,:;!").lower() for one in templates)
    assert len(starts) > 35
    lengths = sorted(len(one.split()) for one in templates)
    assert lengths[0] <= 3
    assert lengths[-1] >= 15


@pytest.mark.parametrize(
    ("concept", "words"),
    [
        ("dog", "the dog"),
        ("scissors", "the scissors"),
        ("bread", "the bread"),
        ("milky-way", "the milky way"),
        ("bowling", "bowling"),
        ("mount-fuji", "mount fuji"),
    ],
)
def test_what_is_there_already_is_named_so(concept: str, words: str) -> None:
    assert definite(concept) == words


def test_an_edit_needs_two_concepts_of_a_style() -> None:
    lone = Vocabulary((("dog", "twemoji"), ("owl", "noto")))
    with pytest.raises(ValueError, match="no edit with assets of one style in 200 draws"):
        all_tasks()["masked_edit"]().example(scene_rng(0, 0), lone)


def test_an_edit_of_a_scene_by_hand() -> None:
    def at(concept: str, x: float) -> Placement:
        return Placement(concept=concept, style="flat", x=x, y=0.5, scale=0.5)

    scene = Scene(
        background=sample_scene(scene_rng(0, 0), fallback_vocabulary()).background,
        placements=(at("sun", 0.3), at("car", 0.7)),
    )
    swapped = replacing(scene, 1, "fish")
    assert swapped.target.placements == (at("sun", 0.3), at("fish", 0.7))
    assert swapped.changed.placements == (at("car", 0.7), at("fish", 0.7))
    gone = removing(scene, 0)
    assert gone.target.placements == gone.kept == (at("car", 0.7),)
    come = adding(scene, 0)
    assert (come.source, come.target) == (gone.target, gone.source)
    assert (come.old, come.new) == (None, at("sun", 0.3))
