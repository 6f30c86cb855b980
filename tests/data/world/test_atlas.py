from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from instruct_imagen.data.example import Picture, PictureKind
from instruct_imagen.data.world import atlas as atlas_module
from instruct_imagen.data.world.atlas import Atlas, AtlasError, halve
from instruct_imagen.data.world.drawing import draw_sprite, rasterise
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import DARK_INK_STYLES, sample_scene, scene_rng
from instruct_imagen.data.world.sources import IconSet, svg_document
from instruct_imagen.data.world.vocabulary import Vocabulary


def document(body: str, box: tuple[float, float, float, float]) -> str:
    """A drawing in a frame of 100 × 100 units; the box is in fractions of it."""
    left, top, width, height = (100 * value for value in box)
    return svg_document(body, (left, top, width, height))


def test_content_fills_the_square_centred_with_its_aspect() -> None:
    body = '<rect x="60" y="10" width="30" height="15" fill="#ff8000"/>'
    sprite = draw_sprite(lambda box: document(body, box), 64)
    assert sprite is not None and sprite.shape == (4, 64, 64) and sprite.dtype == np.uint8
    ys, xs = np.nonzero(sprite[3] > 127)
    width, height = xs.max() - xs.min() + 1, ys.max() - ys.min() + 1
    assert 50 <= width <= 60
    assert abs(width / height - 2) < 0.15
    assert abs(xs.min() + xs.max() - 63) <= 5 and abs(ys.min() + ys.max() - 63) <= 5
    middle = sprite[:, 32, 32]
    assert tuple(middle) == (255, 128, 0, 255)


def test_colour_is_premultiplied() -> None:
    body = '<rect width="100" height="100" fill="#ff0000" opacity="0.5"/>'
    pixels = rasterise(document(body, (0, 0, 1, 1)), 16)
    assert (np.abs(pixels.astype(int) - (128, 0, 0, 128)) <= 1).all()


def test_an_empty_drawing_is_none() -> None:
    assert draw_sprite(lambda box: document("", box), 64) is None


def test_halve_is_the_rounded_average() -> None:
    sprites = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8), dtype=np.uint8)
    wanted = np.floor(sprites.reshape(3, 4, 4, 2, 4, 2).mean(axis=(3, 5)) + 0.5)
    assert (halve(sprites) == wanted).all()
    assert halve(sprites).dtype == np.uint8


def test_every_sprite_is_sound(atlas: Atlas, vocabulary: Vocabulary) -> None:
    assert atlas.pairs == vocabulary.pairs
    assert atlas.sprites.shape == (len(vocabulary.pairs), 4, 64, 64)
    colour, alpha = atlas.sprites[:, :3], atlas.sprites[:, 3:]
    assert (colour <= alpha).all()
    seen = alpha[:, 0] > 127
    assert (seen.mean(axis=(1, 2)) > 0.03).all()
    # Each fills its square along one side at least.
    reach = np.maximum(seen.any(axis=1).sum(axis=1), seen.any(axis=2).sum(axis=1))
    assert (reach >= 48).all()


def test_dark_ink_styles_are_the_almost_black_ones(atlas: Atlas, vocabulary: Vocabulary) -> None:
    for style in vocabulary.styles:
        rows = [row for row, pair in enumerate(atlas.pairs) if pair[1] == style]
        part = atlas.sprites[rows].astype(float)
        luminance = (part[:, :3].sum() / 3) / part[:, 3].sum() * 255
        assert (luminance < 60) == (style in DARK_INK_STYLES), style


