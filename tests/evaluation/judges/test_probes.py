"""The parts of the truth judge: crops, backgrounds, regions, samples and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from instruct_imagen.data.example import Background, Picture, Placement, Scene
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.palette import PALETTE
from instruct_imagen.data.world.places import PLACES
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_background, scene_rng
from instruct_imagen.evaluation.judges.probes import findings, network, regions
from instruct_imagen.evaluation.judges.probes.crops import asset_square, crop
from instruct_imagen.evaluation.judges.probes.finder import turned_back
from instruct_imagen.evaluation.judges.probes.grounds import backgrounds, cost_of, find_ground
from instruct_imagen.evaluation.judges.probes.look import look_at
from instruct_imagen.evaluation.judges.probes.network import SIDE, WIDTHS
from instruct_imagen.evaluation.judges.probes.samples import Samples, labels_of
from instruct_imagen.evaluation.judges.probes.train import train
from instruct_imagen.evaluation.suites.registry import open_suite


def pixels(scene: Scene, size: int = 32) -> torch.Tensor:
    """A scene's image, (3, size, size) float32."""
    return render_pictures([Picture(scene=scene)], fallback_atlas(), size)[0].float()


def alone(background: Background, scale: float = 0.5, turn: int = 0) -> Scene:
    """A house on a background."""
    asset = Placement(concept="house", style="flat", x=0.5, y=0.5, scale=scale, turn=turn)
    return Scene(background=background, placements=(asset,))


@pytest.mark.parametrize("size", [32, 64])
def test_backgrounds_are_found_behind_an_asset(size: int) -> None:
    rng, found = scene_rng(3, size), 0
    for _ in range(40):
        background = sample_background(rng, places=0.5)
        ground = find_ground(pixels(alone(background), size))
        lack = cost_of(ground, background, exact=True) - float(ground.costs.min())
        found += lack < 0.01
    assert found == 40


def test_every_background_of_the_world_is_known() -> None:
    known = backgrounds()
    assert len(set(known)) == len(known) == len(PALETTE) ** 2 + 12 * len(PLACES)


def test_another_drawing_of_a_place_is_the_place_and_not_the_same() -> None:
    ground = find_ground(pixels(alone(Background(kind="place", place="beach", variant=2))))
    other = Background(kind="place", place="beach", variant=7)
    assert cost_of(ground, other, exact=False) == float(ground.costs.min())
    assert cost_of(ground, other, exact=True) > float(ground.costs.min()) + 0.05


def test_what_stands_out_is_the_asset() -> None:
    background = Background(kind="plain", colours=("light blue",))
    image = pixels(alone(background), 64)
    ground = torch.tensor(PALETTE["light blue"]).float()[:, None, None].expand(3, 64, 64)
    mask = regions.standing_out(image, ground)
    x, y, side = regions.square_of(mask)
    assert (x, y) == pytest.approx((0.5, 0.5), abs=0.05)
    assert side == pytest.approx(0.5, abs=0.08)
    assert len(regions.pieces(mask)) == 1


def test_regions_of_known_masks() -> None:
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[2:9, 2:9] = True
    ring = mask.clone()
    ring[4:7, 4:7] = False
    other = torch.zeros_like(mask)
    other[12:18, 11:19] = True
    assert torch.equal(regions.filled(ring), mask)
    first, second = regions.pieces(ring | other)
    assert torch.equal(first, other) and torch.equal(second, ring)
    assert regions.square_of(other) == pytest.approx((0.75, 0.75, 0.4))
    assert regions.iou(mask, other) == 0 and regions.iou(mask, mask) == 1
    assert torch.equal(regions.shrunken(regions.grown(mask)), mask)
    assert regions.overlap((0.5, 0.5, 0.4), (0.5, 0.5, 0.2)) == pytest.approx(0.25)
    assert regions.shared((0.5, 0.5, 0.4), (0.5, 0.5, 0.2)) == pytest.approx(1)


