"""Edges of images, depth maps and masks, their widths, and sketches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from instruct_imagen.data.example import EDGE_KINDS, Picture, PictureKind, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.lines import EDGE_THRESHOLD
from instruct_imagen.data.world.render import instance_masks
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.world.drawn import pixels_of, scene_on, scenes_of, two_deep

SOURCES: dict[PictureKind, PictureKind] = {
    "edge": "image",
    "depth_edge": "depth",
    "mask_edge": "mask",
}


def slow_lines(image: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Where a row changes colour or owner, (rows, columns) bool: the definition, step by step.

    A line is where a step to the next column is high enough, not lower than the step before it and
    higher than the one after it; and wherever the next column shows another asset.
    """
    lines = np.zeros(owner.shape, bool)
    for y, row in enumerate(image):
        steps = [int(np.abs(b - a).max()) for a, b in pairwise(row)]
        for x, step in enumerate(steps):
            before = steps[x - 1] if x > 0 else -1
            after = steps[x + 1] if x + 1 < len(steps) else -1
            crest = step >= EDGE_THRESHOLD and step >= before and step > after
            lines[y, x] = crest or owner[y, x] != owner[y, x + 1]
    return lines


def fine_lines(scene: Scene, kind: PictureKind, atlas: Atlas, size: int) -> np.ndarray:
    """(2 · size, 2 · size) bool: lines of what `kind` takes its edges from."""
    source = pixels_of(scene, SOURCES[kind], atlas, 2 * size)
    masks = instance_masks(scene, atlas, 2 * size).numpy()
    owner = sum((index + 1) * mask for index, mask in enumerate(masks))
    if kind == "mask_edge":
        owner = np.sign(owner)
    return slow_lines(source, owner) | slow_lines(source.swapaxes(0, 1), owner.T).T


def reduced(fine: np.ndarray) -> np.ndarray:
    size = len(fine) // 2
    return fine.reshape(size, 2, size, 2).any(axis=(1, 3))


@pytest.mark.parametrize("kind", sorted(EDGE_KINDS))
def test_edges_are_where_what_they_are_of_or_assets_change(
    vocabulary: Vocabulary, atlas: Atlas, kind: PictureKind
) -> None:
    size = 32
    for scene in [two_deep(vocabulary), *scenes_of(vocabulary, 6, seed=7)]:
        edges = pixels_of(scene, kind, atlas, size)
        assert set(np.unique(edges)) <= {0, 255}
        assert (edges[..., :1] == edges).all()
        wanted = reduced(fine_lines(scene, kind, atlas, size))
        assert (edges[..., 0] == 255 * wanted).all()
        assert 0.005 < wanted.mean() < 0.7


@pytest.mark.parametrize(
    ("size", "dilation", "half_pixels"),
    [(8, 1, 1), (16, 1, 1), (32, 1, 1), (33, 1, 1), (64, 1, 2),
     (16, 2, 1), (32, 2, 2), (33, 2, 2), (64, 2, 4)],
)  # fmt: skip
@pytest.mark.parametrize("kind", sorted(EDGE_KINDS))
def test_a_dilation_widens_lines_by_so_many_half_pixels_to_each_side(
    vocabulary: Vocabulary,
    atlas: Atlas,
    kind: PictureKind,
    size: int,
    dilation: int,
    half_pixels: int,
) -> None:
    for scene in [two_deep(vocabulary), *scenes_of(vocabulary, 2, seed=8)]:
        lines = fine_lines(scene, kind, atlas, size)
        wanted = reduced(ndimage.maximum_filter(lines, 2 * half_pixels + 1, mode="constant"))
        found = pixels_of(scene, kind, atlas, size, dilation=dilation)
        assert (found == 255 * wanted[..., None]).all()


def square(vocabulary: Vocabulary, atlas: Atlas, rows: np.ndarray | None = None) -> Atlas:
    """An asset that is a square of half of its sprite's side, white or with rows of these greys."""
    sprite = np.zeros((4, 64, 64), np.uint8)
    sprite[:, 16:48, 16:48] = 255
    if rows is not None:
        sprite[:3, 16:48, 16:48] = rows[:, None]
    return Atlas(pairs=vocabulary.pairs[:1], sprites=sprite[None], sources=atlas.sources)


