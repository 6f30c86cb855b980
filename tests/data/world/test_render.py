from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from instruct_imagen.data.example import (
    EDGE_KINDS,
    Background,
    Picture,
    PictureKind,
    Placement,
    Scene,
)
from instruct_imagen.data.world.atlas import Atlas, AtlasError
from instruct_imagen.data.world.places import sample_place
from instruct_imagen.data.world.render import (
    asset_depths,
    instance_masks,
    render_pictures,
)
from instruct_imagen.data.world.scenes import PALETTE, scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.world.drawn import pixels_of, scene_on, scenes_of, two_deep

KINDS = get_args(PictureKind)


def mixed_pictures(vocabulary: Vocabulary, count: int, seed: int = 0) -> list[Picture]:
    """All kinds, interleaved, every third on a place."""
    scenes = scenes_of(vocabulary, count, seed)
    rng = scene_rng(seed, count)
    scenes[::3] = [replace(scene, background=sample_place(rng)) for scene in scenes[::3]]
    return [
        with_lines(scene, KINDS[index % len(KINDS)], index) for index, scene in enumerate(scenes)
    ]


def with_lines(scene: Scene, kind: PictureKind, number: int) -> Picture:
    """Edges of all widths, sketches of many hands."""
    if kind in EDGE_KINDS:
        return Picture(scene=scene, kind=kind, dilation=number // len(KINDS) % 3)
    return Picture(scene=scene, kind=kind, hand=number if kind == "sketch" else 0)


# --- a slow, straightforward reference --------------------------------------------------------


FINE = 4  # PIL's box takes or leaves whole source pixels, so these are cut into 4 × 4 first


def placed_sprite(placement: Placement, atlas: Atlas, size: int) -> np.ndarray:
    """The sprite at its place: (size, size, 4) float in [0, 255], premultiplied.

    The sprite is pasted on a large empty canvas, of which the frame is one box, resized by PIL.
    """
    level = atlas.level(size)[atlas.row(placement.concept, placement.style)]
    sprite = level.permute(1, 2, 0).numpy().repeat(FINE, axis=0).repeat(FINE, axis=1)
    if placement.flip:
        sprite = sprite[:, ::-1]
    side = sprite.shape[0]
    span = side / placement.scale  # side of the frame in fine pixels
    margin = int(np.ceil(span))
    left = margin + side / 2 - placement.x * span
    top = margin + side / 2 - placement.y * span
    planes = []
    for plane in range(4):
        canvas = np.pad(sprite[..., plane].astype(np.float32), margin)
        image = Image.fromarray(canvas)
        box = (left, top, left + span, top + span)
        planes.append(np.asarray(image.resize((size, size), Image.Resampling.BOX, box=box)))
    return np.stack(planes, axis=-1)


def reference_image(scene: Scene, atlas: Atlas, size: int) -> np.ndarray:
    """(size, size, 3) float: a background, and each sprite over what is there."""
    ends = np.array(
        [PALETTE[scene.background.colours[0]], PALETTE[scene.background.colours[-1]]], float
    )
    share = np.linspace(0, 1, size)[:, None, None]
    canvas = np.broadcast_to(ends[0] * (1 - share) + ends[1] * share, (size, size, 3))
    for placement in scene.placements:
        sprite = placed_sprite(placement, atlas, size)
        canvas = sprite[..., :3] + canvas * (1 - sprite[..., 3:] / 255)
    return canvas


def reference_mask(scene: Scene, atlas: Atlas, size: int) -> np.ndarray:
    """(size, size) float: how much of each pixel is covered."""
    clear = np.ones((size, size))
    for placement in scene.placements:
        clear = clear * (1 - placed_sprite(placement, atlas, size)[..., 3] / 255)
    return 255 * (1 - clear)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_image_agrees_with_the_slow_reference(
    vocabulary: Vocabulary, atlas: Atlas, size: int
) -> None:
    for scene in scenes_of(vocabulary, 12, seed=1):
        found = pixels_of(scene, "image", atlas, size)
        wanted = reference_image(scene, atlas, size)
        difference = np.abs(found - wanted)
        # Both round shares of a sprite pixel (ours to 1/128 of the pixel, the reference to a
        # quarter of a sprite pixel), which shows on hard borders only.
        assert difference.mean() < 2.0
        assert difference.max() < 40


def test_image_agrees_exactly_with_the_reference_on_whole_pixels(
    vocabulary: Vocabulary, atlas: Atlas
) -> None:
    """Where a sprite pixel is a picture's pixel, only the rounding of the blend is left."""
    size = 64
    concept, style = vocabulary.pairs[0]
    for flip in (False, True):
        for x, y in ((0.5, 0.5), (0.25, 0.75), (1.0, 0.5)):
            placement = Placement(concept=concept, style=style, x=x, y=y, scale=1.0, flip=flip)
            scene = scene_on("yellow", placement)
            found = pixels_of(scene, "image", atlas, size)
            assert np.abs(found - reference_image(scene, atlas, size)).max() <= 0.5 + 1e-3


def test_halves_are_exact_too(vocabulary: Vocabulary, atlas: Atlas) -> None:
    """Half the size: each pixel is the rounded average of four sprite pixels."""
    concept, style = vocabulary.pairs[5]
    placement = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=0.5)
    scene = scene_on("pink", placement)
    found = pixels_of(scene, "image", atlas, 64)
    assert np.abs(found - reference_image(scene, atlas, 64)).max() < 2.0  # colour, alpha, blend


