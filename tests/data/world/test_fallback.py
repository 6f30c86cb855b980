from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import (
    FALLBACK_STYLES,
    fallback_atlas,
    fallback_svg,
    fallback_vocabulary,
)
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.preview import KINDS, contact_sheet, preview
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import STYLE_NAMES, caption, sample_scene, scene_rng
from instruct_imagen.data.world.sources import CACHE_VARIABLE
from instruct_imagen.data.world.vocabulary import Vocabulary


def test_our_own_drawings_need_nothing_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    fallback_atlas.cache_clear()
    vocabulary, atlas = fallback_vocabulary(), fallback_atlas()
    assert len(vocabulary.concepts) == 8
    assert vocabulary.styles == FALLBACK_STYLES
    assert atlas.pairs == vocabulary.pairs
    assert (atlas.sprites[:, 3] > 127).mean(axis=(1, 2)).min() > 0.1
    assert set(FALLBACK_STYLES) <= set(STYLE_NAMES)
    assert not set(vocabulary.concepts) & holdout().concepts
    assert not (tmp_path / "cache").exists()
    scenes = [sample_scene(scene_rng(0, index), vocabulary) for index in range(20)]
    pictures = [Picture(scene=scene, kind=kind) for scene in scenes for kind in KINDS]
    assert render_pictures(pictures, atlas, 32).shape == (len(pictures), 3, 32, 32)
    words = caption(scenes[0], scene_rng(0, 0))
    assert STYLE_NAMES[scenes[0].placements[0].style] in words


def test_the_two_styles_differ_and_share_their_shape() -> None:
    atlas = fallback_atlas()
    for concept in fallback_vocabulary().concepts:
        for style in FALLBACK_STYLES:
            ElementTree.fromstring(fallback_svg(concept, style))
        flat, outline = (atlas.sprite(concept, style).astype(int) for style in FALLBACK_STYLES)
        both = (flat[..., 3] > 127) & (outline[..., 3] > 127)
        either = (flat[..., 3] > 127) | (outline[..., 3] > 127)
        assert both.sum() / either.sum() > 0.6, concept
        assert np.abs(flat - outline)[..., :3].mean() > 20, concept
    with pytest.raises(KeyError, match="not 'oil'"):
        fallback_svg("house", "oil")


def test_preview_writes_the_same_sheet_again(
    vocabulary: Vocabulary, atlas: Atlas, tmp_path: Path
) -> None:
    first = preview(tmp_path / "new" / "a.png", count=5, vocabulary=vocabulary, atlas=atlas)
    second = preview(tmp_path / "b.png", count=5, vocabulary=vocabulary)
    with Image.open(first) as one, Image.open(second) as two:
        assert one.mode == "RGB"
        assert one.tobytes() == two.tobytes()
    with pytest.raises(ValueError, match="at least 1"):
        preview(tmp_path / "c.png", count=0, vocabulary=vocabulary, atlas=atlas)


def test_sheet_shows_every_kind_enlarged(vocabulary: Vocabulary, atlas: Atlas) -> None:
    scene = sample_scene(scene_rng(4, 0), vocabulary)
    sheet = np.asarray(contact_sheet([scene], ["words"], atlas, size=32, zoom=2, columns=1))
    drawn = render_pictures([Picture(scene=scene, kind=kind) for kind in KINDS], atlas, 32)
    for place, pixels in enumerate(drawn.permute(0, 2, 3, 1).numpy()):
        left = 6 + place * 66
        tile = sheet[6:70, left : left + 64]
        assert (tile == pixels.repeat(2, axis=0).repeat(2, axis=1)).all()
    assert (sheet[72:] < 128).any()  # the caption
