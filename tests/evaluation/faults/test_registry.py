"""Faults of any strength, of a picture or of things alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.evaluation.faults.registry import FAULTS, OF_THINGS, spoiled
from instruct_imagen.evaluation.faults.tools import Given
from instruct_imagen.evaluation.quality_lessons import Renders, rendered_with_things

SIDE = 5
"""A seed with which a picture is covered from the side where the thing of a test is."""


@cache
def _renders(size: int = 32, count: int = 12) -> Renders:
    scenes = [sample_scene(scene_rng(5, number), fallback_vocabulary()) for number in range(count)]
    return rendered_with_things(scenes, fallback_atlas(), size)


def _given(image: np.ndarray, things: np.ndarray, strength: float, seed: int = 0) -> Given:
    return Given(
        image=image,
        things=things / 255,
        other=255 - image,
        strength=strength,
        rng=scene_rng(1, seed),
    )


def _change(name: str, strength: float, size: int = 32) -> float:
    renders = _renders(size)
    pairs = enumerate(zip(renders.images, renders.things, strict=True))
    return sum(
        float(np.abs(image.astype(int) - spoiled(_given(image, things, strength, n), name)).mean())
        for n, (image, things) in pairs
    )


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_grows_with_its_strength_and_is_the_same_again(name):
    away = [_change(name, strength, size=48) for strength in (0, 1, 2)]
    assert 0 < away[0] < away[1] < away[2]
    image, things = _renders().images[0], _renders().things[0]
    first, again = (spoiled(_given(image, things, 1), name) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.uint8
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_things_alone_leaves_the_ground(name):
    image = np.full((32, 32, 3), (200, 120, 40), np.uint8)
    things = np.zeros((32, 32), np.uint8)
    things[4:14, 4:14] = 255
    image[4:14, 4:14] = scene_rng(1, 0).integers(0, 256, (10, 10, 3))
    alone = name not in OF_THINGS  # they are anyway
    worse = spoiled(_given(image, things, 2, seed=SIDE), name, alone=alone)
    assert (worse[4:14, 4:14] != image[4:14, 4:14]).any()
    assert np.array_equal(worse[20:], image[20:]) and np.array_equal(worse[:, 20:], image[:, 20:])


@pytest.mark.parametrize("name", ["blur", "noise", "speckle", "reduced", "ragged"])
def test_strengths_between_the_named_ones_are_between(name):
    away = [_change(name, strength) for strength in (-0.6, 0.0, 0.5, 1.0, 1.5, 2.0)]
    assert away == sorted(away) and away[0] > 0


def test_a_checkerboard_repeats_every_two_pixels():
    grey = np.full((32, 32, 3), 128, np.uint8)
    worse = spoiled(_given(grey, np.full((32, 32), 255), 1), "checkerboard")
    found = worse.astype(int) - 128
    near, next_to = found[:-2] - found[2:], found[:-1] - found[1:]
    assert np.abs(near).mean() < 0.5 * np.abs(next_to).mean()


def test_flattened_things_keep_their_outline():
    image = np.full((32, 32, 3), 230, np.uint8)
    things = np.zeros((32, 32), np.uint8)
    things[8:24, 8:24] = 255
    image[8:24, 8:24] = scene_rng(1, 0).integers(40, 120, (16, 16, 3))
    worse = spoiled(_given(image, things, 2), "flattened")
    assert worse[10:22, 10:22].std() < 0.4 * image[10:22, 10:22].std()
    assert worse[8:24, 8:24].max() < 150 and (worse[:, :8] == 230).all()


def test_things_wash_out_into_the_ground_around_them():
    image = np.full((48, 48, 3), (200, 120, 40), np.uint8)
    things = np.zeros((48, 48), np.uint8)
    things[8:40, 8:40] = 255
    image[8:40, 8:40] = 0
    worse = spoiled(_given(image, things, 2), "washed out")
    middle = worse[20:28, 20:28].mean((0, 1))  # far from all ground
    assert middle == pytest.approx(0.8 * np.array([200, 120, 40]), rel=0.4)
