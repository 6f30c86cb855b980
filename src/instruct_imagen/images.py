"""The only decoder of users' images, and the only range converter of pixels.

Their files come in here only: decoded within limits, upright, eight bits a channel, RGB.
Pixels change their range here and nowhere else: uint8 in [0, 255] ↔ float32 in [-1, 1].

Colour profiles are not applied: pixel values are taken as sRGB.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    import torch

MAX_PIXELS = 64_000_000
"""Default limit, width × height; 64 megapixels are 192 MB of RGB."""

# Named one by one: Pillow can also open formats that start other programs (EPS) or hold no pixels.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
"""What `load_image` reads, by Pillow's names; JPEG includes MPO, a JPEG with several pictures."""

WHITE = (255, 255, 255)

ImageSource: TypeAlias = "str | os.PathLike[str] | BinaryIO | Image.Image | np.ndarray"
"""A path, a binary file open for reading, a PIL image, or a numpy array."""


class ImageError(ValueError):
    """An image that cannot be used; one line that names the image and the cause."""


class TooManyPixels(ImageError):
    """An image larger than the limit."""


def load_image(
    source: ImageSource,
    *,
    max_pixels: int = MAX_PIXELS,
    keep_alpha: bool = False,
    keep_profile: bool = False,
    background: tuple[int, int, int] = WHITE,
) -> Image.Image:
    """Decodes an image: upright, eight bits a channel, RGB, first frame.

    Args:
        source: A path, a binary file, a PIL image (its current frame, which is not changed) or a
            numpy array, uint8, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        max_pixels: Limit for width × height, checked on the header before pixels are decoded.
        keep_alpha: Whether to return RGBA (opaque where the image has no alpha).
        keep_profile: Whether the colour profile of an RGB, RGBA or palette image stays with it, in
            ``info``, from where `save_png` writes it: for a picture that is given back.
        background: Colour, RGB, that shows through where the image is transparent.

    Returns:
        A new image of mode RGB, or RGBA if `keep_alpha`, without other metadata. 16-bit grey is
        scaled from [0, 65535].

    Raises:
        ImageError: If the file is missing, unreadable, no image of a known format, truncated,
            too large, or of a kind whose range is unknown (32-bit and floating-point grey).
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        return _decode(source, "<PIL image>", max_pixels, keep_alpha, keep_profile, background)
    with _opened(source) as opened:
        return _decode(opened, _name(source), max_pixels, keep_alpha, keep_profile, background)


def check_image(
    source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """Reads the header of an image and leaves its pixels, which cost far more, alone.

    Args:
        source: A path or a binary file.
        max_pixels: Limit for width × height.

    Returns:
        (width, height) as they are stored, before the image is turned upright.

    Raises:
        ImageError: As `load_image`, but for what only the pixels tell: a file that ends early, or
            grey of an unknown range.
    """
    with _opened(source) as opened:
        _check_size(opened.size, _name(source), max_pixels)
        return opened.size


def _opened(source: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    """An image whose header is read and whose pixels are not."""
    name = _name(source)
    try:
        return Image.open(source, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels(f"{name}: more pixels than Pillow decodes ({error})") from None
    except Image.UnidentifiedImageError:
        raise ImageError(
            f"{name}: not an image of a known format; use one of {', '.join(FORMATS)}"
        ) from None
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror or error})") from None
    # Pillow's plugins raise almost anything on broken headers; whatever it is becomes one line.
    except Exception as error:
        raise ImageError(f"{name}: broken image ({_cause(error)})") from error


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"{name}: {width} × {height} are {width * height} pixels, more than the limit of "
            f"{max_pixels}; make it smaller or raise max_pixels"
        )
    if not (width and height):
        raise ImageError(f"{name}: the image is empty ({width} × {height})")


def _decode(
    image: Image.Image,
    name: str,
    max_pixels: int,
    keep_alpha: bool,
    keep_profile: bool,
    background: tuple[int, int, int],
) -> Image.Image:
    """Limits, then pixels, then orientation, depth, alpha; arguments as for `load_image`."""
    _check_size(image.size, name, max_pixels)
    try:
        image.load()
        # A broken EXIF block makes Pillow raise almost anything, as broken pixels do.
        # A profile of grey or CMYK says nothing of the RGB that is made of them.
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
        image = ImageOps.exif_transpose(image)
        image = _to_eight_bits(image, name, keep_alpha, background)
        # A photograph's place and camera must not travel on into results.
        image.info = {"icc_profile": profile} if keep_profile and profile else {}
        return image
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(
            f"{name}: truncated or broken image ({_cause(error)}); save it again"
        ) from error


def _to_eight_bits(
    image: Image.Image, name: str, keep_alpha: bool, background: tuple[int, int, int]
) -> Image.Image:
    """Any mode that has a known range -> RGB or RGBA, always a new image."""
    if image.mode.startswith("I"):
        image = _sixteen_bit_grey(image, name)
    elif image.mode == "F":
        raise ImageError(
            f"{name}: floating-point pixels have no stated range; save it with 8 or 16 bits"
        )
    if not image.has_transparency_data:
        # RGBA by way of RGB: Pillow has no other from CMYK, YCbCr, HSV
        rgb = image.convert("RGB")
        return rgb.convert("RGBA") if keep_alpha else rgb
    rgba = image.convert("RGBA")
    if keep_alpha:
        return rgba
    return Image.alpha_composite(Image.new("RGBA", rgba.size, (*background, 255)), rgba).convert(
        "RGB"
    )


def _sixteen_bit_grey(image: Image.Image, name: str) -> Image.Image:
    """Grey in [0, 65535] (modes I and I;16*) -> L in [0, 255], rounded to nearest."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{name}: 32-bit grey has no stated range "
            f"(here {values.min()} to {values.max()}); save it with 8 or 16 bits"
        )
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _from_array(array: np.ndarray) -> Image.Image:
    if array.dtype != np.uint8 or not (
        array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    ):
        raise ImageError(
            f"<array>: must be uint8 with shape (H, W) or (H, W, 1, 3 or 4), "
            f"not {array.dtype} with shape {array.shape}"
        )
    if array.size == 0:
        raise ImageError(f"<array>: is empty, its shape is {array.shape}")
    return Image.fromarray(array[:, :, 0] if array.shape[2:] == (1,) else array)