# --- the same bytes whatever the circumstances -------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_picture_is_the_same_alone_and_in_a_batch(
    vocabulary: Vocabulary, atlas: Atlas, size: int
) -> None:
    pictures = mixed_pictures(vocabulary, 40)
    together = render_pictures(pictures, atlas, size)
    assert together.shape == (40, 3, size, size)
    assert together.dtype == torch.uint8
    alone = torch.cat([render_pictures([picture], atlas, size) for picture in pictures])
    assert torch.equal(together, alone)
    backwards = render_pictures(pictures[::-1], atlas, size).flip(0)
    assert torch.equal(together, backwards)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_do_not_change_bytes(
    vocabulary: Vocabulary, atlas: Atlas, threads: Callable[[int], None]
) -> None:
    pictures = mixed_pictures(vocabulary, 64, seed=2)
    threads(1)
    one = render_pictures(pictures, atlas, 64)
    threads(2)
    assert torch.equal(one, render_pictures(pictures, atlas, 64))


def render_bytes(pictures: list[Picture], atlas: Atlas) -> bytes:
    return render_pictures(pictures, atlas, 32).numpy().tobytes()


def test_processes_do_not_change_bytes(vocabulary: Vocabulary, atlas: Atlas) -> None:
    pictures = mixed_pictures(vocabulary, 48, seed=3)
    here = render_bytes(pictures, atlas)
    context = multiprocessing.get_context("fork")
    for workers in (1, 2, 4):
        share = len(pictures) // workers
        parts = [pictures[start : start + share] for start in range(0, len(pictures), share)]
        # One thread each, as data workers have: a forked process must not start torch's pool.
        with context.Pool(workers, torch.set_num_threads, (1,)) as pool:
            found = b"".join(pool.map(partial(render_bytes, atlas=atlas), parts, chunksize=1))
        assert found == here


# --- annotations -------------------------------------------------------------------------------


def test_mask_is_the_coverage_by_alpha(vocabulary: Vocabulary, atlas: Atlas) -> None:
    for scene in scenes_of(vocabulary, 12, seed=4):
        found = pixels_of(scene, "mask", atlas, 64)
        assert (found[..., :1] == found).all()
        difference = np.abs(found[..., 0] - reference_mask(scene, atlas, 64))
        assert difference.mean() < 2.0
        assert difference.max() < 40
    concept, style = vocabulary.pairs[0]
    scene = scene_on("red", Placement(concept=concept, style=style, x=0.5, y=0.5, scale=1.0))
    assert (
        pixels_of(scene, "mask", atlas, 64)[..., 0] == atlas.sprite(concept, style)[..., 3]
    ).all()