def test_building_is_deterministic_partial_and_cached(
    icon_sets: Mapping[str, IconSet],
    vocabulary: Vocabulary,
    atlas: Atlas,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[str] = []
    original = atlas_module._draw

    def counting(icons: IconSet, name: str, side: int) -> np.ndarray:
        drawn.append(name)
        return original(icons, name, side)

    monkeypatch.setattr(atlas_module, "_draw", counting)
    first, more = vocabulary.pairs[:6], vocabulary.pairs[3:12]
    small = Atlas.build(first, sets=icon_sets, cache=tmp_path)
    assert len(drawn) == 6
    larger = Atlas.build(more, sets=icon_sets, cache=tmp_path)
    assert len(drawn) == 12  # the three that both have were kept
    again = Atlas.build(first, sets=icon_sets, cache=tmp_path)
    assert len(drawn) == 12
    assert again.pairs == small.pairs == first
    assert (again.sprites == small.sprites).all()
    assert (small.sprites == atlas.sprites[:6]).all()
    assert (larger.sprites == atlas.sprites[3:12]).all()
    assert not list(tmp_path.glob(".*"))  # nothing half-written


def test_levels_are_halves_and_large_enough(atlas: Atlas) -> None:
    assert [atlas.level(size).shape[-1] for size in (8, 16, 17, 32, 33, 64, 256)] == [
        16, 16, 32, 32, 64, 64, 64,
    ]  # fmt: skip
    assert (atlas.level(32).numpy() == halve(atlas.sprites)).all()
    assert atlas.level(32) is atlas.level(32)


def test_pack_and_load(atlas: Atlas, vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = atlas.pack(tmp_path / "world.npz")
    packed = Atlas.load(path)
    assert packed.pairs == atlas.pairs
    assert packed.sources == atlas.sources
    assert (packed.sprites == halve(atlas.sprites)).all()
    # 400 concepts in 9 styles in at most 12 MB
    assert path.stat().st_size / len(packed) * 3600 < 12e6
    assert path.read_bytes() == atlas.pack(tmp_path / "again.npz").read_bytes()
    pictures = [
        Picture(scene=sample_scene(scene_rng(0, index), vocabulary), kind=kind)
        for index in range(10)
        for kind in get_args(PictureKind)
    ]
    # Edges and sketches are found at twice the size of the picture.
    assert torch.equal(render_pictures(pictures, packed, 16), render_pictures(pictures, atlas, 16))


def test_pack_at_full_size(atlas: Atlas, tmp_path: Path) -> None:
    again = Atlas.load(atlas.pack(tmp_path / "whole.npz", side=64))
    assert again.pairs == atlas.pairs
    assert (again.sprites == atlas.sprites).all()
    with pytest.raises(AtlasError, match="side of 64 cannot be halved to 48"):
        atlas.pack(tmp_path / "odd.npz", side=48)


def test_manifest_tells_where_sprites_come_from(
    atlas: Atlas, icon_sets: Mapping[str, IconSet]
) -> None:
    for style, source in atlas.sources.items():
        assert source["icons_sha256"] == icon_sets[style].sha256
        assert source["licence"] == icon_sets[style].licence


def test_pickle_leaves_tensors_behind(atlas: Atlas) -> None:
    atlas.level(32)
    again = pickle.loads(pickle.dumps(atlas))
    assert again.pairs == atlas.pairs
    assert again._tensors == {}
    assert torch.equal(again.level(32), atlas.level(32))
    digest = hashlib.sha256(again.sprites.tobytes()).hexdigest()
    assert digest == hashlib.sha256(atlas.sprites.tobytes()).hexdigest()


def test_unusable_files_are_named(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="there is no atlas file"):
        Atlas.load(tmp_path / "none.npz")
    path = tmp_path / "world.npz"
    path.write_bytes(b"no zip file at all")
    with pytest.raises(AtlasError, match="is not an atlas: delete it"):
        Atlas.load(path)
    atlas.pack(path, side=16)
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["sprites"][0, 0, 8, 8] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(AtlasError, match="is damaged"):
        Atlas.load(path)


def test_missing_drawings_are_named(icon_sets: Mapping[str, IconSet], tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match="style 'noto' has no drawing of 'gryphon'"):
        Atlas.build([("gryphon", "noto")], sets=icon_sets, cache=tmp_path)