def squared(vocabulary: Vocabulary, colour: str = "white") -> Scene:
    concept, style = vocabulary.pairs[0]
    return scene_on(colour, Placement(concept=concept, style=style, x=0.5, y=0.5, scale=1.0))


@pytest.mark.parametrize("kind", sorted(EDGE_KINDS))
@pytest.mark.parametrize("dilation", [0, 1, 2, 3])
def test_a_line_has_one_pixel_more_of_32_for_each_dilation(
    vocabulary: Vocabulary, atlas: Atlas, kind: PictureKind, dilation: int
) -> None:
    white = square(vocabulary, atlas)
    edges = pixels_of(squared(vocabulary), kind, white, 32, dilation=dilation)[..., 0]
    assert (edges[16] == 255).sum() == 2 * (1 + dilation)
    assert (edges[:, 16] == 255).sum() == 2 * (1 + dilation)


def test_an_asset_of_the_backgrounds_colour_still_has_an_outline(
    vocabulary: Vocabulary, atlas: Atlas
) -> None:
    white = square(vocabulary, atlas)
    for kind in EDGE_KINDS:
        edges = pixels_of(squared(vocabulary), kind, white, 32)[..., 0]
        assert not edges[9:23, 9:23].any()
        assert edges[7, 8:24].all() and edges[23, 8:24].all()
        assert edges[8:24, 7].all() and edges[8:24, 23].all()


def test_depth_and_mask_have_outlines_alone(vocabulary: Vocabulary, atlas: Atlas) -> None:
    """The drawing inside and the background behind do not matter."""
    striped = square(vocabulary, atlas, np.repeat([0, 200], 4).repeat(4).astype(np.uint8))
    white, other = square(vocabulary, atlas), squared(vocabulary, "red")
    for kind, equal in (("depth_edge", True), ("mask_edge", True), ("edge", False)):
        plain = pixels_of(squared(vocabulary), kind, white, 32)
        assert (pixels_of(other, kind, striped, 32) == plain).all() == equal


def test_where_assets_overlap_the_depth_has_a_line_and_the_mask_has_none(
    vocabulary: Vocabulary, atlas: Atlas
) -> None:
    concept, style = vocabulary.pairs[0]
    far = Placement(concept=concept, style=style, x=0.4, y=0.5, scale=1.0)
    near = Placement(concept=concept, style=style, x=0.6, y=0.5, scale=1.0)
    scene, white = scene_on("white", far, near), square(vocabulary, atlas)
    for kind, lines in (("edge", 3), ("depth_edge", 3), ("mask_edge", 2)):
        row = pixels_of(scene, kind, white, 40)[20, :, 0] > 0
        starts = row & ~np.roll(row, 1)
        assert starts.sum() == lines, kind


def test_only_edges_are_dilated_and_only_sketches_have_a_hand(vocabulary: Vocabulary) -> None:
    scene = squared(vocabulary)
    for kind in ("image", "sketch", "mask", "depth", "region"):
        with pytest.raises(ValueError, match=f"dilation=1 of a picture of kind '{kind}': give one"):
            Picture(scene=scene, kind=kind, dilation=1)
    for kind in ("image", "mask", "depth", "region", *EDGE_KINDS):
        with pytest.raises(ValueError, match=f"hand=5 of a picture of kind '{kind}': give one"):
            Picture(scene=scene, kind=kind, hand=5)
    with pytest.raises(ValueError, match="dilation=-1"):
        Picture(scene=scene, kind="edge", dilation=-1)
    with pytest.raises(ValueError, match="hand=-1"):
        Picture(scene=scene, kind="sketch", hand=-1)


# --- sketches ----------------------------------------------------------------------------------


def ink(scene: Scene, atlas: Atlas, size: int, hand: int) -> np.ndarray:
    """(size, size) float, 0 for paper, 1 for the darkest strokes."""
    found = pixels_of(scene, "sketch", atlas, size, hand=hand)
    assert (found[..., :1] == found).all()
    # Each of the four half-pixels of a pixel is a stroke or paper.
    assert set(np.unique(found)) <= {255, 201, 147, 93, 39}
    return (255 - found[..., 0]) / 216


