"""Perceptual quality, on drawings of our own that nothing was fixed on."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.corruptions import STRENGTHS, UNTAUGHT, corrupted
from instruct_imagen.evaluation.judges.quality import (
    QualityMeasure,
    Scale,
    metadata,
    nearest_size,
    read,
    verdict,
)
from instruct_imagen.evaluation.judges.quality_networks import SIZES, Features, PixelNetwork
from instruct_imagen.evaluation.quality_fit import (
    Amounts,
    grade_loss,
    scale_of,
    second_limit,
    taught,
)
from instruct_imagen.evaluation.quality_lessons import (
    Renders,
    disturbed,
    rendered,
    rendered_with_things,
    worsened,
    worsened_things,
)


@cache
def _measure() -> QualityMeasure:
    torch.set_num_threads(1)
    return QualityMeasure()


def _renders(size: int, count: int = 24) -> np.ndarray:
    words = fallback_vocabulary().of_styles(["flat"])
    scenes = [sample_scene(scene_rng(8, number), words) for number in range(count)]
    return rendered(scenes, fallback_atlas(), size)


@cache
def _with_things(count: int = 24) -> Renders:
    scenes = [sample_scene(scene_rng(8, number), fallback_vocabulary()) for number in range(count)]
    return rendered_with_things(scenes, fallback_atlas(), 32)


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
        assert set(measures) == {"fault"}


def test_noise_is_no_render():
    noise = scene_rng(1, 1).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    assert _pq(noise) == 0


def test_sizes_by_ratio():
    assert [nearest_size(side) for side in (8, 32, 45, 46, 64, 128)] == [32, 32, 32, 64, 64, 64]


def test_limits_part_three_grades():
    scores = [verdict(fault, [1.0, 3.0])[0] for fault in (0.9, 1.0, 2.9, 3.0)]
    assert scores == [1.0, 0.5, 0.5, 0.0]
    assert "spoiled" in verdict(3.5, [1.0, 3.0])[1]


def test_both_networks_count_alike_in_units_of_renders():
    scale = Scale(head=(-4.0, 2.0), pixels=(10.0, 5.0), limits=(1.0, 2.0))
    found = scale.summed(torch.tensor([-4.0, 0.0, -4.0]), torch.tensor([10.0, 10.0, 25.0]))
    assert found.tolist() == [0.0, 2.0, 3.0]


def test_a_scale_is_read_as_it_was_written(tmp_path):
    scales = {size: Scale(head=(-4.1, 2.0), pixels=(1.0, size), limits=(0.3, 2)) for size in SIZES}
    save_file({"one": torch.ones(1)}, tmp_path / "some.safetensors", metadata(scales))
    assert read(tmp_path / "some.safetensors")[1] == scales


def test_a_folded_network_says_the_same():
    torch.manual_seed(0)
    images = torch.from_numpy(_renders(64, 8)).permute(0, 3, 1, 2)
    network, maps = PixelNetwork(64), Features()(images)
    for _ in range(3):  # its normalisations have seen something
        network(images, maps)
    before = network.eval()(images, maps)
    after = network.folded()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in after.modules())
    assert torch.allclose(after(images, maps), before, atol=1e-4)


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


def test_worse_things_differ_and_know_how_much():
    renders = _with_things()
    worse, grades = worsened_things(renders, 3)
    assert set(grades.tolist()) <= {0, 1, 2, 3} and len(set(grades.tolist())) > 2
    changed = (worse != renders.images).any((1, 2, 3))
    assert np.array_equal(changed, grades > 0)
    assert np.array_equal(worse, worsened_things(renders, 3)[0])


def test_the_one_thing_of_a_render_is_one_of_its_things():
    renders = _with_things()
    fewer = (renders.one < renders.things).any((1, 2))
    assert (renders.one <= renders.things).all() and renders.one.any((1, 2)).all()
    assert fewer.any() and not fewer.all()  # some scenes have several


def test_what_nobody_sees_is_small_and_everywhere():
    torch.manual_seed(0)
    images = torch.full((64, 3, 32, 32), 128, dtype=torch.uint8)
    away = (disturbed(images).float() - 128).square().mean((1, 2, 3)).sqrt()
    assert 0.3 < float(away.max()) <= 1.3  # rounding adds to it
    assert float(away.min()) < 0.3


def test_the_loss_of_grades_asks_three_questions_at_once():
    steps = torch.tensor([0.0, 1.0, -0.5], dtype=torch.float64)
    said = torch.tensor([-2.0, 0.1, 0.9, 3.0], dtype=torch.float64)
    grades = torch.arange(4)
    limits = np.cumsum(np.log1p(np.exp(steps.numpy()))) - 1
    wrong = []
    for fault, grade in zip(said.tolist(), grades.tolist(), strict=True):
        for question, limit in enumerate(limits):  # any fault, more than light, strong
            yes = 1 / (1 + np.exp(limit - fault))
            wrong.append(-np.log(yes if grade > question else 1 - yes))
    loss = grade_loss(said, steps, grades)
    assert float(loss) == pytest.approx(np.mean(wrong), rel=1e-6)
    assert float(grade_loss(3 * said, steps, grades)) < float(loss)
    assert float(grade_loss(said.flip(0), steps, grades)) > 2 * float(loss)


def test_networks_and_scale_are_made_the_same_again():
    torch.set_num_threads(1)  # as in the command
    words, atlas, features = fallback_vocabulary(), fallback_atlas(), Features()
    amounts = Amounts(clean=32, worse=32, head_epochs=2, pictures=32, pixel_epochs=2, held_back=16)

    def made():
        tensors = taught(32, features, words, atlas, amounts)
        return tensors, scale_of(32, features, tensors, words, atlas, amounts)

    (one, scale), (other, again) = made(), made()
    assert scale == again and scale.limits[0] <= scale.limits[1]
    assert set(one) == set(other)
    assert save(one) == save(other)


def test_a_missing_file_has_a_cure(tmp_path):
    with pytest.raises(EvaluationError, match="quality_fit"):
        QualityMeasure(tmp_path / "none.safetensors")


def test_the_fingerprint_is_that_of_the_file():
    assert len(_measure().fingerprint) == 16
    assert _measure().fingerprint == QualityMeasure().fingerprint
