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
    draw_tinting,
    edit_words,
    removing,
    replacing,
)
from instruct_imagen.data.tasks.masked_edit import MaskedEdit
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.captions import adjectives
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.nouns import described, takes_flip
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import (
    caption_name,
    definite,
    plural,
    sample_scene,
    scene_rng,
)
from instruct_imagen.data.world.sources import IconSet
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary

COUNT = 400
RICH = Variety(places=0.3, turned=0.2, tinted=0.3)
World = tuple[Vocabulary, Atlas]


@pytest.fixture(scope="module")
def world(icon_sets: Mapping[str, IconSet]) -> World:
    """24 concepts of the artwork."""
    vocabulary = training_vocabulary(limit=24, min_styles=8, sets=icon_sets)
    vocabulary = replace(vocabulary, variety=RICH)
    return vocabulary, Atlas.build(vocabulary.pairs, sets=icon_sets)


@pytest.fixture(scope="module")
def examples(training_world: Vocabulary) -> list[Example]:
    """Of everything that training may draw, in rich scenes."""
    rich = replace(training_world, variety=RICH)
    return [MaskedEdit().example(scene_rng(11, i), rich) for i in range(3 * COUNT)]


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
    if edit.old is None or edit.new is None:
        return "add" if edit.old is None else "remove"
    if edit.old.concept != edit.new.concept:
        return "replace"
    return "move" if edit.old.tint == edit.new.tint else "tint"


def drawn(pictures: list[Picture], atlas: Atlas, size: int) -> Tensor:
    return render_pictures(pictures, atlas, size)


def check_outside(
    sources: list[Picture], masks: list[Picture], targets: list[Picture], atlas: Atlas, size: int
) -> None:
    """Target equals source bit for bit where the mask is black, and differs from it elsewhere."""
    source, mask, target = (drawn(part, atlas, size) for part in (sources, masks, targets))
    black = mask == 0
    assert torch.equal(source[black], target[black])
    # The square of one large asset can touch every one of 16 pixels a side.
    assert black.flatten(1).any(1).float().mean() > (0.95 if size == 16 else 0.999)
    assert (source != target).flatten(1).any(1).float().mean() > 0.98  # twins exist in line art


@pytest.mark.parametrize("size", [16, 32, 33, 64, 100])
def test_nothing_changes_where_the_mask_is_black(world: World, size: int) -> None:
    vocabulary, atlas = world
    found = [MaskedEdit().example(scene_rng(12, i), vocabulary) for i in range(COUNT)]
    kinds = Counter(picture_of(one, "mask").kind for one in found)
    assert set(kinds) == {"mask", "region"}
    assert abs(kinds["mask"] / COUNT - 0.45) < 0.08  # half, but never of what is moved
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
        if kind in ("replace", "tint", "move"):
            changes = {
                "replace": {
                    "concept": edit.new and edit.new.concept,
                    "flip": edit.new and edit.old.flip and takes_flip(edit.new.concept),
                    "turn": 0,
                    "tint": "",
                },
                "tint": {"tint": edit.new and edit.new.tint},
                "move": {"x": edit.new and edit.new.x, "y": edit.new and edit.new.y},
            }
            assert edit.new == replace(edit.old, **changes[kind])
            if kind == "move":
                assert picture_of(example, "mask").kind == "region"
            place = edit.source.placements.index(edit.old)
            assert edit.target.placements[place] == edit.new
        kept = tuple(asset for asset in edit.target.placements if asset != edit.new)
        assert kept == edit.kept  # in the same order
    every = {1, 2, 3, 4}
    assert sizes["move"] >= {1, 2, 3}  # among four there is hardly room
    sizes["move"] = every
    assert sizes == {
        "replace": every, "tint": every, "move": every, "add": {1, 2, 3}, "remove": {2, 3, 4}
    }  # fmt: skip
    shares = {"replace": 0.4, "add": 0.2, "remove": 0.2, "tint": 0.1, "move": 0.1}
    for kind, share in shares.items():
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
PLACE = re.compile(
    r" (?:on the (?:left|right)"
    r"|(?:to the (?:left|right) of|next to|above|below|on top of) (?:the )?.+)$"
)


def test_the_words_say_what_changes(training_world: Vocabulary) -> None:
    used = set()
    for number in range(3 * COUNT):
        rng = scene_rng(16, number)
        edit = draw_edit(rng, replace(training_world, variety=RICH))
        words = edit_words(rng, edit)
        (pattern, *_) = (one for one in REQUESTS if re.fullmatch(one, words))
        said = {"old": None, "new": None, **re.fullmatch(pattern, words).groupdict()}
        said = {key: name and PLACE.sub("", name) for key, name in said.items()}
        old = None if edit.old is None else definite(edit.old.concept)
        new = edit.new and described(edit.new.concept, adjectives(edit.new))
        assert said == {"old": old, "new": new}, words
        used.add(pattern)
    assert used == set(REQUESTS)


def test_a_place_that_is_said_is_true(training_world: Vocabulary) -> None:
    """Of what is replaced, coloured, added or removed."""
    rich = replace(training_world, variety=RICH)
    said: Counter[str] = Counter()
    with_others = 0
    for number in range(4 * COUNT):
        rng = scene_rng(18, number)
        edit = (draw_tinting if number % 4 == 0 else draw_edit)(rng, rich)
        words = edit_words(rng, edit)
        asset = edit.old or edit.new
        with_others += any(
            [one.concept for one in edit.kept].count(other.concept) == 1 for other in edit.kept
        )
        if re.search(r" on the (left|right)\b", words):
            (other,) = edit.kept
            side = 1 if " on the right" in words else -1
            assert (asset.x - 0.5) * side > 0 > (other.x - 0.5) * side, words
            said["on"] += 1
            continue
        where = r" (to the left of|to the right of|above|below|on top of|next to) "
        name = re.escape(definite(asset.concept))
        found = re.search(rf"{name}{where}|{where}(?=the |\w+$)", words)
        if edit.old is None:
            found = re.search(where, words)
        if not found:
            continue
        place = next(group for group in found.groups() if group)
        rest = words[found.end() :]
        others = [one for one in edit.kept if rest.startswith(definite(one.concept))]
        other = max(others, key=lambda one: len(definite(one.concept)), default=None)
        assert other is not None, words
        assert [one.concept for one in edit.kept].count(other.concept) == 1, words
        across, down = other.x - asset.x, other.y - asset.y
        reach = (asset.scale + other.scale) / 2
        assert {
            "to the left of": across > 0.6 * reach,
            "to the right of": -across > 0.6 * reach,
            "above": down > 0.6 * reach and abs(across) < reach,
            "below": -down > 0.6 * reach and abs(across) < reach,
            "on top of": 0 < down < reach and abs(across) < 0.2 * reach,
            "next to": abs(down) <= reach and abs(across) < 1.3,
        }[place], words
        said[place] += 1
    assert set(said) == {
        "on", "to the left of", "to the right of", "above", "below", "on top of", "next to"
    }  # fmt: skip
    assert abs(said.total() / with_others - 0.5) < 0.07


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
        placements = example.target.scene.placements
        for asset in placements:
            looks = adjectives(asset)
            several = f"{looks} {plural(asset.concept)}".strip()
            words = described(asset.concept, looks)
            assert words in example.caption or several in example.caption, example.caption
        old = edit_of(example).old
        shown = [caption_name(asset.concept) for asset in placements]
        if old is not None and not any(caption_name(old.concept) in name for name in shown):
            assert not re.search(rf"\b{re.escape(caption_name(old.concept))}\b", example.caption)


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
