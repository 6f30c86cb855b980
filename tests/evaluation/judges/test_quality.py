"""Perceptual quality, on drawings of our own that nothing was fixed on."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import save

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.corruptions import STRENGTHS, UNTAUGHT, corrupted
from instruct_imagen.evaluation.judges.quality import (
    SIZES,
    Features,
    QualityMeasure,
    distances,
    nearest_size,
    verdict,
)
from instruct_imagen.evaluation.quality_fit import (
    Amounts,
    limits_of,
    rendered,
    second_limit,
    spread_out,
    taught,
    worsened,
)


@cache
def _measure() -> QualityMeasure:
    torch.set_num_threads(1)
    return QualityMeasure()


def _renders(size: int, count: int = 24) -> np.ndarray:
    words = fallback_vocabulary().of_styles(["flat"])
    scenes = [sample_scene(scene_rng(8, number), words) for number in range(count)]
    return rendered(scenes, fallback_atlas(), size)


def _pq(images) -> float:
    return float(np.mean([score for score, _, _ in _measure().score(list(images))]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["blur", "noise", "covered by grey", "smear"])
def test_quality_falls_with_the_strength_of_a_fault(size, name):
    images = _renders(size)
    found = [_pq(images)]
    for strength in STRENGTHS:
        worse = [
            corrupted(image, name, strength, scene_rng(2, number), images[number - 1])
            for number, image in enumerate(images)
        ]
        found.append(_pq(worse))
    assert found == sorted(found, reverse=True)
    assert found[0] >= 0.85
    assert found[-1] <= 0.3  # large plain areas hide a smear


@pytest.mark.parametrize("name", UNTAUGHT)
def test_quality_falls_with_a_fault_that_it_was_not_taught(name):
    images = _renders(32)
    found = [_pq(images)]
    for strength in ("light", "strong"):
        pairs = enumerate(images)
        found.append(_pq(corrupted(x, name, strength, scene_rng(2, n), x) for n, x in pairs))
    assert found[0] - found[2] >= 0.25  # light ones are mostly missed
    assert found[0] >= found[1] >= found[2]


def test_what_is_shown_does_not_matter_but_how_it_is_drawn():
    images = _renders(32, 8)
    mirrored = [np.ascontiguousarray(image[:, ::-1]) for image in images]
    assert abs(_pq(images) - _pq(mirrored)) <= 0.13


def test_a_picture_has_one_score_whatever_is_beside_it():
    mixed = [*_renders(64, 3), *_renders(32, 3), *_renders(48, 2)]
    together = _measure().score(mixed)
    for image, (score, reason, measures) in zip(mixed, together, strict=True):
        ((alone, why, again),) = _measure().score([image])
        assert (alone, reason.split(":")[0]) == (score, why.split(":")[0])
        assert measures == pytest.approx(again, abs=1e-3)
        assert set(measures) == {"fault", "distance"}


def test_noise_is_no_render():
    noise = scene_rng(1, 1).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    assert _pq(noise) == 0


def test_sizes_by_ratio():
    assert [nearest_size(side) for side in (8, 32, 45, 46, 64, 128)] == [32, 32, 32, 64, 64, 64]


def test_the_worst_measure_counts():
    limits = {"fault": [1.0, 3.0], "distance": [2.0, 4.0]}
    assert verdict(0.5, 1.0, limits)[0] == 1.0
    assert verdict(1.0, 1.0, limits)[0] == 0.5
    assert verdict(0.5, 4.5, limits)[0] == 0.0
    assert "like no real render" in verdict(0.5, 2.5, limits)[1]
    assert "strong fault" in verdict(3.5, 2.5, limits)[1]


def test_distance_is_by_the_neighbourhood_of_the_nearest():
    bank, radius = torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([1.0, 4.0])
    found = distances(torch.tensor([[0.5, 0.0], [6.0, 0.0], [4.0, 0.0]]), bank, radius)
    assert found.tolist() == pytest.approx([0.5, 1.0, 1.5])


def test_a_bank_covers_all():
    points = torch.tensor([[0.0], [0.1], [0.2], [5.0], [9.0]])
    assert spread_out(points, 3).tolist() == [0, 4, 3]


def test_the_second_limit_stands_between_light_and_strong():
    light, strong = torch.linspace(0, 2, 50), torch.linspace(4, 6, 50)
    assert 2 < second_limit(1.0, light, strong) <= 4.1


def test_worse_pictures_differ_and_know_how_much():
    images = _renders(32)
    worse, grades = worsened(images, 3)
    assert set(grades.tolist()) <= {0, 1, 2, 3} and len(set(grades.tolist())) > 2
    changed = (worse != images).any((1, 2, 3))
    assert np.array_equal(changed, grades > 0)
    assert np.array_equal(worse, worsened(images, 3)[0])


def test_head_bank_and_thresholds_are_made_the_same_again():
    torch.set_num_threads(1)  # as in the command
    words, atlas, features = fallback_vocabulary(), fallback_atlas(), Features()
    amounts = Amounts(clean=72, worse=64, held_back=24, bank=16, epochs=1)

    def made():
        tensors = taught(32, features, words, atlas, amounts)
        return tensors, limits_of(32, features, tensors, words, atlas, amounts)

    (one, limits), (other, again) = made(), made()
    assert limits == again and set(limits) == {"fault", "distance"}
    assert all(light <= strong for light, strong in limits.values())
    assert set(one) == set(other)
    assert save(one) == save(other)
    assert one["32.bank"].shape == (16, 48) and (one["32.radius"] > 0).all()


def test_a_missing_file_has_a_cure(tmp_path):
    with pytest.raises(EvaluationError, match="quality_fit"):
        QualityMeasure(tmp_path / "none.safetensors")


def test_the_fingerprint_is_that_of_the_file():
    assert len(_measure().fingerprint) == 16
    assert _measure().fingerprint == QualityMeasure().fingerprint