def near(lines: np.ndarray, pixels: int) -> np.ndarray:
    return ndimage.maximum_filter(lines, 2 * pixels + 1)


@pytest.mark.parametrize("size", [32, 64])
def test_strokes_lie_near_edges_and_outlines_are_mostly_drawn(
    vocabulary: Vocabulary, atlas: Atlas, size: int
) -> None:
    pixel = size // 32
    drawn, strayed = [], []
    for number, scene in enumerate([two_deep(vocabulary), *scenes_of(vocabulary, 30, seed=9)]):
        strokes = ink(scene, atlas, size, hand=number)
        assert 0.01 < strokes.mean() < 0.4
        found = strokes > 0
        edges = pixels_of(scene, "edge", atlas, size)[..., 0] > 0
        outline = pixels_of(scene, "depth_edge", atlas, size)[..., 0] > 0
        assert not (found & ~near(edges, 3 * pixel)).any()
        drawn.append(near(found, 2 * pixel)[outline].mean())
        strayed.append((found & ~edges).sum() / found.sum())
    assert np.mean(drawn) > 0.9
    # It is no edge map: many strokes are beside the edges.
    assert np.mean(strayed) > 0.2


def test_lines_waver_and_have_gaps(vocabulary: Vocabulary, atlas: Atlas) -> None:
    white = square(vocabulary, atlas)
    concept, style = vocabulary.pairs[0]
    wavering, gaps = [], []
    for hand in range(60):
        # The upper side of the square, at a row from 10 to 21 and as long as 24 pixels and more.
        middle = 26.0 + hand % 12
        placement = Placement(concept=concept, style=style, x=0.5, y=middle / 64, scale=1.0)
        row = hand % 12 + 10
        top = ink(scene_on("green", placement), white, 64, hand)[row - 8 : row + 9, 20:44] > 0
        gaps.append(1 - top.any(axis=0).mean())
        rows = top.argmax(axis=0)[top.any(axis=0)]
        wavering.append(rows.max() - rows.min())
        assert abs(rows - 8).max() <= 4
    assert np.mean(np.array(wavering) > 0) > 0.8
    assert 0.01 < np.mean(gaps) < 0.15
    assert max(gaps) < 0.7


@pytest.mark.parametrize(
    ("bright", "dark", "edge", "stroke"),
    [(230, 206, False, False), (230, 170, True, False), (230, 120, True, True)],
)
def test_a_sketch_has_the_strongest_inner_lines_alone(
    vocabulary: Vocabulary, atlas: Atlas, bright: int, dark: int, edge: bool, stroke: bool
) -> None:
    halves = square(vocabulary, atlas, np.repeat([bright, dark], 16).astype(np.uint8))
    scene = squared(vocabulary, "green")
    assert (pixels_of(scene, "edge", halves, 64)[28:36, 24:40] > 0).any() == edge
    inside = [(ink(scene, halves, 64, hand)[26:38, 24:40] > 0).any() for hand in range(20)]
    assert np.mean(inside) > 0.8 if stroke else not any(inside)


def test_each_hand_errs_in_its_own_way_and_always_so(vocabulary: Vocabulary, atlas: Atlas) -> None:
    for scene in scenes_of(vocabulary, 6, seed=10):
        first, again, other = (ink(scene, atlas, 32, hand) for hand in (1, 1, 2))
        assert (first == again).all()
        assert (first != other).any()
        # The same hand at twice the size, seen small, is nearer than another hand.
        large = ink(scene, atlas, 64, 1).reshape(32, 2, 32, 2).mean(axis=(1, 3))
        assert np.abs(large - first).mean() < np.abs(large - other).mean()


def test_a_dark_stroke_of_the_artwork_is_drawn_once(vocabulary: Vocabulary, atlas: Atlas) -> None:
    """Close stripes would be black if both sides of each were drawn."""
    stripes = square(vocabulary, atlas, np.tile([255, 255, 0, 0], 8).astype(np.uint8))
    scene = squared(vocabulary)
    assert (pixels_of(scene, "edge", stripes, 32)[11:21, 11:21] == 255).all()
    inner = [ink(scene, stripes, 32, hand)[11:21, 11:21].mean() for hand in range(20)]
    assert 0.2 < np.mean(inner) < 0.7
