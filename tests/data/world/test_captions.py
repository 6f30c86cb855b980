"""Every claim of a caption is derived again: from the placements, and from rendered masks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import max_pool2d

from instruct_imagen.data.example import Background, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.captions import WORDS, groups, place_words, tilt_words
from instruct_imagen.data.world.measures import UNKNOWN, measure
from instruct_imagen.data.world.nouns import caption_name, plural
from instruct_imagen.data.world.palette import PALETTE, STYLE_NAMES
from instruct_imagen.data.world.places import PLACES
from instruct_imagen.data.world.relations import relations
from instruct_imagen.data.world.scenes import caption, sample_scene, scene_rng
from instruct_imagen.data.world.sources import STYLES
from instruct_imagen.data.world.truth import GroundTruth, ground_truth
from instruct_imagen.data.world.variety import PLAIN, Variety
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.world.claims import Claims, Reader, Thing
from tests.data.world.drawn import scene_on

SEVERAL = Variety(places=0.4, turned=0.15, tinted=0.3)
SIZE = 64


def reader_of(vocabulary: Vocabulary) -> Reader:
    singular = {concept: caption_name(concept) for concept in vocabulary.concepts}
    several = {concept: name for concept in singular if (name := plural(concept)) is not None}
    phrases = [phrase for place in PLACES.values() for phrase in place.phrases]
    return Reader(singular, several, STYLE_NAMES.values(), phrases)


def looks_like(asset: Placement, thing: Thing) -> bool:
    upside_down = {"upside-down": asset.turn == 180, "tilted": asset.turn not in (0, 180)}
    turned = upside_down.get(thing.tilt, asset.turn == 0)
    return (asset.concept, asset.tint) == (thing.concept, thing.tint) and turned


def found_in(scene: Scene, thing: Thing) -> list[int]:
    return [index for index, one in enumerate(scene.placements) if looks_like(one, thing)]


def check_what_is_there(scene: Scene, claims: Claims, words: str) -> None:
    """Things, numbers, looks, background and style: no more and no less than there is."""
    seen: list[int] = []
    for thing in claims.things:
        found = found_in(scene, thing)
        assert len(found) == thing.count, words
        seen += found
    assert sorted(seen) == list(range(len(scene.placements))), words
    assert claims.colours == scene.background.colours, words
    place = scene.background.place
    assert bool(claims.place) == bool(place), words
    assert not place or claims.place in PLACES[place].phrases, words
    assert claims.style in ("", STYLE_NAMES[scene.placements[0].style]), words


def check_places(scene: Scene, claims: Claims, words: str) -> Counter[str]:
    """Relations by the squares alone, with looser margins than those of the world."""
    said: Counter[str] = Counter()
    pairs = [(kind, *pair) for kind, *pair in claims.relations]
    if claims.sides:
        pairs.append(("left", *claims.sides))
        left, right = (scene.placements[found_in(scene, one)[0]] for one in claims.sides)
        assert left.x < 0.5 < right.x, words
        said["sides"] += 1
    for kind, first, second in pairs:
        (one,), (other,) = found_in(scene, first), found_in(scene, second)
        a, b = scene.placements[one], scene.placements[other]
        reach = (a.scale + b.scale) / 2
        assert {
            "left": b.x - a.x > 0.6 * reach,
            "near": abs(b.x - a.x) < reach + 0.2 and abs(b.y - a.y) < 0.4,
            "above": b.y - a.y > 0.6 * reach and abs(b.x - a.x) < 0.75 * reach,
            "on": a.y < b.y and abs(b.x - a.x) < 0.3 * b.scale and one > other,
            "behind": one < other and abs(b.x - a.x) < reach and abs(b.y - a.y) < reach,
            "bigger": a.scale > 1.4 * b.scale or bool(a.turn or b.turn),
        }[kind], (words, a, b)
        said[kind] += 1
    return said


@pytest.mark.parametrize("variety", [PLAIN, SEVERAL, Variety(places=1, turned=1, tinted=1)])
def test_captions_are_true_of_the_placements(training_world: Vocabulary, variety: Variety) -> None:
    reader = reader_of(training_world)
    world = replace(training_world, variety=variety)
    said: Counter[str] = Counter()
    for index in range(4000):
        rng = scene_rng(2, index)
        scene = sample_scene(rng, world)
        words = caption(scene, rng, with_style=index % 2 == 0)
        claims = reader.read(words)
        assert bool(claims.style) == (index % 2 == 0), words
        check_what_is_there(scene, claims, words)
        said += check_places(scene, claims, words)
        said.update(f"{thing.count}" for thing in claims.things if thing.count > 1)
        said.update(thing.tilt for thing in claims.things if thing.tilt)
        said["place"] += bool(claims.place)
        said.update("tinted" for thing in claims.things if thing.tint)
    kinds = {"left", "sides", "near", "above", "on", "behind", "bigger", "2"}
    if variety.most_assets > 2:
        kinds |= {"3", "4", "tilted", "upside-down", "tinted", "place"}
    said = +said
    assert set(said) == kinds
    assert min(said.values()) >= 10


def grown(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    return max_pool2d(mask[None].float(), 2 * pixels + 1, 1, pixels)[0] > 0


def holds(kind: str, truth: GroundTruth, one: int, other: int) -> bool:
    """A relation by what each asset covers, in pixels."""
    masks = truth.amodal_masks[one], truth.amodal_masks[other]
    (left, top, right, bottom), (left_2, top_2, right_2, bottom_2) = (
        truth.amodal_boxes[index] for index in (one, other)
    )
    if kind == "left":
        return left + right < left_2 + right_2 and right - left_2 < 0.3 * (right_2 - left)
    if kind == "near":
        return max(left, left_2) - min(right, right_2) < 0.4 * SIZE
    if kind == "above":
        return top + bottom < top_2 + bottom_2 and bottom - top_2 < 0.2 * (bottom_2 - top)
    if kind == "on":
        touches = bool((grown(masks[0], 2) & masks[1]).any())
        return touches and bottom <= top_2 + 0.35 * (bottom_2 - top_2) and truth.visible[one] == 1
    if kind == "behind":
        return bool((grown(masks[0], 1) & masks[1]).any()) and truth.visible[other] >= 0.99
    longest = max(right - left, bottom - top)
    return longest > 1.25 * max(right_2 - left_2, bottom_2 - top_2)


def test_captions_are_true_of_the_pixels(vocabulary: Vocabulary, atlas: Atlas) -> None:
    reader = reader_of(vocabulary)
    world = replace(vocabulary, variety=SEVERAL)
    said: Counter[str] = Counter()
    hidden, rear = [], []
    for index in range(2500):
        rng = scene_rng(3, index)
        scene = sample_scene(rng, world)
        claims = reader.read(caption(scene, rng))
        if not (claims.relations or claims.sides):
            continue
        truth = ground_truth(scene, atlas, SIZE)
        pairs = [*claims.relations, *([("left", *claims.sides)] if claims.sides else [])]
        for kind, first, second in pairs:
            (one,), (other,) = found_in(scene, first), found_in(scene, second)
            assert holds(kind, truth, one, other), (kind, scene)
            said[kind] += 1
            if kind == "behind":
                hidden.append(bool((truth.amodal_masks[one] & truth.amodal_masks[other]).any()))
                rear.append(truth.visible[one])
    assert min(said[kind] for kind in ("left", "near", "above", "on", "behind", "bigger")) >= 10
    assert sum(hidden) >= 0.95 * len(hidden)
    # Of what is behind, enough is left to know it by.
    assert min(rear) > 0.35
    assert sum(share >= 0.45 for share in rear) >= 0.95 * len(rear)


def test_few_wordings_for_one_scene(vocabulary: Vocabulary) -> None:
    style = vocabulary.styles[0]
    first, second = vocabulary.concepts_of(style)[:2]
    scene = Scene(
        background=Background(kind="gradient", colours=("pink", "white")),
        placements=(
            Placement(concept=first, style=style, x=0.7, y=0.4, scale=0.4),
            Placement(concept=second, style=style, x=0.3, y=0.6, scale=0.4),
        ),
    )
    words = [caption(scene, scene_rng(0, index), with_style=False) for index in range(1000)]
    # Six wordings of the relation, two lists, each on or against the background, first or last.
    assert len(set(words)) == (6 + 2) * 4
    alone = replace(scene, placements=scene.placements[:1])
    assert len({caption(alone, scene_rng(0, i), with_style=False) for i in range(200)}) == 4
    styled = {caption(alone, scene_rng(0, i)) for i in range(400)}
    assert len(styled) == 4 * 3


def test_a_place_is_not_said_with_what_is_there_too() -> None:
    """Not "a barn in a field with a barn"."""
    for place in PLACES.values():
        assert set(place_words(place.name, "owl")) == set(place.phrases)
    assert "in a field with a barn" in PLACES["farm"].phrases
    left = place_words("farm", "owl", "barn")
    assert left and set(left) == {one for one in PLACES["farm"].phrases if "barn" not in one}


def test_what_has_no_plural_is_named_once_for_each() -> None:
    """Two breads are not "some bread"."""
    for concept, words in (("bread", "some bread"), ("man-dancing", "a man dancing")):
        assert plural(concept) is None
        one = Placement(concept=concept, style="noto", x=0.2, y=0.5, scale=0.4)
        scene = scene_on("white", one, replace(one, x=0.7))
        assert [(g.indices, g.words) for g in groups(scene)] == [((0,), words), ((1,), words)]
        told = {caption(scene, scene_rng(8, i), with_style=False) for i in range(40)}
        assert all(said.count(words) == 2 for said in told)


def test_of_unmeasured_drawings_nothing_is_said_that_needs_a_measure(
    training_world: Vocabulary,
) -> None:
    """Neither planned nor told: how far they reach, and what they can carry, is not known."""
    pairs = [("gryphon", "clip-art"), ("wyvern", "clip-art")]
    assert {measure(*pair) for pair in pairs} == {UNKNOWN}
    vocabulary = replace(training_world, variety=Variety(places=0, turned=0, tinted=0))
    kinds: Counter[str] = Counter()
    for index in range(600):
        scene = sample_scene(scene_rng(12, index), vocabulary, assets=pairs)
        kinds.update(one.kind for one in relations(scene))
    assert set(kinds) == {"left", "above", "bigger"}
    # Neither of one that is known and one that is not.
    far = Placement(concept="owl", style="noto", x=0.5, y=0.45, scale=0.6)
    near = replace(far, y=0.6, x=0.55)
    known = {one.kind for one in relations(scene_on("white", far, near))}
    half = {one.kind for one in relations(scene_on("white", far, replace(near, concept="roc")))}
    assert known - half == {"behind"}


def test_the_style_comes_last_in_drawing(vocabulary: Vocabulary) -> None:
    """With it and without it, a caption says the rest in the same words."""
    for index in range(200):
        scene = sample_scene(scene_rng(4, index), vocabulary)
        bare = caption(scene, scene_rng(5, index), with_style=False)
        name = STYLE_NAMES[scene.placements[0].style]
        styled = caption(scene, scene_rng(5, index))
        assert styled in (f"{bare}, {name}", f"{name}: {bare}", f"{bare} in {name}")


def test_every_word_is_known(vocabulary: Vocabulary) -> None:
    """What packs the text encoder's words can rely on the list."""
    names = [caption_name(concept) for concept in vocabulary.concepts]
    names += [plural(concept) or "" for concept in vocabulary.concepts]
    names += [*PALETTE, *STYLE_NAMES.values(), "a an some the and of"]
    names += [phrase for place in PLACES.values() for phrase in place.phrases]
    known = WORDS | {word for name in names for word in name.split()}
    world = replace(vocabulary, variety=SEVERAL)
    for index in range(1500):
        rng = scene_rng(6, index)
        words = caption(sample_scene(rng, world), rng)
        assert {word.strip(",:") for word in words.split()} <= known, words


def test_turns_are_named() -> None:
    assert [tilt_words(turn) for turn in (0, 15, 90, 180, 345)] == [
        "", "tilted", "tilted", "upside-down", "tilted",
    ]  # fmt: skip


def test_style_names_are_unique_and_complete() -> None:
    assert set(STYLES) <= set(STYLE_NAMES)
    assert len(set(STYLE_NAMES.values())) == len(STYLE_NAMES)