def test_image_outside_the_mask_is_background(vocabulary: Vocabulary, atlas: Atlas) -> None:
    for scene in scenes_of(vocabulary, 20, seed=5):
        empty = Scene(background=scene.background, placements=scene.placements[:1])
        outside = pixels_of(scene, "mask", atlas, 32)[..., 0] == 0
        assert outside.any()
        ends = [np.array(PALETTE[name]) for name in empty.background.colours]
        low, high = np.minimum(ends[0], ends[-1]), np.maximum(ends[0], ends[-1])
        seen = pixels_of(scene, "image", atlas, 32)[outside]
        assert (seen >= low).all() and (seen <= high).all()


def test_gradient_runs_from_top_to_bottom(vocabulary: Vocabulary, atlas: Atlas) -> None:
    concept, style = vocabulary.pairs[0]
    tiny = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=0.1)
    background = Background(kind="gradient", colours=("white", "dark blue"))
    found = pixels_of(Scene(background=background, placements=(tiny,)), "image", atlas, 32)
    assert tuple(found[0, 0]) == PALETTE["white"]
    assert tuple(found[-1, 0]) == PALETTE["dark blue"]
    assert (np.diff(found[:, 0], axis=0) <= 0).all()


def test_depth_is_ordered(vocabulary: Vocabulary, atlas: Atlas) -> None:
    scenes = [two_deep(vocabulary), *scenes_of(vocabulary, 30, seed=6)]
    for scene in scenes:
        depths = asset_depths(scene)
        assert depths == sorted(set(depths))
        assert all(90 < depth <= 255 for depth in depths)
        found = pixels_of(scene, "depth", atlas, 64)
        assert (found[..., :1] == found).all()
        behind = pixels_of(scene, "mask", atlas, 64)[..., 0] == 0
        ground = found[..., 0][behind]
        assert ground.max() <= 90
        rows = np.nonzero(behind)[0]
        assert (ground == rows * 90 // 63).all()
        # A pixel that only one asset covers, and wholly, shows that asset's depth.
        alphas = np.stack([placed_sprite(p, atlas, 64)[..., 3] for p in scene.placements])
        for index, depth in enumerate(depths):
            others = np.delete(alphas, index, axis=0)
            sure = (alphas[index] > 254.9) & (others < 0.1).all(axis=0)
            sure &= pixels_of(scene, "mask", atlas, 64)[..., 0] == 255
            values = found[..., 0][sure]
            assert len(values) == 0 or abs(np.median(values) - depth) <= 1


def test_the_nearer_asset_hides_the_farther_one(vocabulary: Vocabulary, atlas: Atlas) -> None:
    scene = two_deep(vocabulary)
    far, near = asset_depths(scene)
    assert far < near
    masks = instance_masks(scene, atlas, 64).numpy()
    cover = placed_sprite(scene.placements[1], atlas, 64)[..., 3]
    assert masks[0].any() and masks[1].any()
    assert not masks[0][cover > 200].any()
    swapped = Scene(background=scene.background, placements=scene.placements[::-1])
    assert not np.array_equal(
        pixels_of(scene, "image", atlas, 64), pixels_of(swapped, "image", atlas, 64)
    )


def test_a_background_alone_has_no_edges(vocabulary: Vocabulary, atlas: Atlas) -> None:
    concept, style = vocabulary.pairs[0]
    outside = Placement(concept=concept, style=style, x=-1.0, y=-1.0, scale=0.3)
    for colours in (("white",), ("white", "dark blue")):
        kind = "plain" if len(colours) == 1 else "gradient"
        scene = Scene(background=Background(kind=kind, colours=colours), placements=(outside,))
        for kind in EDGE_KINDS:
            assert not pixels_of(scene, kind, atlas, 32).any()
        assert (pixels_of(scene, "sketch", atlas, 32) == 255).all()
        assert not pixels_of(scene, "mask", atlas, 32).any()
        assert not pixels_of(scene, "region", atlas, 32).any()


def slow_region(scene: Scene, size: int) -> np.ndarray:
    """(size, size) bool: pixels of which a square covers 1/256 or more of a side, both ways."""
    white = np.zeros((size, size), bool)
    for asset in scene.placements:
        shares = []
        for centre in (asset.y, asset.x):
            low, high = (size * (centre + sign * asset.scale / 2) for sign in (-1, 1))
            shares.append([min(high, pixel + 1) - max(low, pixel) for pixel in range(size)])
        down, across = np.array(shares) >= 1 / 256
        white |= down[:, None] & across
    return white


@pytest.mark.parametrize("size", [32, 33, 64])
def test_a_region_is_the_squares_of_the_assets(
    vocabulary: Vocabulary, atlas: Atlas, size: int
) -> None:
    for scene in [two_deep(vocabulary), *scenes_of(vocabulary, 40, seed=9)]:
        found = pixels_of(scene, "region", atlas, size)
        assert (found == 255 * slow_region(scene, size)[..., None]).all()


@pytest.mark.parametrize(
    ("x", "y", "rows", "columns"),
    [
        (0.5, 0.5, (8, 24), (8, 24)),
        (0.5 + 1 / 64, 0.5, (8, 24), (8, 25)),  # half a pixel to the right
        (0.0, 1.0, (24, 32), (0, 8)),  # three quarters are outside of the frame
    ],
)
def test_a_square_touches_these_pixels(
    vocabulary: Vocabulary,
    atlas: Atlas,
    x: float,
    y: float,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    concept, style = vocabulary.pairs[0]
    placement = Placement(concept=concept, style=style, x=x, y=y, scale=0.5)
    wanted = np.zeros((32, 32), int)
    wanted[slice(*rows), slice(*columns)] = 255
    found = pixels_of(scene_on("red", placement), "region", atlas, 32)
    assert (found == wanted[..., None]).all()


def test_outside_of_the_region_there_is_no_trace_of_an_asset(
    vocabulary: Vocabulary, atlas: Atlas
) -> None:
    for size in (16, 32, 64):
        for scene in scenes_of(vocabulary, 60, seed=10):
            outside = pixels_of(scene, "region", atlas, size)[..., 0] == 0
            assert outside.any()
            assert not pixels_of(scene, "mask", atlas, size)[outside].any()
            empty = Scene(background=scene.background, placements=())
            seen = pixels_of(scene, "image", atlas, size)
            assert (seen == pixels_of(empty, "image", atlas, size))[outside].all()


def test_instance_masks_are_disjoint_and_cover_the_mask(
    vocabulary: Vocabulary, atlas: Atlas
) -> None:
    for scene in [two_deep(vocabulary), *scenes_of(vocabulary, 30, seed=8)]:
        masks = instance_masks(scene, atlas, 64)
        assert masks.shape == (len(scene.placements), 64, 64)
        assert masks.dtype == torch.bool
        assert (masks.sum(dim=0) <= 1).all()
        mask = render_pictures([Picture(scene=scene, kind="mask")], atlas, 64)[0, 0]
        # Half covered by one asset is at least half covered; two thin ones may add up to half.
        assert not (masks.any(dim=0) & (mask < 128)).any()
        if len(scene.placements) == 1:
            assert torch.equal(masks[0], mask >= 128)


def test_flip_mirrors(vocabulary: Vocabulary, atlas: Atlas) -> None:
    concept, style = vocabulary.pairs[3]
    plain = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=0.8)
    mirrored = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=0.8, flip=True)
    for kind in ("image", "mask", "depth", "region"):
        found = pixels_of(scene_on("green", plain), kind, atlas, 32)
        assert (found[:, ::-1] == pixels_of(scene_on("green", mirrored), kind, atlas, 32)).all()


def test_nothing_to_render(atlas: Atlas) -> None:
    assert render_pictures([], atlas, 32).shape == (0, 3, 32, 32)


def test_missing_sprite_is_named(atlas: Atlas) -> None:
    scene = scene_on("red", Placement(concept="gryphon", style="noto", x=0.5, y=0.5, scale=0.5))
    with pytest.raises(AtlasError, match="'gryphon' in the style 'noto'"):
        render_pictures([Picture(scene=scene)], atlas, 32)
