from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from instruct_imagen.images import (
    FORMATS,
    MAX_PIXELS,
    ImageError,
    check_image,
    load_image,
    reduced_lines,
    save_png,
    signed_to_uint8,
    to_pil,
    to_square,
    to_tensor,
    uint8_to_signed,
)

ORIENTATION = 0x0112  # the EXIF tag


def encoded(image: Image.Image, fmt: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def picture(width: int = 12, height: int = 8, mode: str = "RGB") -> Image.Image:
    """A picture in which no two pixels are equal, so that a wrong turn is seen."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), x * 9 + y * 3], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def error_of(call) -> str:
    with pytest.raises(ImageError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


# -- Formats and modes -----------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_is_read(fmt, tmp_path):
    file = tmp_path / "picture"
    options = {"lossless": True} if fmt == "WEBP" else {}
    file.write_bytes(encoded(picture(32, 24), fmt, **options))
    for source in (file, str(file), io.BytesIO(file.read_bytes())):
        image = load_image(source)
        assert (image.mode, image.size) == ("RGB", (32, 24))
        if fmt in ("PNG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000"):
            assert image == picture(32, 24)


def test_the_first_picture_of_a_jpeg_with_several_is_taken():
    data = encoded(
        Image.new("RGB", (8, 8), (200, 0, 0)), "MPO", save_all=True,
        append_images=[Image.new("RGB", (8, 8), (0, 0, 200))],
    )  # fmt: skip
    assert load_image(io.BytesIO(data)).getpixel((4, 4))[0] > 180


def test_formats_that_start_other_programs_are_refused():
    data = encoded(picture(), "EPS")
    assert "not an image of a known format" in error_of(lambda: load_image(io.BytesIO(data)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LA", "RGBA"])
def test_every_mode_becomes_rgb(mode):
    source = picture(mode="RGBA" if mode == "RGBA" else "RGB").convert(mode)
    before = source.copy()
    image = load_image(source)
    assert image.mode == "RGB"
    assert image is not source
    assert source == before
    expected = source.convert("RGB")
    assert image == expected


def test_cmyk_files_are_converted():
    red = load_image(io.BytesIO(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")))
    red_value, green, blue = red.getpixel((4, 4))
    assert red_value > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("value", [0, 128, 129, 257, 32767, 32768, 65535])
def test_sixteen_bit_grey_is_scaled_and_rounded(fmt, value):
    source = Image.fromarray(np.full((2, 3), value, np.uint16))
    image = load_image(io.BytesIO(encoded(source, fmt)))
    assert image.getpixel((0, 0)) == (round(value * 255 / 65535),) * 3


def test_big_endian_sixteen_bit_grey():
    source = Image.fromarray(np.array([[0, 65535, 257]], dtype=">u2"))
    assert source.mode == "I;16B"
    assert [load_image(source).getpixel((x, 0))[0] for x in range(3)] == [0, 255, 1]


def test_sixteen_bits_a_colour_become_eight():
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body
            + struct.pack(">I", zlib.crc32(kind + body))
        )  # fmt: skip

    row = b"\0" + struct.pack(">3H", 65535, 32896, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    png += chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert load_image(io.BytesIO(png)).getpixel((0, 0)) == (255, 128, 0)


def test_grey_without_a_known_range_is_refused():
    assert "32-bit grey" in error_of(lambda: load_image(Image.new("I", (2, 2), 70_000)))
    assert "32-bit grey" in error_of(lambda: load_image(Image.new("I", (2, 2), -1)))
    assert "floating-point" in error_of(lambda: load_image(Image.new("F", (2, 2), 0.5)))


def test_metadata_does_not_travel_on():
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    image = load_image(io.BytesIO(encoded(picture(), "JPEG", exif=exif, comment="at home")))
    assert image.info == {}
    assert len(image.getexif()) == 0


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
def test_arrays_are_taken(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if shape[2:] == (4,):
        array[..., 3] = 255
    image = np.asarray(load_image(array))
    assert np.array_equal(image, np.broadcast_to(array.reshape(4, 5, -1)[..., :3], (4, 5, 3)))


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2, 3)), np.zeros((2, 2, 2), np.uint8), np.zeros(3, np.uint8),
     np.zeros((0, 2, 3), np.uint8)],
)  # fmt: skip
def test_wrong_arrays_are_named(array):
    assert "array" in error_of(lambda: load_image(array))


# -- Alpha, orientation, animation -----------------------------------------------------------------


def transparent(kind: str) -> bytes:
    """Left pixel red, right pixel fully transparent."""
    rgba = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    rgba.putpixel((1, 0), (0, 255, 0, 0))
    if kind == "RGBA":
        return encoded(rgba, "PNG")
    if kind == "webp":
        return encoded(rgba, "WEBP", lossless=True)
    if kind == "palette":
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 0, 255, 0])
        image.putpixel((1, 0), 1)
        return encoded(image, "PNG", transparency=b"\xff\x00")
    if kind == "gif":
        return encoded(rgba, "GIF")
    image = Image.new("RGB", (2, 1), (255, 0, 0))
    image.putpixel((1, 0), (0, 255, 0))
    return encoded(image, "PNG", transparency=(0, 255, 0))


@pytest.mark.parametrize("kind", ["RGBA", "webp", "palette", "gif", "colour key"])
def test_transparency_shows_the_background_or_is_kept(kind):
    data = transparent(kind)
    image = load_image(io.BytesIO(data))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]
    image = load_image(io.BytesIO(data), background=(1, 2, 3))
    assert image.getpixel((1, 0)) == (1, 2, 3)
    image = load_image(io.BytesIO(data), keep_alpha=True)
    assert image.mode == "RGBA"
    assert [image.getpixel((x, 0))[3] for x in (0, 1)] == [255, 0]


def test_half_transparent_pixels_are_mixed():
    image = load_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))
    assert image.getpixel((0, 0)) == (127, 127, 127)


def test_keep_alpha_makes_opaque_images_rgba():
    for mode in ("RGB", "L", "CMYK"):
        image = load_image(picture(mode=mode), keep_alpha=True)
        assert image.mode == "RGBA"
        assert image.getchannel("A").getextrema() == (255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "WEBP"])
def test_pictures_come_out_upright(orientation, fmt):
    # how the stored rows and columns are turned to get the upright picture
    turns = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: np.rot90(a, 1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if fmt == "WEBP" else {}
    data = encoded(picture(), fmt, exif=exif, **options)
    once = load_image(io.BytesIO(data))
    assert np.array_equal(np.asarray(once), turns[orientation](np.asarray(picture())))
    assert load_image(once) == once


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_is_taken(fmt):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    options = {"lossless": True} if fmt == "WEBP" else {}
    data = encoded(frames[0], fmt, save_all=True, append_images=frames[1:], **options)
    assert load_image(io.BytesIO(data)).getpixel((1, 1)) == (250, 0, 0)


def test_an_open_animation_gives_its_current_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    colours = [
        load_image(frame).getpixel((1, 1))
        for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    ]
    assert colours == [(250, 0, 0), (0, 250, 0)]


# -- Limits and broken files -----------------------------------------------------------------------


def test_the_limit_is_checked_before_pixels_are_decoded():
    # a header that promises far more than the limit, and no pixels at all
    def png(width: int, height: int) -> io.BytesIO:
        body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        data = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
        return io.BytesIO(b"\x89PNG\r\n\x1a\n" + data + struct.pack(">I", 0) + b"IDAT")

    side = int(MAX_PIXELS**0.5) + 1
    assert f"limit of {MAX_PIXELS}" in error_of(lambda: load_image(png(side, side)))
    assert "more pixels than Pillow" in error_of(lambda: load_image(png(60_000, 60_000)))


def test_the_limit_holds_for_files_and_images_and_is_inclusive(tmp_path):
    save_png(tmp_path / "a.png", picture(10, 10))
    for source in (tmp_path / "a.png", picture(10, 10), np.zeros((10, 10, 3), np.uint8)):
        assert load_image(source, max_pixels=100).size == (10, 10)
        assert "limit of 99" in error_of(lambda source=source: load_image(source, max_pixels=99))


def test_a_header_tells_the_size_and_most_faults(tmp_path):
    assert check_image(io.BytesIO(encoded(picture(10, 9), "JPEG"))) == (10, 9)
    half = encoded(picture(64, 48), "PNG")[:-40]
    (tmp_path / "half.png").write_bytes(half)
    assert check_image(tmp_path / "half.png") == (64, 48)
    assert "truncated" in error_of(lambda: load_image(tmp_path / "half.png"))
    assert "limit of 3000" in error_of(lambda: check_image(io.BytesIO(half), max_pixels=3000))
    (tmp_path / "words.png").write_text("not a picture")
    for name, cause in (("words.png", "not an image"), ("gone.png", "No such file")):
        message = error_of(lambda name=name: check_image(tmp_path / name))
        assert message.startswith(f"{tmp_path / name}: ") and cause in message
    assert "EPS" not in FORMATS
    eps = io.BytesIO(encoded(picture(), "EPS"))
    assert "not an image of a known format" in error_of(lambda: check_image(eps))


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_truncated_files_are_named(fmt, tmp_path):
    data = encoded(picture(64, 64), fmt)
    file = tmp_path / "half.bin"
    file.write_bytes(data[: len(data) // 2])
    assert str(file) in error_of(lambda: load_image(file))


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("not a picture")
    for name, cause in [
        ("missing.png", "No such file"),
        (".", "directory"),
        ("empty.png", "not an image"),
        ("words.png", "not an image"),
    ]:
        message = error_of(lambda name=name: load_image(tmp_path / name))
        assert message.startswith(f"{tmp_path / name}: ")
        assert cause in message
    assert "<stream>" in error_of(lambda: load_image(io.BytesIO(b"")))
    assert "NoneType" in error_of(lambda: load_image(None))
    with open(tmp_path / "words.png", "rb") as stream:
        assert "words.png" in error_of(lambda: load_image(stream))
        assert not stream.closed


WHOLE = {
    fmt: encoded(picture(24, 16), fmt)
    for fmt in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "JPEG2000", "AVIF")
}


@pytest.mark.parametrize("fmt", WHOLE)
@given(
    st.data(),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
)
@pytest.mark.filterwarnings("ignore")
def test_broken_bytes_give_an_image_or_one_clear_line(fmt, data, changes):
    broken = bytearray(WHOLE[fmt])
    for place, value in changes:
        broken[int(place * len(broken))] = value
    end = data.draw(st.integers(0, len(broken)))
    try:
        image = load_image(io.BytesIO(bytes(broken[:end])), max_pixels=100_000)
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert image.mode == "RGB"


# -- Squares ---------------------------------------------------------------------------------------


def test_padding_keeps_everything_centred_on_white():
    square = np.asarray(to_square(Image.new("RGB", (8, 4), "black"), 8))
    assert (square[2:6] == 0).all()
    assert (square[:2] == 255).all() and (square[6:] == 255).all()
    tall = to_square(Image.new("RGB", (4, 8), "black"), 8, background=(1, 2, 3))
    assert tall.getpixel((0, 4)) == (1, 2, 3)
    assert tall.getpixel((4, 4)) == (0, 0, 0)


def test_padding_of_rgba_is_transparent():
    square = to_square(Image.new("RGBA", (8, 4), (0, 0, 0, 255)), 8)
    assert square.mode == "RGBA"
    assert square.getpixel((4, 0))[3] == 0
    assert square.getpixel((4, 4))[3] == 255


def test_cropping_keeps_the_largest_centred_square():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 255
    assert (np.asarray(to_square(Image.fromarray(pixels), 4, "crop")) == 255).all()


@pytest.mark.parametrize("mode", ["pad", "crop"])
def test_what_is_already_right_is_a_copy_without_change(mode):
    image = picture(16, 16)
    square = to_square(image, 16, mode)
    assert square == image
    assert square is not image


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.sampled_from(["pad", "crop"]))
def test_any_shape_becomes_a_square_and_one_colour_stays(width, height, size, mode):
    colour = (17, 120, 250)
    square = to_square(Image.new("RGB", (width, height), colour), size, mode, background=colour)
    assert square.size == (size, size)
    assert square.getcolors() == [(size * size, colour)]


def test_wrong_arguments_of_to_square_are_named():
    assert "use load_image" in error_of(lambda: to_square(Image.new("L", (2, 2)), 2))
    assert "at least 1" in error_of(lambda: to_square(picture(), 0))
    assert "'pad' or 'crop'" in error_of(lambda: to_square(picture(), 4, "stretch"))


# -- Ranges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_every_byte_survives_the_way_there_and_back(dtype):
    every = torch.arange(256, dtype=torch.uint8)
    signed = uint8_to_signed(every)
    assert signed.dtype == torch.float32
    assert signed[0] == -1 and signed[255] == 1
    assert torch.equal(signed_to_uint8(signed.to(dtype)), every)


def test_rounding_and_clamping_are_as_stated():
    values = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0, float("inf"), -float("inf")])
    # 0 is 127.5, half way: the even neighbour is 128
    assert signed_to_uint8(values).tolist() == [0, 0, 128, 255, 255, 255, 0]
    assert signed_to_uint8(torch.tensor([2 / 255 * 0.49 - 1, 2 / 255 * 0.51 - 1])).tolist() == [
        0,
        1,
    ]


@given(st.floats(-1, 1, width=32))
def test_a_value_moves_by_half_a_step_at_most(value):
    back = uint8_to_signed(signed_to_uint8(torch.tensor([value])))
    assert abs(back.item() - value) <= 1 / 255 + 1e-6


def test_wrong_kinds_of_pixels_are_refused():
    assert "uint8" in error_of(lambda: uint8_to_signed(torch.zeros(3)))
    assert "floats" in error_of(lambda: signed_to_uint8(torch.zeros(3, dtype=torch.uint8)))
    assert "NaN" in error_of(lambda: signed_to_uint8(torch.tensor([0.0, float("nan")])))


def test_to_tensor_has_the_stated_shape_type_and_range(tmp_path):
    save_png(tmp_path / "a.png", picture(20, 10))
    batch = to_tensor([tmp_path / "a.png", picture(16, 16), np.zeros((4, 4, 3), np.uint8)], 16)
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous()
    assert (batch[0, :, 0] == 1).all()  # padding is white
    assert (batch[2] == -1).all()
    assert to_pil(batch)[1] == picture(16, 16)
    assert to_tensor([], 16).shape == (0, 3, 16, 16)
    assert (to_tensor([Image.new("RGB", (8, 4))], 4, "crop") == -1).all()


def test_to_tensor_takes_a_list_only():
    for single in ("a.png", Path("a.png"), picture(), np.zeros((4, 4, 3), np.uint8)):
        assert "list" in error_of(lambda single=single: to_tensor(single, 4))


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_tensor_to_pil_and_back_is_exact(count, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(
        0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator
    )
    for batch in (pixels, uint8_to_signed(pixels)):
        images = to_pil(batch)
        assert [image.size for image in images] == [(width, height)] * count
        back = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
        assert torch.equal(back.permute(0, 3, 1, 2), pixels)


def test_to_pil_wants_a_batch_of_rgb():
    assert "(3, 4, 4)" in error_of(lambda: to_pil(torch.zeros(3, 4, 4)))
    assert "(1, 1, 4, 4)" in error_of(lambda: to_pil(torch.zeros(1, 1, 4, 4)))
    assert len(to_pil(torch.zeros(1, 3, 4, 4, requires_grad=True))) == 1


# -- Writing ---------------------------------------------------------------------------------------


def test_save_png_makes_folders_replaces_and_leaves_nothing_else(tmp_path):
    file = tmp_path / "deep" / "er" / "a.png"
    save_png(file, picture())
    save_png(str(file), np.asarray(picture(5, 5)))
    assert load_image(file) == picture(5, 5)
    assert [path.name for path in file.parent.iterdir()] == ["a.png"]


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    save_png(file, picture())
    before = file.read_bytes()

    def half(self, path, **options):
        Path(path).write_bytes(before[:20])
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save_png(file, picture(5, 5))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_save_png_names_what_png_cannot_hold(tmp_path):
    assert "CMYK" in error_of(lambda: save_png(tmp_path / "a.png", Image.new("CMYK", (2, 2))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [(256, 256), (250, 100), (31, 31)])
def test_reduced_lines_do_not_fade(size):
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, size[0] // 2] = 255
    found = reduced_lines(Image.fromarray(pixels), 32)
    factor = max(1, max(size) // 32)
    assert found.size == (-(-size[0] // factor), -(-size[1] // factor))
    shown = np.asarray(found)
    assert (shown == 255).all(axis=(0, 2)).sum() == 1
    assert (shown == 0).all(axis=(0, 2)).sum() == found.width - 1
