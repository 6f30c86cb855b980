from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import pytest

from instruct_imagen.data.example import Background, Placement, Scene
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.measures import measure
from instruct_imagen.data.world.nouns import (
    described,
    is_colour_of,
    takes_colour,
    takes_flip,
    takes_turn,
)
from instruct_imagen.data.world.places import PLACES
from instruct_imagen.data.world.relations import box_of
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    PALETTE,
    TINTS,
    TURNS,
    can_be_tinted,
    caption,
    caption_name,
    plural,
    relations,
    sample_scene,
    scene_rng,
    with_article,
)
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary

COUNT = 2000


@pytest.fixture(scope="module")
def scenes(training_world: Vocabulary) -> list[Scene]:
    return [sample_scene(scene_rng(1, index), training_world) for index in range(COUNT)]


@pytest.fixture(scope="module")
def rich_scenes(training_world: Vocabulary) -> list[Scene]:
    rich = replace(training_world, variety=Variety(places=0))
    return [sample_scene(scene_rng(1, index), rich) for index in range(COUNT)]


def test_one_asset_or_two(scenes: list[Scene]) -> None:
    counts = Counter(len(scene.placements) for scene in scenes)
    assert set(counts) == {1, 2}
    assert abs(counts[2] / COUNT - 0.25) < 0.03
    flipped = np.mean([asset.flip for scene in scenes for asset in scene.placements])
    assert abs(flipped - 0.25) < 0.03
    assert all(takes_flip(one.concept) for scene in scenes for one in scene.placements if one.flip)
    assert not any(asset.turn or asset.tint for scene in scenes for asset in scene.placements)


def test_up_to_four_assets(rich_scenes: list[Scene]) -> None:
    counts = Counter(len(scene.placements) for scene in rich_scenes)
    for count, share in {1: 0.6, 2: 0.22, 3: 0.11, 4: 0.07}.items():
        assert abs(counts[count] / COUNT - share) < 0.03
    alike = [scene for scene in rich_scenes if len(kinds_of(scene)) < len(scene.placements)]
    assert {len(scene.placements) for scene in alike} == {2, 3, 4}
    for scene in alike:
        looks = {(one.concept, one.tint, one.scale) for one in scene.placements}
        assert len(looks) == len(kinds_of(scene))  # equal ones look alike and are equally large
        (repeated,) = (
            name
            for name, times in Counter(one.concept for one in scene.placements).items()
            if times > 1
        )
        assert plural(repeated) is not None


def test_some_are_turned_and_tinted(rich_scenes: list[Scene]) -> None:
    assets = [asset for scene in rich_scenes for asset in scene.placements]
    turnable = [asset for asset in assets if takes_turn(asset.concept)]
    assert all(takes_turn(asset.concept) for asset in assets if asset.turn)
    share = np.mean([asset.turn != 0 for asset in turnable])
    assert 0.07 < share < 0.12
    assert {asset.turn for asset in assets} <= set(TURNS)
    assert len({asset.turn for asset in assets}) > 10
    coloured = [asset for asset in assets if can_be_tinted(asset.concept, asset.style)]
    assert abs(np.mean([asset.tint != "" for asset in coloured]) - 0.1) < 0.03
    for scene in rich_scenes:
        for asset in scene.placements:
            if asset.tint:
                assert asset.tint in TINTS
                assert can_be_tinted(asset.concept, asset.style)
                assert asset.style not in DARK_INK_STYLES
                assert not set(asset.concept.split("-")) & set(PALETTE)
                assert asset.tint not in scene.background.colours


