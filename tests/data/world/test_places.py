from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from instruct_imagen.data.example import Background, Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import fallback_atlas
from instruct_imagen.data.world.holdout import named_like_heldout
from instruct_imagen.data.world.palette import NEAR, TINTS
from instruct_imagen.data.world.places import (
    _KEPT_BYTES,
    PLACES,
    VARIANTS,
    _kept,
    draw_place,
    place_phrases,
    place_shapes,
    sample_place,
)
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import DARK_COLOURS, PALETTE, scene_rng
from tests.data.world.drawn import pixels_of, scene_on

EVERY = [(name, variant) for name, place in PLACES.items() for variant in range(VARIANTS)]
LUMINANCE = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def own() -> Atlas:
    return fallback_atlas(64)


def on_place(name: str, variant: int, *placements: Placement) -> Scene:
    return Scene(
        background=Background(kind="place", place=name, variant=variant), placements=placements
    )


def star(**more: float) -> Placement:
    return Placement(concept="star", style="flat", **{"x": 0.5, "y": 0.5, "scale": 0.5, **more})


# --- drawings ----------------------------------------------------------------------------------


def test_there_are_enough_places() -> None:
    assert len(PLACES) >= 14 and VARIANTS >= 6
    for name, place in PLACES.items():
        assert place.name == name
        assert 0 < place.ground <= 1


@pytest.mark.parametrize("size", [16, 32, 33, 64])
def test_every_variant_is_drawn_over_the_whole_frame(size: int) -> None:
    for name, variant in EVERY:
        found = draw_place(name, variant, size)
        assert found.shape == (size, size, 3)
        assert found.dtype == np.uint8
        # The canvas is black, and nothing that is drawn on it is.
        assert found.max(axis=2).min() > 10, (name, variant)


def test_shapes_are_colours_and_corners() -> None:
    for name, variant in EVERY:
        shapes = place_shapes(name, variant)
        assert len(shapes) >= 8
        for shape in shapes:
            corners = len(shape.points)
            assert corners >= 3 if shape.kind == "polygon" else corners == 2
            assert len(shape.colour) == 7 and int(shape.colour[1:], 16) >= 0


def test_variants_differ() -> None:
    for name in PLACES:
        drawn = [draw_place(name, variant, 32).astype(int) for variant in range(VARIANTS)]
        for index, one in enumerate(drawn):
            for other in drawn[:index]:
                assert np.abs(one - other).mean() > 2, name


def test_a_drawing_is_a_function_of_its_arguments() -> None:
    before = {key: draw_place(*key, 32).tobytes() for key in EVERY}
    assert place_shapes("beach", 2) == place_shapes("beach", 2)
    _kept.cache_clear()
    for key in reversed(EVERY):
        assert draw_place(*key, 32).tobytes() == before[key]


def test_a_small_drawing_is_the_large_one_reduced() -> None:
    for name, variant in EVERY:
        large = draw_place(name, variant, 256).reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
        difference = np.abs(large - draw_place(name, variant, 32))
        # Borders lie on whole fine pixels, of which a small drawing has fewer.
        assert difference.mean() < 2, (name, variant)
        assert difference.max() < 80


def test_kept_drawings_are_read_only_and_bounded() -> None:
    found = draw_place("street", 0, 32)
    assert draw_place("street", 0, 32) is found
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0, 0] = 1
    for size in (32, 256, 1024, 8192):
        kept = _kept(size).cache_info().maxsize
        assert kept == 1 or kept * 3 * size * size <= _KEPT_BYTES
    assert _kept(64).cache_info().maxsize > len(EVERY)


@pytest.mark.parametrize("variant", [-1, 12])
def test_an_unknown_variant_is_named(variant: int) -> None:
    with pytest.raises(ValueError, match=f"variant={variant} of the place 'sea': use 0 to 11"):
        draw_place("sea", variant, 32)


def test_an_unknown_place_is_named(own: Atlas) -> None:
    for kind in ("image", "depth", "edge"):
        with pytest.raises(ValueError, match=r"no place 'moonbase': use one of beach, sea, .*"):
            pixels_of(on_place("moonbase", 0, star()), kind, own, 32)
    with pytest.raises(ValueError, match="no place 'moonbase'"):
        place_phrases("moonbase")


# --- what assets are seen on -------------------------------------------------------------------


def test_dark_places_are_dark() -> None:
    darkest = max(np.array(PALETTE[name]) @ LUMINANCE for name in DARK_COLOURS)
    assert {name for name, place in PLACES.items() if place.dark} >= {"night sky", "space"}
    for name, variant in EVERY:
        values = draw_place(name, variant, 32) @ LUMINANCE
        if PLACES[name].dark:
            assert values.mean() < darkest, (name, variant)
        else:
            assert values.mean() > darkest + 40, (name, variant)
            # Black ink is seen almost everywhere.
            assert (values < 80).mean() < 0.02, (name, variant)


def test_a_place_has_few_edges(own: Atlas) -> None:
    """The outline of an asset stays the main thing in a map of edges."""
    outside = star(x=-1.0, y=-1.0, scale=0.3)
    scenes = [on_place(name, variant, outside) for name, variant in EVERY]
    edges = render_pictures([Picture(scene=one, kind="edge") for one in scenes], own, 32)
    shares = (edges[:, 0] > 0).float().mean(dim=(1, 2))
    assert shares.min() > 0 and shares.max() < 0.18
    assert shares.mean() < 0.1
    for kind, value in (("depth_edge", 0), ("mask_edge", 0), ("sketch", 255)):
        drawn = render_pictures([Picture(scene=one, kind=kind) for one in scenes], own, 32)
        assert (drawn == value).all()


