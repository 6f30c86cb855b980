from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.data.world.artwork import stamps
from instruct_imagen.data.world.artwork.stamps import Stamps, caption_concept, texture
from instruct_imagen.data.world.npm import CACHE_VARIABLE, WorldUnavailable


def stamp(folder: Path, name: str, caption: str, *, grain: bool = True) -> None:
    """One stamp in the layout of Tux Paint: a PNG with alpha, and captions in many languages."""
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 50, 4), np.uint8)
    rng = np.random.default_rng(len(name))
    pixels[5:35, 10:40, :3] = rng.integers(60, 200, (30, 30, 3)) if grain else (90, 160, 40)
    pixels[5:35, 10:40, 3] = 255
    Image.fromarray(pixels).save(path)
    path.with_suffix(".txt").write_text(f"{caption}\nde.utf8=Etwas.\nfr.utf8=Un cheval.\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    root = tmp_path / "stamps"
    stamp(root, "animals/horse", "A horse.")
    stamp(root, "animals/horse2", "A horse.")
    stamp(root, "animals/owl", "An owl.")
    stamp(root, "animals/drawn", "A hedgehog.", grain=False)
    stamp(root, "animals/cartoon/fly", "A fly.")
    stamp(root, "animals/fish", "A very poisonous lionfish!")
    stamp(root, "symbols/a", "The letter a.")
    stamp(root, "food/apple", "A “Fuji” apple.")
    stamp(root, "food/orange", "An orange.")
    (root / "food/orange.svg").write_text("<svg/>")
    return root


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("A horse.", "horse"),
        ("An electric guitar.", "electric-guitar"),
        ("An orange.", "orange"),
        ("The Sun.", None),
        ("A VW Beetle.", None),
        ("Say cheese!", None),
        ("A US 25 cent piece ($.25) called a quarter.", None),
        ("A pair of pliers.", None),
        ("Two flowers.", None),
        ("A wheelie bin! Give me your trash!", None),
    ],
)
def test_captions(caption: str, wanted: str | None) -> None:
    assert caption_concept(caption) == wanted


def test_photographs_with_a_plain_caption_are_kept(folder: Path) -> None:
    found = Stamps(folder=folder).read()[stamps.STYLE]
    assert found.names() == {"horse", "owl", "orange"}
    assert found.paths["horse"] == "animals/horse.png"
    assert found.looked_at == 9
    sprite = found.draw("owl", 32)
    assert sprite is not None and sprite.shape == (4, 32, 32)
    assert (sprite[3] == 255).mean() > 0.9  # the content, 30 × 30 pixels, fills it
    with pytest.raises(KeyError):
        found.draw("fly", 32)
    about = found.manifest()
    assert about["licence"] == "GPL-2.0-or-later" and about["author"]
    assert len(about["icons_sha256"]) == 64


def test_the_list_is_made_once_and_anew_for_other_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Stamps(folder=folder)
    first = source.read()[stamps.STYLE]
    calls = []
    looks = stamps.photographs
    monkeypatch.setattr(stamps, "photographs", lambda at: calls.append(at) or looks(at))
    assert source.read()[stamps.STYLE].paths == first.paths
    assert not calls
    stamp(folder, "animals/zebra", "A zebra.")
    again = source.read()[stamps.STYLE]
    assert "zebra" in again.names() and calls
    assert again.sha256 != first.sha256


def test_photographs_are_grained() -> None:
    flat = np.full((20, 20, 4), 255, np.uint8)
    assert texture(flat) == 0
    grained = flat.copy()
    grained[..., :3] = np.random.default_rng(0).integers(0, 255, (20, 20, 3))
    assert texture(grained) > 0.95
    assert texture(np.zeros((20, 20, 4), np.uint8)) == 0


def test_a_folder_that_holds_nothing_says_how_to_get_it(tmp_path: Path) -> None:
    """As an installation that broke off leaves it."""
    source = Stamps(folder=tmp_path)
    with pytest.raises(WorldUnavailable, match=r"holds no photographs .*: apt install --reinstall"):
        source.read()


def test_a_missing_folder_says_how_to_get_it(tmp_path: Path) -> None:
    source = Stamps(folder=tmp_path / "none")
    assert source.find() is None
    with pytest.raises(WorldUnavailable, match="apt install tuxpaint-stamps-default"):
        source.read()


@pytest.mark.skipif(stamps.SOURCE.find() is None, reason=f"needs {stamps.SOURCE.get}")
def test_the_real_stamps() -> None:
    found = stamps.SOURCE.read()[stamps.STYLE]
    assert {"horse", "owl", "red-apple", "violin"} <= found.names()
    assert len(found.names()) > 150
    for name in sorted(found.names())[::20]:
        sprite = found.draw(name, 64)
        assert sprite is not None and (sprite[:3] <= sprite[3:]).all(), name
        seen = sprite[3] > 127
        assert max(seen.any(axis=0).sum(), seen.any(axis=1).sum()) >= 60, name