def test_more_variety_leaves_the_places_alone(training_world: Vocabulary) -> None:
    """With no turns and tints, and with all, the same things stand in the same places."""
    bare = replace(training_world, variety=Variety(places=0, turned=0, tinted=0))
    full = replace(training_world, variety=Variety(places=0, turned=1, tinted=1))
    turned = tinted = 0
    for index in range(300):
        scene, other = (sample_scene(scene_rng(9, index), world) for world in (bare, full))
        assert not any(asset.turn or asset.tint for asset in scene.placements)
        assert len(scene.placements) <= 4
        assert scene.background == other.background
        assert len(scene.placements) == len(other.placements)
        for one, dressed in zip(scene.placements, other.placements, strict=True):
            # Sides are drawn after looks.
            assert replace(dressed, turn=0, tint="", flip=one.flip) == one
            turned += dressed.turn != 0
            tinted += dressed.tint != ""
    assert turned > 100 and tinted > 50
    lone = replace(training_world, variety=Variety(most_assets=1, places=0))
    assert {len(sample_scene(scene_rng(9, i), lone).placements) for i in range(300)} == {1}


def kinds_of(scene: Scene) -> set[str]:
    return {asset.concept for asset in scene.placements}


def test_assets_are_whole_recognisable_and_of_one_style(
    scenes: list[Scene], rich_scenes: list[Scene]
) -> None:
    for scene in (*scenes, *rich_scenes):
        count = len(scene.placements)
        assert len({asset.style for asset in scene.placements}) == 1
        smallest = {1: 0.6, 2: 0.25, 3: 0.23, 4: 0.23}[count]
        for asset in scene.placements:
            assert smallest <= asset.scale <= 0.92
            for centre in (asset.x, asset.y):
                assert asset.scale / 2 - 1e-9 <= centre <= 1 - asset.scale / 2 + 1e-9
        found = relations(scene)
        for far in range(count):
            for near in range(far + 1, count):
                one, other = scene.placements[far], scene.placements[near]
                kinds = {(r.kind, r.first, r.second) for r in found}
                if ("on", near, far) in kinds:
                    continue
                if one.y + one.scale / 2 > other.y + other.scale / 2 + 1e-9:
                    # A stack is drawn as one; of two drawings, not squares, the foot decides.
                    assert ("behind", far, near) in kinds or "on" in {kind for kind, *_ in kinds}
                # Enough of the rear one's drawing is left to know it by.
                rear, front = box_of(one), box_of(other)
                assert front.common(rear).area < 0.67 * rear.area
                if "behind" not in {kind for kind, *_ in kinds}:
                    overlap = [
                        max(0.0, (one.scale + other.scale) / 2 - abs(a - b))
                        for a, b in ((one.x, other.x), (one.y, other.y))
                    ]
                    assert overlap[0] * overlap[1] < 0.45 * one.scale**2


def test_every_colour_comes_and_black_ink_is_visible(scenes: list[Scene]) -> None:
    used = Counter(colour for scene in scenes for colour in scene.background.colours)
    assert set(used) <= set(PALETTE)
    assert len(used) >= 13
    for scene in scenes:
        background = scene.background
        assert len(background.colours) == {"plain": 1, "gradient": 2}[background.kind]
        assert len(set(background.colours)) == len(background.colours)
        if scene.placements[0].style in DARK_INK_STYLES:
            assert not DARK_COLOURS & set(background.colours)
    assert all(sum(PALETTE[name]) < 400 for name in DARK_COLOURS)


def test_palette_names_are_truthful() -> None:
    """The channels say what the names say."""
    tops = {"red": 0, "green": 1, "light green": 1, "blue": 2, "light blue": 2, "dark blue": 2}
    for name, channel in tops.items():
        assert np.argmax(PALETTE[name]) == channel
    assert sum(PALETTE["dark blue"]) < sum(PALETTE["blue"]) < sum(PALETTE["light blue"])
    assert len(set(PALETTE.values())) == len(PALETTE) == 14


def bytes_of(indices: list[int], vocabulary: Vocabulary, seed: int) -> list[str]:
    """Fingerprints of scenes and of their captions."""
    found = []
    for index in indices:
        rng = scene_rng(seed, index)
        scene = sample_scene(rng, vocabulary)
        words = caption(scene, rng, with_style=True)
        found.append(hashlib.sha256(repr((scene, words)).encode()).hexdigest())
    return found


