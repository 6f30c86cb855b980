from __future__ import annotations

import hashlib
import multiprocessing
import pickle
import re
from collections import Counter
from functools import partial
from itertools import chain

import numpy as np
import pytest

from instruct_imagen.data.example import Background, Placement, Scene
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    PALETTE,
    STYLE_NAMES,
    caption,
    caption_name,
    sample_scene,
    scene_rng,
    with_article,
)
from instruct_imagen.data.world.sources import STYLES
from instruct_imagen.data.world.vocabulary import Vocabulary

COUNT = 2000


@pytest.fixture(scope="module")
def scenes(training_world: Vocabulary) -> list[Scene]:
    return [sample_scene(scene_rng(1, index), training_world) for index in range(COUNT)]


def test_one_asset_or_two(scenes: list[Scene]) -> None:
    counts = Counter(len(scene.placements) for scene in scenes)
    assert set(counts) == {1, 2}
    assert abs(counts[2] / COUNT - 0.25) < 0.03
    flipped = np.mean([asset.flip for scene in scenes for asset in scene.placements])
    assert abs(flipped - 0.25) < 0.03


def test_assets_are_whole_recognisable_and_of_one_style(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert len({asset.style for asset in scene.placements}) == 1
        for asset in scene.placements:
            for centre in (asset.x, asset.y):
                assert asset.scale / 2 - 1e-9 <= centre <= 1 - asset.scale / 2 + 1e-9
        if len(scene.placements) == 1:
            assert 0.55 <= scene.placements[0].scale <= 0.92
            continue
        far, near = scene.placements
        assert far.concept != near.concept
        assert all(0.38 <= asset.scale <= 0.55 for asset in scene.placements)
        assert far.y + far.scale / 2 <= near.y + near.scale / 2
        overlap = [
            max(0.0, (far.scale + near.scale) / 2 - abs(a - b))
            for a, b in ((far.x, near.x), (far.y, near.y))
        ]
        assert overlap[0] * overlap[1] < 0.35 * far.scale**2


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
        background=Background(kind="plain", colours=("white",)),
        placements=(
            Placement(
                concept="fish",
                style="outline",
                x=0.7652308391282615,
                y=0.2728316157362526,
                scale=0.42003698884285817,
            ),
            Placement(
                concept="house",
                style="outline",
                x=0.28629765480677594,
                y=0.2592356191116239,
                scale=0.5145374637446598,
            ),
        ),
    )
    words = "a fish and a house on a white background, thin outline style"
    assert caption(scene, rng, with_style=True) == words


def test_captions_are_true(scenes: list[Scene]) -> None:
    for index, scene in enumerate(scenes):
        words = caption(scene, scene_rng(2, index), with_style=True)
        head, style = words.rsplit(", ", 1)
        assert style == STYLE_NAMES[scene.placements[0].style]
        assert head == caption(scene, scene_rng(2, index), with_style=False)
        things, ground = re.fullmatch(r"(.*) on (an? .* background|a background .*)", head).groups()
        colours = scene.background.colours
        if scene.background.kind == "plain":
            assert re.fullmatch(f"an? {colours[0]} background", ground)
        else:
            assert ground == f"a background from {colours[0]} to {colours[1]}"
        names = [with_article(asset.concept) for asset in scene.placements]
        if len(names) == 1:
            assert things == names[0]
        elif " to the left of " in things:
            left, right = sorted(scene.placements, key=lambda asset: asset.x)
            told = f"{with_article(left.concept)} to the left of {with_article(right.concept)}"
            assert things == told
            assert left.x + 0.1 < right.x
        else:
            assert things in (f"{names[0]} and {names[1]}", f"{names[1]} and {names[0]}")


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
    found = {caption(scene, scene_rng(0, index), with_style=False) for index in range(200)}
    assert 2 <= len(found) <= 3


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


def test_style_names_are_unique_and_complete() -> None:
    assert set(STYLES) <= set(STYLE_NAMES)
    assert len(set(STYLE_NAMES.values())) == len(STYLE_NAMES)


def test_given_assets_are_drawn(vocabulary: Vocabulary) -> None:
    pairs = [vocabulary.pairs[0], vocabulary.pairs[20]]
    for index in range(20):
        scene = sample_scene(scene_rng(0, index), vocabulary, assets=pairs)
        assert sorted((asset.concept, asset.style) for asset in scene.placements) == sorted(pairs)
    for wrong in ([], pairs * 2):
        with pytest.raises(ValueError, match="one or two assets"):
            sample_scene(scene_rng(0, 0), vocabulary, assets=wrong)
