"""What the filter leaves out, and that each of its settings has an effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.data.clusters.caption_rules import CaptionRules
from instruct_imagen.data.clusters.filtering import (
    FilterSettings,
    blankness,
    by_pixels,
    by_words,
)
from instruct_imagen.data.clusters.picture_quality import VIEW, SimpleQuality, measures
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.images import MAX_PIXELS
from tests.data.clusters.pictures import Shelf, blurred, packed, scene

LOOSE = FilterSettings(min_side=32)


class Fixed:
    """A quality measure that gives what it is told, and notes how it was asked."""

    fingerprint = "fixed"

    def __init__(self, *scores: float, batch_size: int = 2) -> None:
        self.scores, self.batch_size = list(scores), batch_size
        self.asked: list[list[tuple[int, int]]] = []

    def __call__(self, views):
        self.asked.append([view.size for view in views])
        return [self.scores.pop(0) for _ in views]


def faint(seed: int, parts: int = 16) -> Image.Image:
    return scene(seed).point(lambda value: 120 + value // parts)


@pytest.fixture(scope="module")
def shelf():
    return Shelf()


def test_rows_are_left_out_by_size_shape_and_caption(shelf):
    rows = [
        shelf.row("good", scene(0)),
        shelf.row("small", scene(1, (64, 30))),
        shelf.row("long", scene(2, (33, 120))),
        shelf.row("mute", scene(3), "IMG_1234"),
        shelf.row("also good", scene(4, (32, 96))),
    ]
    found = by_words(rows, LOOSE)
    assert [row.key for row in found.rows] == ["good", "also good"]
    assert found.left_out == (
        ("small", "too small"), ("long", "too long or wide"), ("mute", "caption: file name")
    )  # fmt: skip
    assert found.tally.counts == {"caption: file name": 1, "too long or wide": 1, "too small": 1}
    assert found.tally.lines[0] == "small: too small (64 × 30, 'a good caption')"


def test_pixels_are_looked_at_in_batches_and_in_order(shelf):
    shelf.loaded.clear()
    rows = [
        shelf.row("0", scene(0)),
        shelf.row("1", packed(scene(1))[:-40]),
        shelf.row("2", scene(2, (900, 400))),
        shelf.row("3", Image.new("RGB", (64, 64), (250, 250, 250))),
        shelf.row("4", b"no image"),
        shelf.row("5", scene(5)),
        shelf.row("6", scene(6)),
        shelf.row("7", scene(7)),
    ]
    shelf.data["6"] = EntryError("gone", "file has changed")
    quality = Fixed(0.9, 0.39, 0.4, float("nan"))
    found = by_pixels(rows, shelf.load, LOOSE, quality)
    assert [row.key for row in found.rows] == ["0", "5"]
    assert found.left_out == (
        ("1", "broken image"), ("2", "low quality"), ("3", "blank"), ("4", "broken image"),
        ("6", "file has changed"), ("7", "low quality"),
    )  # fmt: skip
    assert found.tally.lines[1] == "2: quality 0.39"
    assert found.tally.lines[2] == "3: 100.0% of it is of one colour"
    assert quality.asked == [[(96, 80), (VIEW, round(VIEW * 4 / 9))], [(96, 80), (96, 80)]]
    assert shelf.loaded == list("01234567")


def test_a_part_that_is_empty_stays_so(shelf):
    assert by_words([], LOOSE).rows == by_pixels([], shelf.load, LOOSE, SimpleQuality()).rows == ()


@pytest.mark.parametrize(
    ("changed", "key", "reason"),
    [
        ({"min_side": 81}, "plain", "too small"),
        ({"max_aspect": 1.1}, "plain", "too long or wide"),
        ({"captions": CaptionRules(min_words=9)}, "plain", "caption: too few words"),
        ({"max_pixels": 96 * 80 - 1}, "plain", "too many pixels"),
        ({"blank": 0.5}, "bordered", "blank"),
        ({"blank": 0.5, "blank_near": 0}, "bordered", ""),
        ({"min_quality": 1.0}, "pale", "low quality"),
    ],
)
def test_every_setting_has_an_effect(shelf, changed, key, reason):
    noise = np.random.default_rng(0).integers(0, 3, (80, 96, 3), np.uint8)
    bordered = Image.fromarray(noise + 200)
    bordered.paste(scene(1, (48, 40)), (10, 10))
    pictures = {"plain": scene(0), "bordered": bordered, "pale": faint(0, 4)}
    row = shelf.row(key, pictures[key])

    def verdict(settings):
        words = by_words([row], settings)
        seen = by_pixels(words.rows, shelf.load, settings, SimpleQuality())
        return "".join(why for _, why in (*words.left_out, *seen.left_out))

    assert verdict(LOOSE) == ""
    assert verdict(replace(LOOSE, **changed)) == reason


@pytest.mark.parametrize(
    "wrong",
    [{"min_side": 0}, {"max_aspect": 0.5}, {"max_pixels": 0}, {"max_pixels": MAX_PIXELS + 1},
     {"blank": 2.0}, {"blank_near": -1}, {"min_quality": float("nan")}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ClusterError, match=next(iter(wrong))):
        FilterSettings(**wrong)


def test_blankness_is_the_share_of_nearly_one_colour():
    assert blankness(Image.new("RGB", (10, 10), "red"), 0) == 1
    half = Image.new("RGB", (10, 10), (100, 100, 100))
    half.paste((109, 100, 100), (0, 0, 10, 3))
    assert blankness(half, 8) == pytest.approx(0.7) and blankness(half, 9) == 1


def test_blur_and_lack_of_contrast_lower_the_score():
    quality = SimpleQuality()
    sharp, soft, pale, flat = quality(
        [scene(1), blurred(1), faint(1), Image.new("RGB", (40, 40), "white")]
    )
    assert sharp > 0.8 and soft < 0.4 and pale < 0.4 and flat == 0
    assert sharp > quality([blurred(1, 2)])[0] > soft
    grey = scene(1).convert("L").convert("RGB")
    assert 0.9 * sharp - 0.05 <= quality([grey])[0] <= sharp
    assert quality([Image.new("RGB", (1, 1))]) == [0.0]


def test_sharpness_knows_nothing_of_contrast_and_of_direction():
    plain, pale = measures(scene(3)), measures(faint(3))
    assert pale.contrast < plain.contrast / 8
    assert abs(pale.sharpness - plain.sharpness) < 0.05
    turned = measures(scene(3).transpose(Image.Transpose.ROTATE_90))
    assert turned.sharpness == pytest.approx(plain.sharpness, abs=0.02)
    assert measures(scene(3).convert("L").convert("RGB")).colourfulness == 0 < plain.colourfulness


@pytest.mark.parametrize(
    ("changed", "picture"),
    [
        ({"blurred": 0.6, "sharp": 1.0}, scene(1)),
        ({"sharp": 1.0}, scene(1)),
        ({"faint": 0.9, "strong": 1.0}, faint(1)),
        ({"strong": 0.1}, faint(1)),
    ],
)
def test_the_ramps_of_the_simple_quality_have_their_effect(changed, picture):
    other = SimpleQuality(**changed)
    assert other([picture]) != SimpleQuality()([picture])
    assert other.fingerprint != SimpleQuality().fingerprint


def test_ramps_that_do_not_rise_are_refused():
    with pytest.raises(ClusterError, match=r"sharp=0\.1"):
        SimpleQuality(sharp=0.1)
    with pytest.raises(ClusterError, match="strong=2"):
        SimpleQuality(strong=2)