def test_scene_i_of_seed_s_is_the_same_with_any_number_of_workers(vocabulary: Vocabulary) -> None:
    here = bytes_of(list(range(240)), vocabulary, 7)
    assert len(set(here)) == 240
    assert here != bytes_of(list(range(240)), vocabulary, 8)
    context = multiprocessing.get_context("fork")
    for workers, size in ((1, 240), (2, 60), (4, 17)):
        parts = [list(range(240))[start : start + size] for start in range(0, 240, size)]
        with context.Pool(workers) as pool:
            work = partial(bytes_of, vocabulary=vocabulary, seed=7)
            found = pool.map(work, parts, chunksize=1)
        assert list(chain.from_iterable(found)) == here


def test_a_pickled_vocabulary_gives_the_same_scenes(vocabulary: Vocabulary) -> None:
    again = pickle.loads(pickle.dumps(vocabulary))
    assert bytes_of(list(range(50)), again, 3) == bytes_of(list(range(50)), vocabulary, 3)


def test_scenes_are_the_ones_they_always_were() -> None:
    """Frozen: a change here is a new version of the world, and numbers no longer compare."""
    ours = fallback_vocabulary()
    rng = scene_rng(0, 1)
    scene = sample_scene(rng, ours)
    assert scene == Scene(
        background=Background(kind="gradient", colours=("orange", "white")),
        placements=(
            Placement(
                concept="ball",
                style="outline",
                x=0.6307451094319672,
                y=0.7497974213155081,
                scale=0.5004051573689837,
                flip=True,
            ),
            Placement(
                concept="house",
                style="outline",
                x=0.6122553746468917,
                y=0.3951376236113784,
                scale=0.3151627548910918,
            ),
        ),
    )
    words = "a house on a ball on a background from orange to white, thin outline style"
    assert caption(scene, rng, with_style=True) == words


@pytest.mark.parametrize(
    ("concept", "wanted"),
    [
        ("red-apple", "a red apple"),
        ("owl", "an owl"),
        ("unicorn", "a unicorn"),
        ("ewe", "a ewe"),
        ("euro-banknote", "a euro banknote"),
        ("hourglass-done", "an hourglass done"),
        ("x-ray", "an X-ray"),
        ("t-shirt", "a T-shirt"),
        ("e-mail", "an e-mail"),
        ("scissors", "scissors"),
        ("bread", "some bread"),
        ("tennis", "tennis"),
        ("statue-of-liberty", "the statue of liberty"),
        ("unlocked", "an unlocked padlock"),
    ],
)
def test_names_and_articles(concept: str, wanted: str) -> None:
    assert with_article(concept) == wanted
    assert wanted.endswith(caption_name(concept))


def test_names_are_unique(training_world: Vocabulary) -> None:
    names = [caption_name(concept) for concept in training_world.concepts]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w' -]+", name) for name in names)


def test_given_assets_are_drawn(vocabulary: Vocabulary) -> None:
    for count in (1, 2, 3, 4):
        pairs = [vocabulary.pairs[20 * number] for number in range(count)]
        for index in range(20):
            scene = sample_scene(scene_rng(0, index), vocabulary, assets=pairs)
            drawn = sorted((asset.concept, asset.style) for asset in scene.placements)
            assert drawn == sorted(pairs)
    alike = [vocabulary.pairs[0]] * 3
    scene = sample_scene(scene_rng(0, 0), vocabulary, assets=alike)
    assert len({asset.scale for asset in scene.placements}) == 1
    for wrong in ([], [vocabulary.pairs[0]] * 5):
        with pytest.raises(ValueError, match=f"one to 4 assets, not {len(wrong)}"):
            sample_scene(scene_rng(0, 0), vocabulary, assets=wrong)