def test_phrases_are_of_one_place_each() -> None:
    every = [phrase for name in PLACES for phrase in place_phrases(name)]
    assert len(set(every)) == len(every)
    for name in PLACES:
        phrases = place_phrases(name)
        assert 3 <= len(phrases) <= 4
        for phrase in phrases:
            assert phrase == phrase.strip(" .,") and phrase[0].islower()
            first = phrase.split()[0]
            assert first in {
                "at", "on", "in", "under", "beneath", "before", "among", "out", "underwater"
            }  # fmt: skip


def test_nothing_held_out_is_named() -> None:
    """Word by word, be it in a wording, or in the name that is the key of a place."""
    assert named_like_heldout("under-the-moon")  # it can be found within a phrase
    for name, place in PLACES.items():
        for words in (name, *place.phrases):
            assert not named_like_heldout(words.replace(" ", "-")), words


def test_tints_stand_out_from_every_drawing() -> None:
    for name, place in PLACES.items():
        shares = {tint: 0.0 for tint in TINTS}
        for variant in range(VARIANTS):
            pixels = draw_place(name, variant, 32).astype(int)
            for tint in TINTS:
                near = ((pixels - np.array(PALETTE[tint])) ** 2).sum(-1) < NEAR**2
                shares[tint] = max(shares[tint], near.mean())
        assert len(place.tints) >= 2
        assert place.tints == tuple(tint for tint in TINTS if shares[tint] <= 0.5), (name, shares)


# --- sampling ----------------------------------------------------------------------------------


def test_sampling_reaches_every_variant_alike() -> None:
    rng = scene_rng(0, 0)
    count = 60 * len(EVERY)
    found = Counter(sample_place(rng) for _ in range(count))
    assert {(one.place, one.variant) for one in found} == set(EVERY)
    assert all(one.kind == "place" and not one.colours for one in found)
    assert min(found.values()) > 25 and max(found.values()) < 110


def test_black_ink_is_not_put_on_dark_places() -> None:
    rng = scene_rng(0, 1)
    found = {sample_place(rng, dark_ink=True).place for _ in range(2000)}
    assert found == {name for name, place in PLACES.items() if not place.dark}


def test_sampling_takes_two_numbers() -> None:
    for dark_ink in (False, True):
        rng, other = scene_rng(0, 2), scene_rng(0, 2)
        sample_place(rng, dark_ink=dark_ink)
        other.random(2)
        assert rng.random() == other.random()


# --- rendering ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [32, 64])
def test_a_place_lies_behind_the_assets(own: Atlas, size: int) -> None:
    for name, variant in EVERY[:: len(EVERY) // 40]:
        scene = on_place(name, variant, star())
        found = pixels_of(scene, "image", own, size)
        clear = pixels_of(scene, "mask", own, size)[..., 0] == 0
        assert clear.mean() > 0.5
        assert (found == draw_place(name, variant, size))[clear].all()
        plain = pixels_of(scene_on("pink", star()), "image", own, size)
        full = pixels_of(scene, "mask", own, size)[..., 0] == 255
        assert full.any() and (found == plain)[full].all()


def test_depth_begins_at_the_horizon(own: Atlas) -> None:
    outside = star(x=-1.0, y=-1.0, scale=0.3)
    for size in (32, 64):
        rows = np.arange(size)
        for name, place in PLACES.items():
            depth = pixels_of(on_place(name, 0, outside), "depth", own, size)[..., 0]
            assert (depth == depth[:, :1]).all()
            column = depth[:, 0]
            horizon = round(place.ground * size)
            assert not column[rows <= horizon].any()
            assert (np.diff(column[horizon:]) > 0).all()
            assert column[-1] == (90 if place.ground < 1 else 0)


def test_the_horizon_is_where_it_is_drawn() -> None:
    """Above it is the sky (or a wall), below it the ground: rows there look unlike."""
    for name in ("beach", "sea", "pier", "street", "room", "table", "kitchen"):
        for variant in range(VARIANTS):
            rows = draw_place(name, variant, 64).astype(int)
            line = round(PLACES[name].ground * 64)
            step = np.abs(rows[line + 2] - rows[line - 2]).max(axis=1)
            assert (step > 20).mean() > 0.7, (name, variant)


def test_a_mixed_batch_has_the_same_bytes_as_its_parts(own: Atlas) -> None:
    rng = scene_rng(3, 0)
    backgrounds = [sample_place(rng) for _ in range(12)]
    backgrounds[::3] = [
        Background(kind="plain", colours=("yellow",)),
        Background(kind="gradient", colours=("white", "blue")),
        Background(kind="plain", colours=("pink",)),
        Background(kind="gradient", colours=("red", "light grey")),
    ]
    scenes = [
        Scene(background=one, placements=(star(x=0.3), star(y=0.7))[: 1 + index % 2])
        for index, one in enumerate(backgrounds)
    ]
    for kind in ("image", "depth", "edge", "depth_edge", "sketch"):
        pictures = [Picture(scene=scene, kind=kind) for scene in scenes]
        together = render_pictures(pictures, own, 32)
        alone = torch.cat([render_pictures([one], own, 32) for one in pictures])
        assert torch.equal(together, alone)
        assert torch.equal(together, render_pictures(pictures[::-1], own, 32).flip(0))