def _name(source: object) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if not hasattr(source, "read"):
        raise ImageError(
            "an image must be a path, a binary file, a PIL image or a numpy array, "
            f"not {type(source).__name__}"
        )
    return str(getattr(source, "name", "<stream>"))


def _cause(error: Exception) -> str:
    """One line that says what went wrong, whatever the exception."""
    return " ".join(str(error).split()) or type(error).__name__


def to_square(
    image: Image.Image,
    size: int,
    mode: Literal["pad", "crop"] = "pad",
    background: tuple[int, int, int] = WHITE,
) -> Image.Image:
    """Fits an image into a square; an image that is already right comes back unchanged (a copy).

    Args:
        image: RGB or RGBA, as `load_image` gives it.
        size: Side of the square, pixels.
        mode: ``pad`` keeps all of the image, centred on `background`; ``crop`` keeps the largest
            centred square.
        background: RGB; in RGBA images the padding is transparent.

    Returns:
        An image of the same mode, size × size, resampled with an antialiased Lanczos filter.

    Raises:
        ImageError: If the mode of the image, `size` or `mode` is none of these.
    """
    if image.mode not in ("RGB", "RGBA"):
        raise ImageError(f"to_square takes RGB or RGBA, not {image.mode}; use load_image first")
    if size < 1:
        raise ImageError(f"size must be at least 1 pixel, not {size}")
    width, height = image.size
    if mode == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.LANCZOS, box=box)
    if mode != "pad":
        raise ImageError(f"unknown mode {mode!r}; use 'pad' or 'crop'")
    longest = max(width, height)
    # a side of at least one pixel, or a very thin image would vanish
    fitted = (max(1, round(width * size / longest)), max(1, round(height * size / longest)))
    resized = image.resize(fitted, Image.Resampling.LANCZOS)
    if fitted == (size, size):
        return resized
    canvas = Image.new(
        image.mode, (size, size), background if image.mode == "RGB" else (*background, 0)
    )
    canvas.paste(resized, ((size - fitted[0]) // 2, (size - fitted[1]) // 2))
    return canvas


def reduced_lines(image: Image.Image, size: int) -> Image.Image:
    """A map of light lines on dark, smaller by a whole factor, none of whose lines has faded.

    Antialiasing would mix a line of one pixel with all that is around it. Here each pixel takes the
    lightest of those it stands for, as when the world's own maps of `size` are made.

    Args:
        image: RGB.
        size: What it will be fitted into, pixels; one less than twice as large comes back as it is.
    """
    factor = max(image.size) // size
    if factor < 2:
        return image
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    more = ((0, -height % factor), (0, -width % factor), (0, 0))
    pixels = np.pad(pixels, more, mode="edge")
    blocks = pixels.reshape(pixels.shape[0] // factor, factor, -1, factor, 3)
    return Image.fromarray(blocks.max(axis=(1, 3)))


def to_tensor(
    images: Sequence[ImageSource], size: int, mode: Literal["pad", "crop"] = "pad"
) -> torch.Tensor:
    """Loads images, squares them and stacks them.

    Args:
        images: Whatever `load_image` takes.
        size: Side, pixels.
        mode: See `to_square`.

    Returns:
        float32 (N, 3, size, size) in [-1, 1], on the CPU.

    Raises:
        ImageError: If an image cannot be used.
    """
    import torch

    if isinstance(images, (str, os.PathLike, Image.Image, np.ndarray)):
        raise ImageError("to_tensor takes a list of images; put a single one into a list")
    pixels = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for index, source in enumerate(images):
        pixels[index] = np.asarray(to_square(load_image(source), size, mode))
    return uint8_to_signed(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous())


def uint8_to_signed(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 in [0, 255] -> float32 in [-1, 1]: x / 127.5 - 1; any shape, same device.

    Raises:
        ImageError: If the tensor is not uint8.
    """
    import torch

    if pixels.dtype != torch.uint8:
        raise ImageError(f"uint8_to_signed takes uint8, not {pixels.dtype}")
    return pixels.to(torch.float32) / 127.5 - 1


def signed_to_uint8(pixels: torch.Tensor) -> torch.Tensor:
    """Floats in [-1, 1] -> uint8 in [0, 255]; any shape, same device.

    What lies outside is clamped; (x + 1) · 127.5 is rounded to the nearest whole number, halves to
    the even one, in float32. The exact inverse of `uint8_to_signed`.

    Raises:
        ImageError: If the tensor is not floating-point, or holds NaN: a sampler that diverged must
            not look like a black picture.
    """
    import torch

    if not pixels.is_floating_point():
        raise ImageError(f"signed_to_uint8 takes floats, not {pixels.dtype}")
    if torch.isnan(pixels).any():
        raise ImageError("the pixels hold NaN; the sampler or the model diverged")
    scaled = (pixels.to(torch.float32).clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8)


def to_pil(pixels: torch.Tensor) -> list[Image.Image]:
    """A batch of pixels -> RGB images.

    Args:
        pixels: (N, 3, H, W), floats in [-1, 1] (see `signed_to_uint8`) or uint8; any device.

    Returns:
        N images of mode RGB.

    Raises:
        ImageError: If the shape is another one, or the floats hold NaN.
    """
    import torch

    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ImageError(f"to_pil takes (N, 3, H, W), not {tuple(pixels.shape)}")
    if pixels.dtype != torch.uint8:
        pixels = signed_to_uint8(pixels)
    arrays = pixels.detach().permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return [Image.fromarray(array) for array in arrays]


def save_png(path: str | os.PathLike[str], image: Image.Image | np.ndarray) -> None:
    """Writes a PNG that appears whole or not at all; missing folders are made.

    Args:
        path: Where; a file of that name is replaced.
        image: A PIL image of a mode that PNG holds, or a numpy array as for `load_image`.

    Raises:
        ImageError: If PNG cannot hold the image.
        OSError: If the file cannot be written.
    """
    target = Path(path)
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if image.mode not in ("1", "L", "LA", "I;16", "P", "RGB", "RGBA"):
        raise ImageError(f"{target}: a PNG cannot hold mode {image.mode}; convert it to RGB first")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent / f".{secrets.token_hex(8)}.tmp"  # same folder: a rename, not a copy
    try:
        image.save(draft, format="PNG")
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
