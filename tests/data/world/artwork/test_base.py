from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data.world.artwork import base
from instruct_imagen.data.world.artwork.base import noun_phrase, remembered, singular
from instruct_imagen.data.world.drawing import fill_square
from instruct_imagen.data.world.npm import CACHE_VARIABLE


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("red apple", "red-apple"),
        ("owl", "owl"),
        ("bus", "bus"),
        ("very small pitcher", None),  # "a very small pitcher" would do, but so would too much
        ("horse with rider", None),
        ("pair of pliers", None),
        ("owls", None),
        ("cherries", None),
        ("apple 2", None),
        ("a-frame", None),
        ("Fuji apple", None),
        ("one two three four five", None),
        ("big old red steam engine", None),
        ("blue", None),
        ("bread", None),
        ("", None),
    ],
)
def test_only_what_one_can_say_with_an_article_is_a_concept(words: str, wanted: str | None) -> None:
    assert noun_phrase(words) == wanted


def test_an_article_that_somebody_wrote_tells_that_a_thing_is_counted() -> None:
    assert noun_phrase("orange") is None
    assert noun_phrase("orange", counted=True) == "orange"
    assert noun_phrase("oranges", counted=True) is None


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("owls", "owl"), ("cherries", "cherry"), ("boxes", "box"), ("buses", "bus"),
        ("bus", "bus"), ("glass", "glass"), ("iris", "iris"), ("owl", "owl"), ("gas", "gas"),
    ],
)  # fmt: skip
def test_singular(word: str, wanted: str) -> None:
    assert singular(word) == wanted


def test_what_was_found_out_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    calls = []

    def make() -> dict[str, object]:
        calls.append(1)
        return {"found": len(calls)}

    assert remembered("one", make) == remembered("one", make) == {"found": 1}
    assert remembered("two", make) == {"found": 2}
    (tmp_path / "sources" / "one.json").write_text("{half")
    assert remembered("one", make) == {"found": 3}
    assert not list((tmp_path / "sources").glob(".*"))


def test_a_folder_with_another_file_has_another_listing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = base.listing(tmp_path, sorted(tmp_path.iterdir()))
    assert base.listing(tmp_path, sorted(tmp_path.iterdir())) == first
    (tmp_path / "a").write_text("12")
    second = base.listing(tmp_path, sorted(tmp_path.iterdir()))
    assert second != first
    (tmp_path / "a").write_text("34")
    os.utime(tmp_path / "a", ns=(1, 1))  # of the same size: the time tells
    assert base.listing(tmp_path, sorted(tmp_path.iterdir())) != second


def test_fill_square_cuts_out_the_content_and_premultiplies() -> None:
    pixels = np.zeros((80, 60, 4), np.uint8)
    pixels[10:20, 30:50] = (200, 100, 0, 128)
    sprite = fill_square(pixels, 40)
    assert sprite is not None and sprite.shape == (4, 40, 40) and sprite.dtype == np.uint8
    ys, xs = np.nonzero(sprite[3])
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (10, 29, 0, 39)
    assert np.abs(sprite[:, 20, 20].astype(int) - (100, 50, 0, 128)).max() <= 1
    assert (sprite[:3] <= sprite[3:]).all()
    assert fill_square(np.zeros((80, 60, 4), np.uint8), 40) is None
