"""Pictures made worse on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted, is_seen


def _renders(size: int = 32, count: int = 12) -> np.ndarray:
    scenes = [sample_scene(scene_rng(5, number), fallback_vocabulary()) for number in range(count)]
    pixels = render_pictures([Picture(scene=one) for one in scenes], fallback_atlas(), size)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


@pytest.mark.parametrize("name", CORRUPTIONS)
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
    for name in ("blur", "bleeding", "smear", "smudge"):
        worse = corrupted(grey, name, "strong", scene_rng(1, 0), grey)
        assert not is_seen(grey, worse, "light")
    noisy = corrupted(grey, "noise", "strong", scene_rng(1, 0), grey)
    assert is_seen(grey, noisy, "strong")


def test_half_of_a_strongly_covered_picture_is_grey():
    image = _renders(count=1)[0] // 2
    worse = corrupted(image, "covered by grey", "strong", scene_rng(1, 0), image)
    assert (worse == 128).all(-1).sum() == 32 * 16
