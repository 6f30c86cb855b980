"""Pictures made worse on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.evaluation.corruptions import (
    CORRUPTIONS,
    STRENGTHS,
    UNTAUGHT,
    corrupted,
    is_seen,
)


def _renders(size: int = 32, count: int = 12) -> np.ndarray:
    scenes = [sample_scene(scene_rng(5, number), fallback_vocabulary()) for number in range(count)]
    pixels = render_pictures([Picture(scene=one) for one in scenes], fallback_atlas(), size)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


@pytest.mark.parametrize("name", [*CORRUPTIONS, *UNTAUGHT])
@pytest.mark.parametrize("size", [32, 48])
def test_a_fault_grows_with_its_strength_and_is_the_same_again(name, size):
    images = _renders(size)
    away = []
    for strength in STRENGTHS:
        worse = [
            corrupted(image, name, strength, scene_rng(1, number), images[number - 1])
            for number, image in enumerate(images)
        ]
        assert all(one.shape == (size, size, 3) and one.dtype == np.uint8 for one in worse)
        away.append(np.abs(images.astype(int) - np.stack(worse)).mean())
        again = corrupted(images[0], name, strength, scene_rng(1, 0), images[-1])
        assert np.array_equal(again, worse[0])
    assert 0 < away[0] < away[1] < away[2]


def test_what_changes_nothing_is_not_seen():
    grey = np.full((32, 32, 3), 100, np.uint8)
    for name in ("blur", "bleeding", "smear", "smudge", "melt", "break"):
        worse = corrupted(grey, name, "strong", scene_rng(1, 0), grey)
        assert not is_seen(grey, worse, "light")
    noisy = corrupted(grey, "noise", "strong", scene_rng(1, 0), grey)
    assert is_seen(grey, noisy, "strong")


def test_half_of_a_strongly_covered_picture_is_grey():
    image = _renders(count=1)[0] // 2
    worse = corrupted(image, "covered by grey", "strong", scene_rng(1, 0), image)
    assert (worse == 128).all(-1).sum() == 32 * 16


@pytest.mark.parametrize("name", UNTAUGHT)
def test_what_spoils_things_leaves_plain_ground(name):
    image = np.full((48, 48, 3), (200, 120, 40), np.uint8)
    image[6:18, 6:18] = (20, 40, 160)
    image[10:14, 10:14] = 250
    worse = corrupted(image, name, "strong", scene_rng(1, 0), image)
    assert is_seen(image, worse, "strong")
    assert np.array_equal(worse[34:, 34:], image[34:, 34:])


def test_a_melted_thing_has_fewer_colours_but_sharp_borders():
    rng = scene_rng(1, 0)
    image = np.full((32, 32, 3), 230, np.uint8)
    image[8:24, 8:24] = rng.integers(60, 120, (16, 16, 3))
    worse = corrupted(image, "melt", "strong", rng, image)
    inside = worse[12:20, 12:20].astype(float)
    assert inside.std() < 0.5 * image[12:20, 12:20].std()
    steps = np.abs(np.diff(worse.astype(float).mean(-1), axis=1)).max(1)
    assert steps[12:20].min() > 40


def test_broken_strokes_have_gaps_and_doubles():
    image = np.full((32, 32, 3), 255, np.uint8)
    image[15:17], image[:, 15:17] = 0, 0
    drawn = (image == 0).all(-1)
    dark = (corrupted(image, "break", "strong", scene_rng(1, 0), image) < 60).all(-1)
    assert 0.2 < dark[drawn].mean() < 0.9
    assert dark[~drawn].sum() >= 4