def test_lines_agree_with_themselves_a_pixel_off_and_not_with_others() -> None:
    image = pixels(alone(Background(kind="plain", colours=("white",))))
    own = regions.lines(image)
    assert own.any()
    assert regions.agreement(own, own) == 1
    assert regions.agreement(own, own.roll(1, 0)) > 0.9
    assert regions.agreement(own, own.roll(9, 1)) < 0.6
    slopes = regions.slopes(image)
    assert regions.likeness(slopes, slopes) == pytest.approx(1)
    assert regions.likeness(slopes, slopes.roll(9, 1)) < 0.4


def test_a_crop_shows_the_square_that_was_asked_for() -> None:
    image = torch.zeros(1, 3, 64, 64)
    image[:, 0, 16:48, 16:48] = 200
    seen = crop(image, [(0.5, 0.5, 0.5)], margin=1.0)
    assert seen.shape == (1, 3, SIDE, SIDE)
    assert float(seen[0, 0, 4:-4, 4:-4].min()) == 200
    assert float(crop(image, [(0.1, 0.1, 0.2)], margin=1.0).max()) == 0


def test_a_turned_crop_is_turned_back() -> None:
    background = Background(kind="plain", colours=("white",))
    upright = alone(background, 0.9).placements[0]
    turned = alone(background, 0.9, 180).placements[0]
    images = [pixels(alone(background, 0.9, turn), 64)[None] for turn in (0, 180)]
    first = crop(images[0], [asset_square(upright)])
    second = turned_back(crop(images[1], [asset_square(turned)]), 180)
    assert float((first - second).abs().mean()) < 6
    assert float((first - crop(images[1], [asset_square(turned)])).abs().mean()) > 15


def test_samples_are_those_of_their_seed() -> None:
    vocabulary, atlas = fallback_vocabulary(), fallback_atlas()
    one = Samples(vocabulary, atlas, 4).batch(2, 8)
    same = Samples(vocabulary, atlas, 4).batch(2, 8)
    other = Samples(vocabulary, atlas, 4).batch(3, 8)
    assert torch.equal(one[0], same[0])
    assert all(torch.equal(one[1][head], same[1][head]) for head in one[1])
    assert not torch.equal(one[0], other[0])
    assert one[0].shape == (8, 3, SIDE, SIDE)
    assert float(one[0].min()) >= 0 and float(one[0].max()) <= 255
    labels = labels_of(vocabulary)
    assert int(one[1]["concept"].max()) < len(labels.concepts)


def test_training_is_the_same_for_the_same_seed_and_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    samples = Samples(fallback_vocabulary(), fallback_atlas(), 4)
    for name in ("one", "two"):
        train(samples, 8, tmp_path / f"{name}.safetensors", batch=8)
    one, two = (load_file(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert {key.split(".")[1] for key in one if key.startswith("heads.")} == set(WIDTHS)
    lines = capsys.readouterr().out.splitlines()
    losses = [
        float(line.split("concept ")[1].split(",")[0]) for line in lines if "step" in line[:5]
    ]
    assert losses[1] < losses[0]


def test_the_shipped_probes_are_small_and_find_unit_vectors() -> None:
    assert len(network.probes_sha256()) == 64
    found = network.embed(torch.rand(2, 3, SIDE, SIDE) * 255)
    for head, width in WIDTHS.items():
        assert found[head].shape == (2, width)
        assert found[head].norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-4)
    again = network.embed(torch.zeros(1, 3, SIDE, SIDE))
    assert np.isfinite(again["concept"].numpy()).all()


def test_no_face_at_all_is_nobodys_face() -> None:
    cases = open_suite("unseen").cases(32)
    faces = [case for case in cases if case.group == "face"][:3]
    for case in faces:
        assert case.target is not None
        right = look_at(case, case.target)
        assert findings.person(right, 0).value == 1
        nobody = np.full_like(case.target, 255 if case.target.mean() < 128 else 0)
        assert findings.person(look_at(case, nobody), 0).value == 0