@pytest.mark.parametrize(
    ("concept", "wanted"),
    [
        ("red-apple", "red apples"),
        ("wolf", "wolves"),
        ("fallen-leaf", "fallen leaves"),
        ("old-woman", "old women"),
        ("snowman", "snowmen"),
        ("computer-mouse", "computer mice"),
        ("tooth", "teeth"),
        ("butterfly", "butterflies"),
        ("monkey", "monkeys"),
        ("bus", "buses"),
        ("fox", "foxes"),
        ("peach", "peaches"),
        ("potato", "potatoes"),
        ("avocado", "avocados"),
        ("tropical-fish", "tropical fish"),
        ("deer", "deer"),
        ("game-die", "game dice"),
        ("bottle-with-popping-cork", "bottles with popping cork"),
        ("roll-of-paper", "rolls of paper"),
        ("ear-of-corn", "ears of corn"),
        ("locked-with-key", "padlocks with key"),
        ("scissors", None),
        ("bread", None),
        ("tennis", None),
        ("santa-claus", None),
        ("statue-of-liberty", None),
        ("man-dancing", None),
        ("sun-behind-cloud", None),
    ],
)
def test_plurals(concept: str, wanted: str | None) -> None:
    assert plural(concept) == wanted


def test_plurals_name_nothing_else(training_world: Vocabulary) -> None:
    """Two dogs are dogs: no plural is the name of another concept."""
    names = {caption_name(concept) for concept in training_world.concepts}
    several = [plural(concept) for concept in training_world.concepts]
    known = [name for name in several if name is not None]
    assert len(known) > 0.6 * len(names)
    same = {"bison", "deer", "moose", "squid", "shrimp", "moai", "fried shrimp"}
    for concept in training_world.concepts:
        name = plural(concept)
        if name in names:
            assert name == caption_name(concept) and (name in same or name.endswith("fish"))
    assert len(set(known)) == len(known)


def test_a_coloured_thing_is_not_called_as_another_is(training_world: Vocabulary) -> None:
    names = {caption_name(concept) for concept in training_world.concepts}
    for concept in training_world.concepts:
        for tint in TINTS:
            if takes_colour(concept) and is_colour_of(tint, concept):
                assert f"{tint} {caption_name(concept)}" not in names


@pytest.mark.parametrize(
    ("concept", "looks", "wanted"),
    [
        ("owl", "blue", "a blue owl"),
        ("owl", "upside-down blue", "an upside-down blue owl"),
        ("owl", "", "an owl"),
        ("bread", "orange", "some orange bread"),
        ("scissors", "tilted", "tilted scissors"),
    ],
)
def test_looks_are_named(concept: str, looks: str, wanted: str) -> None:
    assert described(concept, looks) == wanted


def test_a_tint_stands_out_from_a_place(training_world: Vocabulary) -> None:
    vocabulary = replace(training_world, variety=Variety(places=1, turned=0, tinted=1))
    seen: dict[str, set[str]] = {}
    for index in range(2000):
        scene = sample_scene(scene_rng(29, index), vocabulary)
        tints = {asset.tint for asset in scene.placements} - {""}
        seen.setdefault(scene.background.place, set()).update(tints)
    assert {name: set(place.tints) for name, place in PLACES.items()} == seen


def test_assets_stand_on_the_ground_of_a_place(training_world: Vocabulary) -> None:
    """What is lowest in its column; its foot is that of the drawing, not of its square."""
    vocabulary = replace(training_world, variety=Variety(places=1, turned=0, tinted=0))
    standing = floating = short = 0
    for index in range(2000):
        scene = sample_scene(scene_rng(23, index), vocabulary)
        place = PLACES[scene.background.place]
        for asset in scene.placements:
            reach = asset.scale / 2
            assert reach - 1e-9 <= asset.y <= 1 - reach + 1e-9
            below = any(
                abs(other.x - asset.x) < reach + other.scale / 2 and other.y > asset.y
                for other in scene.placements
            )
            foot = asset.y + reach * measure(asset.concept, asset.style).height
            if below or foot > place.ground:
                standing += foot > place.ground
            elif place.stands:
                # A drawing that is low and wide ends far above the border of its square.
                assert asset.y + reach > 1 - 1e-9, (scene, asset)
                short += 1
            else:
                floating += 1
    assert floating > 100
    assert short < 0.03 * standing
