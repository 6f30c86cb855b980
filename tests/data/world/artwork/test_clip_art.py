from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data.world.artwork import clip_art
from instruct_imagen.data.world.artwork.clip_art import (
    Described,
    OpenClipArt,
    described,
    shows_one_thing,
    title_concept,
)
from instruct_imagen.data.world.npm import CACHE_VARIABLE, WorldUnavailable

PUBLIC = "http://web.resource.org/cc/PublicDomain"
DISC = '<circle cx="40" cy="50" r="10" fill="#c02020"/>'
KNOWN = frozenset({"horse", "red", "apple", "cat", "pie"})


def drawing(
    folder: Path,
    name: str,
    title: str,
    *keywords: str,
    licence: str = PUBLIC,
    body: str = DISC,
    size: str = '100" height="80',
) -> Path:
    """One drawing in the layout of Open Clip Art: SVG with what it is in its metadata."""
    path = folder / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = "".join(f"<rdf:li>{word}</rdf:li>" for word in keywords)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://web.resource.org/cc/">'
        f'<metadata><rdf:RDF><cc:Work rdf:about=""><dc:title>{title}</dc:title>'
        f"<dc:subject><rdf:Bag>{entries}</rdf:Bag></dc:subject><dc:creator><cc:Agent>"
        "<dc:title>Ada Draws</dc:title></cc:Agent></dc:creator>"
        f'<cc:license rdf:resource="{licence}"/></cc:Work></rdf:RDF></metadata>{body}</svg>'
    )
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    root = tmp_path / "svg"
    drawing(root, "animals/horse_a", "horse")
    drawing(root, "animals/horse_b", "Horse 2")
    drawing(root, "animals/gatto", "Gatto Cat", "animal")
    drawing(root, "animals/ragno", "Ragnetto incazzato", "insect")
    drawing(root, "tools/hammer", "hammer", "tools", "hammer", size='40mm" height="32mm')
    drawing(root, "tools/gpl", "saw", "saw", licence="http://creativecommons.org/licenses/GPL/2.0/")
    drawing(root, "tools/empty", "wrench", "wrench", body="")
    full = '<rect width="100" height="80" fill="#202020"/>'
    drawing(root, "tools/full", "drill", "drill", body=full)
    drawing(root, "tools/huge", "file", "file", body=DISC + "<!--" + "x" * 200_000 + "-->")
    drawing(root, "signs_and_symbols/flag", "apple", "apple")
    (root / "tools/broken.svg").write_text("<svg")
    return root


def test_what_is_free_named_and_one_thing_is_kept(folder: Path) -> None:
    found = OpenClipArt(folder=folder, known=KNOWN).read()[clip_art.STYLE]
    assert found.names() == {"horse", "cat", "hammer"}
    assert found.paths["horse"] == "animals/horse_a.svg"
    assert found.authors == ("Ada Draws",)
    assert found.looked_at == 11
    about = found.manifest()
    assert about["licence"] == "public domain"
    assert about["author"].startswith("1 contributors")


def test_content_fills_the_square_wherever_it_is_on_the_page(folder: Path) -> None:
    found = OpenClipArt(folder=folder, known=KNOWN).read()[clip_art.STYLE]
    for name in found.names():  # one of them has its size in millimetres
        sprite = found.draw(name, 32)
        assert sprite is not None and sprite.shape == (4, 32, 32)
        seen = sprite[3] > 127
        assert seen.any(axis=0).all() and seen.any(axis=1).all(), name
        assert seen.mean() == pytest.approx(np.pi / 4, abs=0.03), name
        assert np.abs(sprite[:3, 16, 16].astype(int) - (0xC0, 0x20, 0x20)).max() <= 2, name


@pytest.mark.parametrize(
    ("title", "keywords", "wanted"),
    [
        ("Red Apple", "", "red-apple"),
        ("apple_pie-02", "", "apple-pie"),
        ("apple (by someone)", "", "apple"),
        ("Apple by Ada Draws", "", "apple"),
        ("gattina cat", "", "cat"),
        ("big gattina cat", "", "cat"),
        ("pesca", "fruit", None),
        ("pesca", "pesca", "pesca"),  # the keyword is all that we can go by
        ("Draws", "draws", None),
        ("yellow", "yellow", None),
        ("cats", "cats", None),
        ("tux", "tux", None),
        ("", "cat", None),
    ],
)
def test_titles(title: str, keywords: str, wanted: str | None) -> None:
    found = Described(
        title=title, keywords=frozenset({keywords}), licence=PUBLIC, author="Ada Draws"
    )
    assert title_concept(found, KNOWN) == wanted


def test_metadata_are_read(tmp_path: Path) -> None:
    path = drawing(tmp_path, "one", "Old_Hat", "Hat", "Head_Wear")
    found = described(path.read_bytes())
    assert found == Described(
        title="Old_Hat", keywords=frozenset({"hat", "head wear"}), licence=PUBLIC,
        author="Ada Draws",
    )  # fmt: skip
    assert described(b"<svg xmlns='http://www.w3.org/2000/svg'/>") is None
    assert described(b"no XML") is None


def test_a_full_picture_is_not_one_thing() -> None:
    wide = np.zeros((4, 20, 20), np.uint8)
    wide[:, 4:16] = 255
    assert not shows_one_thing(wide)
    wide[:, 4:8, :4] = 0
    assert shows_one_thing(wide)
    assert not shows_one_thing(np.full((4, 20, 20), 255, np.uint8))
    few = np.zeros((4, 20, 20), np.uint8)
    few[:, 0] = few[:, :, 0] = 255
    assert not shows_one_thing(few)
    assert not shows_one_thing(None)


def test_other_known_words_are_another_list(folder: Path) -> None:
    def names(*known: str) -> set[str]:
        return OpenClipArt(folder=folder, known=frozenset(known)).read()[clip_art.STYLE].names()

    assert names("horse") == {"horse", "hammer"}
    assert names("cat") == {"cat", "hammer"}


def test_a_list_is_not_made_without_the_emoji_and_nothing_is_installed(folder: Path) -> None:
    with pytest.raises(WorldUnavailable, match="the emoji are not here yet"):
        OpenClipArt(folder=folder).read()
    assert not (folder.parent / "cache" / "artwork").exists()


def test_a_missing_folder_says_how_to_get_it(tmp_path: Path) -> None:
    source = OpenClipArt(folder=tmp_path / "none")
    assert source.find() is None
    with pytest.raises(WorldUnavailable, match="apt install openclipart-svg"):
        source.read()


@pytest.mark.skipif(clip_art.SOURCE.find() is None, reason=f"needs {clip_art.SOURCE.get}")
def test_the_real_clip_art() -> None:
    found = clip_art.SOURCE.read()[clip_art.STYLE]
    assert {"guitar", "hamburger", "pizza", "snowman"} <= found.names()
    assert len(found.names()) > 200
    for name in sorted(found.names())[::30]:
        sprite = found.draw(name, 64)
        assert sprite is not None and (sprite[:3] <= sprite[3:]).all(), name
        assert shows_one_thing(sprite), name
