"""Ground truth: masks, boxes, labels and shares agree with each other and with the pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from instruct_imagen.data.example import Picture, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.relations import relations
from instruct_imagen.data.world.render import asset_depths, render_pictures
from instruct_imagen.data.world.truth import GroundTruth, PixelBox, ground_truth
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.world.drawn import scenes_of, two_deep

RICH = Variety(places=0.3, turned=0.4, tinted=0.4)


@pytest.fixture(scope="module")
def scenes(vocabulary: Vocabulary) -> list[Scene]:
    rich = replace(vocabulary, variety=RICH)
    return [two_deep(vocabulary), *scenes_of(rich, 60, seed=20)]


def slow_box(mask: torch.Tensor) -> PixelBox | None:
    places = [(x, y) for y, row in enumerate(mask.tolist()) for x, one in enumerate(row) if one]
    if not places:
        return None
    xs, ys = zip(*places, strict=True)
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def check(truth: GroundTruth, scene: Scene, size: int) -> None:
    count = len(scene.placements)
    assert truth.masks.shape == truth.amodal_masks.shape == (count, size, size)
    assert truth.masks.dtype == truth.amodal_masks.dtype == truth.edges.dtype == torch.bool
    assert (truth.masks.sum(0) <= 1).all()
    assert not (truth.masks & ~truth.amodal_masks).any()
    assert torch.equal(truth.masks.any(0), truth.amodal_masks.any(0))
    assert torch.equal(truth.masks[-1], truth.amodal_masks[-1])  # nothing is before the nearest
    for index in range(count):
        assert torch.equal(truth.labels == index + 1, truth.masks[index])
        assert truth.boxes[index] == slow_box(truth.masks[index])
        assert truth.amodal_boxes[index] == slow_box(truth.amodal_masks[index])
        whole = int(truth.amodal_masks[index].sum())
        assert truth.visible[index] == pytest.approx(int(truth.masks[index].sum()) / max(whole, 1))
    assert truth.labels.unique().tolist()[0] == 0
    assert truth.concepts == tuple(asset.concept for asset in scene.placements)
    assert truth.styles == tuple(asset.style for asset in scene.placements)
    assert truth.relations == relations(scene)
    assert truth.depth.shape == truth.edges.shape == (size, size)


@pytest.mark.parametrize("size", [32, 47, 64])
def test_parts_agree(scenes: list[Scene], atlas: Atlas, size: int) -> None:
    for scene in scenes:
        check(ground_truth(scene, atlas, size), scene, size)


def test_maps_are_the_pictures(scenes: list[Scene], atlas: Atlas) -> None:
    """Rendered in one batch with others, they have the same bytes."""
    depths = render_pictures([Picture(scene=one, kind="depth") for one in scenes], atlas, 32)
    edges = render_pictures([Picture(scene=one, kind="edge") for one in scenes], atlas, 32)
    masks = render_pictures([Picture(scene=one, kind="mask") for one in scenes], atlas, 32)
    for scene, depth, edge, mask in zip(scenes, depths, edges, masks, strict=True):
        truth = ground_truth(scene, atlas, 32)
        assert torch.equal(truth.depth, depth[0])
        assert torch.equal(truth.edges, edge[0] == 255)
        assert not (truth.masks.any(0) & (mask[0] < 128)).any()


def test_each_asset_has_its_own_depth(scenes: list[Scene], atlas: Atlas) -> None:
    hidden = exact = total = 0
    for scene in scenes:
        truth = ground_truth(scene, atlas, 64)
        own = asset_depths(scene)
        assert own == sorted(set(own))
        for depth, mask in zip(own, truth.masks, strict=True):
            # A soft border is between its depth and that of what is behind it.
            exact += bool((truth.depth[mask] == depth).any())
            total += 1
        hidden += min(truth.visible) < 0.95
    assert exact / total > 0.9  # thin lines have nothing but borders
    assert hidden


@pytest.mark.parametrize("size", [1, 2, 500, 1024])
def test_any_resolution(scenes: list[Scene], atlas: Atlas, size: int) -> None:
    truth = ground_truth(scenes[0], atlas, size)
    assert truth.masks.shape == (2, size, size)
    assert truth.edges.shape == truth.depth.shape == (size, size)
    small = ground_truth(scenes[0], atlas, 64)
    if size >= 500:
        for big, little in zip(truth.visible, small.visible, strict=True):
            assert big == pytest.approx(little, abs=0.02)


def test_sprites_of_full_size_are_sharp(scenes: list[Scene], atlas: Atlas) -> None:
    """An atlas of the scene's own sprites agrees with the enlarged ones but for their borders."""
    scene = scenes[0]
    pairs = sorted({(asset.concept, asset.style) for asset in scene.placements})
    sharp = Atlas.build(pairs, side=1024)
    fine, coarse = (ground_truth(scene, one, 1024) for one in (sharp, atlas))
    differs = (fine.labels != coarse.labels).float().mean()
    assert 0 < differs < 0.03
    image = [
        render_pictures([Picture(scene=scene)], one, 1024)[0].float() for one in (sharp, atlas)
    ]
    steps = [(one[:, :, 1:] - one[:, :, :-1]).abs().amax() for one in image]
    assert steps[0] >= steps[1]


@pytest.mark.parametrize("size", [0, -3, 1025])
def test_other_sizes_are_refused(scenes: list[Scene], atlas: Atlas, size: int) -> None:
    with pytest.raises(ValueError, match=f"size={size} must be 1 to 1024 pixels"):
        ground_truth(scenes[0], atlas, size)
