"""Turned and tinted sprites: exact where that can be known, near the truth elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from instruct_imagen.data.example import EDGE_KINDS, Picture, PictureKind, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import fallback_atlas
from instruct_imagen.data.world.looks import dressed
from instruct_imagen.data.world.looks import tinted as all_tinted
from instruct_imagen.data.world.looks import turned as all_turned
from instruct_imagen.data.world.measures import measure
from instruct_imagen.data.world.relations import shrunk
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import (
    DARK_INK_STYLES,
    PALETTE,
    TINTS,
    TURNS,
    can_be_tinted,
    scene_rng,
)
from instruct_imagen.data.world.sources import IconSet
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary, world_concepts
from tests.data.world.drawn import pixels_of, scene_on, scenes_of

KINDS = get_args(PictureKind)
RICH = Variety(places=0.3, turned=0.5, tinted=0.5)


def tinted(sprite: torch.Tensor, tint: str) -> torch.Tensor:
    return all_tinted(sprite[None], [tint])[0]


def turned(sprite: torch.Tensor, turn: int) -> torch.Tensor:
    return all_turned(sprite[None], [turn])[0]


@pytest.fixture(scope="module")
def sprite(atlas: Atlas) -> torch.Tensor:
    """Not its own mirror image in any way."""
    found = torch.from_numpy(atlas.sprites[7].copy())
    assert not torch.equal(found, found.flip(-1)) and not torch.equal(found, found.flip(-2))
    return found


def test_right_angles_are_exact(sprite: torch.Tensor) -> None:
    for quarters in (1, 2, 3):
        # torch counts from rows to columns, which on a screen is anticlockwise
        assert torch.equal(turned(sprite, 90 * quarters), torch.rot90(sprite, quarters, (-2, -1)))
    assert torch.equal(turned(sprite, 360), sprite)


@pytest.mark.parametrize("turn", [turn for turn in TURNS if turn])
def test_a_turn_is_that_of_pillow(sprite: torch.Tensor, turn: int) -> None:
    """A slow and independent one: enlarge, turn anticlockwise, reduce to the shrunk side."""
    side, fine = sprite.shape[-1], 8
    planes = []
    inner = round(side * fine * shrunk(turn))
    for plane in sprite.numpy():
        image = Image.fromarray(plane.astype(np.float32)).resize(
            (inner, inner), Image.Resampling.BILINEAR
        )
        canvas = Image.new("F", (side * fine, side * fine))
        canvas.paste(image, ((side * fine - inner) // 2,) * 2)
        rotated = canvas.rotate(turn, Image.Resampling.BILINEAR)
        planes.append(np.asarray(rotated.resize((side, side), Image.Resampling.BOX)))
    difference = np.abs(turned(sprite, turn).numpy().astype(float) - np.stack(planes))
    assert difference.mean() < 3
    assert np.quantile(difference, 0.99) < 48  # thin lines, which one of both makes softer


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_full_square_stays_in_its_square(turn: int) -> None:
    full = torch.full((4, 64, 64), 255, dtype=torch.uint8)
    found = turned(full, turn)
    area = float(found[3].float().sum()) / 255
    assert area == pytest.approx((64 * shrunk(turn)) ** 2, rel=0.03)  # nothing is cut off
    if turn % 90:
        assert found[3, 0, 0] == found[3, -1, -1] == found[3, 0, -1] == found[3, -1, 0] == 0


def test_a_turn_has_no_colour_without_cover(atlas: Atlas) -> None:
    for row in range(0, len(atlas), 9):
        for turn in (15, 45, 105, 330):
            found = turned(torch.from_numpy(atlas.sprites[row]), turn).int()
            assert (found[:3] <= found[3:]).all()


def test_other_angles_are_refused(sprite: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="turn=20 must be a multiple of 15 degrees"):
        turned(sprite, 20)


def test_a_tint_keeps_cover_white_and_ink() -> None:
    white, ink, clear, half = (255,) * 4, (10, 10, 10, 255), (0,) * 4, (60, 60, 60, 120)
    sprite = torch.tensor([white, ink, clear, half], dtype=torch.uint8).T.reshape(4, 2, 2)
    for tint in TINTS:
        found = tinted(sprite, tint)
        assert torch.equal(found[3], sprite[3])
        (a, b), (c, d) = found.permute(1, 2, 0).tolist()
        assert a == [255] * 4
        assert max(b[:3]) < 64  # an outline stays dark
        assert c == [0] * 4
        middle = np.array(d[:3]) * 255 / 120
        assert np.abs(middle - np.array(PALETTE[tint])).max() < 30  # grey becomes the colour


def test_a_tinted_drawing_looks_like_its_colour(icon_sets: Mapping[str, IconSet]) -> None:
    """Of the drawings that may be tinted: most of it is nearest to that colour of all tints."""
    some = training_vocabulary(limit=60, min_styles=8, sets=icon_sets)
    pairs = [pair for pair in some.pairs if can_be_tinted(*pair)]
    assert len(pairs) > 0.3 * len(some.pairs)
    assert not {style for _, style in pairs} & DARK_INK_STYLES
    atlas = Atlas.build(pairs, sets=icon_sets)
    names = ("red", "yellow", "green", "blue", "purple")
    hues = np.array([PALETTE[name] for name in names], float)
    hues -= hues.mean(1, keepdims=True)
    hues /= np.linalg.norm(hues, axis=1, keepdims=True)
    right = []
    for row in range(0, len(pairs), 3):
        for number, name in enumerate(names):
            found = tinted(torch.from_numpy(atlas.sprites[row]), name).numpy().astype(float)
            solid = found[:3][:, found[3] >= 250].T
            colour = solid - solid.mean(1, keepdims=True)
            strong = np.linalg.norm(colour, axis=1) > 20
            share = (colour[strong] @ hues.T).argmax(1) == number
            right.append(share.sum() / len(solid))
    assert np.mean(right) > 0.8
    assert np.quantile(right, 0.02) > 0.45


def test_measures_are_those_of_the_drawings(icon_sets: Mapping[str, IconSet], atlas: Atlas) -> None:
    """The whole committed table is what the installed artwork and our own drawings give."""
    from instruct_imagen.data.world import measures

    styles, rows = measures._table()
    drawn = world_concepts(icon_sets)
    pairs = [(concept, style) for concept in drawn for style in drawn[concept]]
    every, own = Atlas.build(pairs, sets=icon_sets), fallback_atlas()
    found = measures.table_of(
        Atlas(
            pairs=(*every.pairs, *own.pairs),
            sprites=np.concatenate([every.sprites, own.sprites]),
            sources={},
        )
    )
    assert found["styles"] == styles
    assert found["drawings"] == rows
    for row, (concept, style) in enumerate(atlas.pairs):
        known = measure(concept, style)
        solid = atlas.sprites[row][3] >= 128
        ys, xs = np.nonzero(solid)
        for found, share in ((ys, known.height), (xs, known.width)):
            reach = max(32 - found.min(), found.max() + 1 - 32) / 32
            assert abs(reach - share) <= 1 / 32


def test_what_is_not_in_the_table_is_unknown() -> None:
    found = measure("gryphon", "twemoji")
    assert (found.width, found.height, found.top) == (1, 1, 1)
    assert not (found.stands or found.carries or found.colours)


def with_lines(scene: Scene, kind: PictureKind, number: int) -> Picture:
    dilation = number % 3 if kind in EDGE_KINDS else 0
    return Picture(scene=scene, kind=kind, dilation=dilation, hand=number * (kind == "sketch"))


@pytest.mark.parametrize("size", [16, 33, 64, 128])
def test_the_same_bytes_alone_and_in_a_batch(
    vocabulary: Vocabulary, atlas: Atlas, size: int
) -> None:
    scenes = scenes_of(replace(vocabulary, variety=RICH), 24, seed=31)
    assert any(asset.turn for scene in scenes for asset in scene.placements)
    assert any(asset.tint for scene in scenes for asset in scene.placements)
    pictures = [with_lines(one, KINDS[i % len(KINDS)], i) for i, one in enumerate(scenes)]
    together = render_pictures(pictures, atlas, size)
    alone = torch.cat([render_pictures([picture], atlas, size) for picture in pictures])
    assert torch.equal(together, alone)
    assert torch.equal(together, render_pictures(pictures[::-1], atlas, size).flip(0))


def test_only_what_has_a_look_is_changed(vocabulary: Vocabulary, atlas: Atlas) -> None:
    level = atlas.level(32)
    concept, style = atlas.pairs[4]
    plain = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=0.5)
    others = [plain, replace(plain, turn=30), replace(plain, tint="blue", turn=30), plain]
    found = dressed(level, [4] * 4, others, "cpu")
    assert torch.equal(found[0], level[4]) and torch.equal(found[3], level[4])
    assert torch.equal(found[1], turned(level[4], 30))
    assert torch.equal(found[2], turned(tinted(level[4], "blue"), 30))
    assert torch.equal(found[1, 3], found[2, 3])
    assert torch.equal(level, atlas.level(32))  # the atlas is as it was


def test_a_mirrored_asset_turns_the_same_way(vocabulary: Vocabulary, atlas: Atlas) -> None:
    """It is mirrored and then turned: at half a turn that is the picture turned upside down."""
    concept, style = vocabulary.pairs[3]
    for flip in (False, True):
        plain = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=1.0, flip=flip)
        upright = pixels_of(scene_on("green", plain), "image", atlas, 64)
        for turn, quarters in ((90, 1), (180, 2), (270, 3)):
            found = pixels_of(scene_on("green", replace(plain, turn=turn)), "image", atlas, 64)
            assert (found == np.rot90(upright, quarters)).all()


def test_every_annotation_follows_a_turn(vocabulary: Vocabulary, atlas: Atlas) -> None:
    concept, style = vocabulary.pairs[12]
    plain = Placement(concept=concept, style=style, x=0.5, y=0.5, scale=1.0)
    for kind in ("mask", "depth"):
        before = pixels_of(scene_on("red", plain), kind, atlas, 64)[..., 0]
        after = pixels_of(scene_on("red", replace(plain, turn=180)), kind, atlas, 64)[..., 0]
        solid = before >= 250 if kind == "mask" else before == 250
        assert solid.any()
        turned_back = after[::-1, ::-1]
        assert (turned_back[solid] == before[solid]).all()
    for kind in ("edge", "mask_edge", "sketch"):
        found = [
            pixels_of(scene_on("red", replace(plain, turn=turn)), kind, atlas, 64)
            for turn in (0, 90)
        ]
        assert (found[0] != found[1]).any()


def test_a_tint_changes_the_image_and_not_where_it_is(vocabulary: Vocabulary, atlas: Atlas) -> None:
    rng = scene_rng(0, 0)
    changed = 0
    for concept, style in vocabulary.pairs[:: max(len(vocabulary.pairs) // 40, 1)]:
        plain = Placement(
            concept=concept, style=style, x=0.5, y=0.4 + 0.2 * rng.random(), scale=0.7
        )
        coloured = replace(plain, tint="green")
        scenes = scene_on("white", plain), scene_on("white", coloured)
        for kind in ("mask", "depth", "region", "mask_edge", "depth_edge"):
            before, after = (pixels_of(scene, kind, atlas, 32) for scene in scenes)
            assert (before == after).all()
        before, after = (pixels_of(scene, "image", atlas, 32) for scene in scenes)
        changed += (before != after).any()
    assert changed > 25
