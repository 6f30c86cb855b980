"""Edits of a picture: where models look, and what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.editing import (
    Edit,
    Frame,
    changed,
    cut_out,
    finished,
    frame_around,
    read_edit,
    read_mask,
    seam_weights,
    whole_frame,
)
from instruct_imagen.images import ImageError, load_image, save_png


def noise(width, height, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def rectangle(width, height, left, top, right, bottom):
    inside = np.zeros((height, width), bool)
    inside[top:bottom, left:right] = True
    return inside


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((100, 100, 140, 120), Frame(left=80, top=70, side=80)),  # twice its longer side
        ((0, 0, 40, 40), Frame(left=0, top=0, side=80)),  # pushed inside
        ((290, 150, 300, 160), Frame(left=236, top=123, side=64)),  # not below `least`
        ((0, 0, 150, 20), Frame(left=0, top=0, side=200)),  # as much as fits
        ((50, 90, 270, 110), Frame(left=0, top=-50, side=300)),  # wider than the picture is high
    ],
)
def test_the_frame_shows_the_mask_and_what_is_around_it(box, expected):
    assert frame_around(rectangle(300, 200, *box), 64) == expected


def test_a_frame_larger_than_the_picture_shows_it_centred_on_a_background():
    frame = whole_frame(30, 20)
    shown = np.asarray(cut_out(Image.fromarray(noise(30, 20)), frame, (1, 2, 3), 99))
    assert frame == Frame(left=0, top=-5, side=30)
    assert np.array_equal(shown[5:25], noise(30, 20))
    assert (shown[:5] == (1, 2, 3)).all()
    assert (shown[25:] == (1, 2, 3)).all()


def test_what_is_shown_is_no_larger_than_it_has_to_be():
    wide = Image.fromarray(np.full((100, 9000, 3), 90, np.uint8))
    shown = np.asarray(cut_out(wide, whole_frame(9000, 100), (255, 255, 255), 90))
    assert shown.shape == (90, 90, 3)
    assert (shown[45] == 90).all()
    assert (shown[:44] == 255).all()
    assert (shown[46:] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_masks_of_all_modes_say_the_same(mode, tmp_path):
    inside = rectangle(30, 20, 5, 6, 17, 15)
    grey = Image.fromarray((inside * 255).astype(np.uint8))
    mask = Image.fromarray(inside.astype(np.uint16) * 65535) if mode == "I;16" else grey
    mask = mask if mode == "I;16" else mask.convert(mode)
    mask.save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", (30, 20)), inside)


def test_a_compressed_mask_has_no_grey_border(tmp_path):
    inside = rectangle(64, 64, 16, 16, 48, 48)
    Image.fromarray((inside * 255).astype(np.uint8)).save(tmp_path / "mask.jpg", quality=60)
    assert np.array_equal(read_mask(tmp_path / "mask.jpg", (64, 64)), inside)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((20, 31), np.uint8), "31 × 20 pixels and the picture 30 × 20"),
        (np.zeros((20, 30, 4), np.uint8), "transparent in places"),
        (np.full((20, 30, 3), (200, 20, 20), np.uint8), "has colours"),
    ],
)
def test_a_mask_that_says_something_else_is_refused(mask, words):
    with pytest.raises(ImageError, match=words):
        read_mask(mask, (30, 20))


def test_weights_rise_from_the_border_and_are_nothing_outside():
    inside = rectangle(20, 20, 4, 0, 20, 20)  # its right and upper sides are the picture's
    weights = seam_weights(inside, 3)
    assert not weights[~inside].any()
    assert np.allclose(weights[10, 4:9], [0.25, 0.5, 0.75, 1, 1])
    assert (weights[:, 19] == 1).all()
    assert np.array_equal(seam_weights(inside, 0), inside)
    assert (seam_weights(np.ones((3, 3), bool), 5) == 1).all()
    assert not seam_weights(np.zeros((3, 3), bool), 5).any()


@pytest.mark.parametrize("box", [(100, 90, 900, 100), (10, 10, 11, 11), (700, 3, 706, 190)])
def test_a_thin_region_is_edited_as_well_as_a_large_one(box):
    inside = rectangle(1000, 200, *box)
    inside[100:104, 990:994] = True  # far away, so that the frame is large
    source = np.full((200, 1000, 3), 200, np.uint8)
    edit = Edit(picture=Image.fromarray(source), frame=frame_around(inside, 64), inside=inside)
    result = np.asarray(finished(edit, Image.fromarray(np.zeros((64, 64, 3), np.uint8))))
    left, top, right, bottom = box
    assert result[top:bottom, left:right].mean() < 60
    assert result[(top + bottom) // 2, (left + right) // 2].max() == 0
    assert (result[~inside] == 200).all()


def test_half_transparent_colours_do_not_turn_pale_in_the_seam():
    source = np.zeros((60, 60, 4), np.uint8)
    source[..., 3] = 128  # black, half of which shows: on white the grey that is drawn
    inside = rectangle(60, 60, 15, 15, 45, 45)
    edit = Edit(picture=Image.fromarray(source), frame=whole_frame(60, 60), inside=inside)
    result = finished(edit, Image.new("RGB", (60, 60), (127, 127, 127)), seam=0.1)
    on_white = np.asarray(load_image(result)).astype(int)
    assert np.abs(on_white - 127).max() <= 2
    assert np.asarray(result)[30, 30].tolist() == [127, 127, 127, 255]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(300, 200), (200, 300), (64, 64), (7, 5)])
def test_outside_a_mask_every_byte_is_the_sources(channels, size):
    width, height = size
    source = noise(width, height, channels)
    inside = rectangle(width, height, width // 4, height // 4, width // 2, height // 2)
    mask = (inside * 255).astype(np.uint8)
    edit = read_edit(source, mask, 32)
    drawn = Image.fromarray(noise(32, 32, seed=1))
    result = np.asarray(finished(edit, drawn))
    assert result.shape == source.shape
    assert np.array_equal(result[~inside], source[~inside])
    assert (result[inside] != source[inside]).any()
    if channels == 4:
        assert (result[inside][:, 3] >= source[inside][:, 3]).all()


def test_inside_a_mask_is_what_was_drawn():
    source, inside = noise(40, 40), rectangle(40, 40, 10, 10, 30, 30)
    edit = Edit(picture=Image.fromarray(source), frame=whole_frame(40, 40), inside=inside)
    drawn = noise(40, 40, seed=1)
    hard = np.asarray(finished(edit, Image.fromarray(drawn), seam=0))
    assert np.array_equal(hard[inside], drawn[inside])
    soft = np.asarray(finished(edit, Image.fromarray(drawn), seam=0.1))
    assert np.array_equal(soft[15:25, 15:25], drawn[15:25, 15:25])  # deeper than 4 pixels
    mixed = soft[10, 10:30].astype(int)
    low = np.minimum(source[10, 10:30], drawn[10, 10:30])
    high = np.maximum(source[10, 10:30], drawn[10, 10:30])
    assert ((mixed >= low) & (mixed <= high)).all()


def test_edits_that_change_nothing_give_the_source_itself():
    source = noise(50, 30)
    with pytest.warns(UserWarning, match="its brightest value is 1 of 255"):
        black = read_edit(source, np.ones((30, 50), np.uint8), 16)
    assert black.silent
    assert np.array_equal(np.asarray(finished(black, Image.fromarray(noise(16, 16)))), source)
    free = read_edit(source, None, 16)
    assert np.array_equal(np.asarray(finished(free, free.shown(16))), source)


def test_a_softer_and_darker_drawing_of_the_source_is_no_change():
    source = np.full((200, 256, 3), 230, np.uint8)
    source[20:99, 30:110] = (30, 60, 200)
    source[110:171, 150:233] = (250, 220, 20)
    edit = read_edit(source, None, 32)
    small = edit.shown(256).resize((32, 32), Image.Resampling.BOX)
    drawn = small.resize((256, 256), Image.Resampling.BICUBIC)
    darker = Image.fromarray((np.asarray(drawn) * 0.95).astype(np.uint8))
    assert np.array_equal(np.asarray(finished(edit, darker)), source)


def test_without_a_mask_what_does_not_change_is_restored():
    source = np.full((128, 128, 3), 200, np.uint8)
    source[20:50, 20:50] = (30, 60, 200)
    new = np.asarray(Image.fromarray(source).resize((32, 32)).resize((128, 128))).copy()
    new[80:110, 70:110] = (250, 20, 20)
    edit = read_edit(source, None, 32)
    result = np.asarray(finished(edit, Image.fromarray(new)))
    assert np.array_equal(result[84:106, 74:106], new[84:106, 74:106])
    apart = np.ones((128, 128), bool)
    apart[68:122, 58:122] = False
    assert np.array_equal(result[apart], source[apart])
    everything = np.asarray(finished(edit, Image.fromarray(new), threshold=0, seam=0))
    assert np.array_equal(everything, new)


def test_what_counts_as_a_change_can_be_seen_in_other_drawings():
    source = np.full((64, 64, 3), 200, np.uint8)
    edit = read_edit(source, None, 32)
    unchanged = noise(32, 32)  # nothing like the source
    asked = unchanged.copy()
    asked[8:20, 8:20] = 255 - asked[8:20, 8:20]
    drawn = Image.fromarray(np.zeros((64, 64, 3), np.uint8))
    pair = Image.fromarray(unchanged), Image.fromarray(asked)
    result = np.asarray(finished(edit, drawn, compared=pair, seam=0))
    assert (result[22:34, 22:34] == 0).all()
    assert (result[48:] == 200).all()
    same = finished(edit, drawn, compared=(pair[0], pair[0]))
    assert np.array_equal(np.asarray(same), source)


def test_a_change_is_whole_and_a_speck_is_none():
    before = np.full((256, 256, 3), 255, np.uint8)
    ring = before.copy()
    ring[60:200, 60:200] = 0
    ring[80:180, 80:180] = 255
    white = Image.fromarray(before)
    found = changed(white, Image.fromarray(ring), 0.1)
    assert found[8:25, 8:25].all()
    assert not found[:5].any()
    speck = before.copy()
    speck[100:108, 100:108] = 0
    assert not changed(white, Image.fromarray(speck), 0.1).any()


def test_a_photograph_stands_upright_and_keeps_its_colours_but_not_its_place(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # turned by 90°
    photo = Image.fromarray(noise(40, 20))
    photo.save(tmp_path / "photo.png", exif=exif, icc_profile=profile)
    upright = np.rot90(noise(40, 20), -1)
    inside = rectangle(20, 40, 5, 5, 15, 15)
    edit = read_edit(tmp_path / "photo.png", (inside * 255).astype(np.uint8), 16)
    save_png(tmp_path / "edited.png", finished(edit, Image.fromarray(noise(16, 16, seed=1))))
    with Image.open(tmp_path / "edited.png") as edited:
        assert edited.size == (20, 40)
        assert edited.info["icc_profile"] == profile
        assert not len(edited.getexif())
        assert np.array_equal(np.asarray(edited)[~inside], upright[~inside])
    assert "icc_profile" not in load_image(tmp_path / "photo.png").info
