"""What the benchmark of legibility counts as read, without Tesseract."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.reading import MARGIN, SIDE, Way, distance, fine, letters, square, words
from instruct_imagen.data.example import Placement

SIGN = Placement(concept="ok-button", style="noto", x=0.5, y=0.5, scale=0.5)


@pytest.mark.parametrize(
    ("one", "other", "wanted"),
    [("", "", 0), ("", "SOS", 3), ("SOS", "SOS", 0), ("S0S", "SOS", 1), ("KITTEN", "SITTING", 3)],
)
def test_the_distance_of_words(one: str, other: str, wanted: int) -> None:
    assert distance(one, other) == distance(other, one) == wanted


def test_the_word_most_like_the_wanted_one_counts() -> None:
    assert words(" Fr-ee!\n| 10\n") == ["FREE", "10"]
    assert letters("noise\nFRFE", "FREE") == 0.75
    assert letters("free", "FREE") == 1
    assert letters("", "FREE") == letters("somethingelse", "FREE") == 0


def test_a_square_is_what_the_sign_covers() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:48, 16:48] = 255
    whole = np.asarray(square(picture, SIGN, Way(inner=1.0, inverted=False, mode=8)))
    assert whole.shape == (SIDE + 2 * round(SIDE * MARGIN),) * 2
    assert whole.min() > 250
    dark = np.asarray(square(picture, SIGN, Way(inner=0.75, inverted=True, mode=8)))
    assert dark.max() < 5


def test_details_are_what_the_small_picture_does_not_hold() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert fine(true, true, SIGN, 8) == pytest.approx(1)
    assert fine(255 - true, true, SIGN, 8) == pytest.approx(-1, abs=0.01)
    other = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert abs(fine(other, true, SIGN, 8)) < 0.1
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert fine(flat, true, SIGN, 8) == 0
    elsewhere = true.copy()
    elsewhere[:8] = 0  # outside of the sign
    assert fine(elsewhere, true, SIGN, 8) == pytest.approx(1, abs=0.01)
