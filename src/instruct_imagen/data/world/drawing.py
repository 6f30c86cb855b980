"""From an SVG drawing to a square sprite that its content fills."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]
_PROBE_SIDE = 32  # pixels of the first look, which only finds where the drawing's content is
_VISIBLE = 8  # alpha from which a pixel counts as content
_EMPTY = 24  # content pixels (of 1,024) below which a drawing is a failure
_DPI = 96  # what browsers take a length's unit to mean
_RESAMPLING = Image.Resampling.LANCZOS  # sharp where photographs are made small


def rasterise(svg: str, side: int) -> np.ndarray:
    """Draw an SVG document on a transparent square.

    Args:
        svg: The document; its view box is square, or the picture is not as high or as wide.
        side: Pixels.

    Returns:
        (side, side, 4) uint8, alpha premultiplied.

    Raises:
        ValueError: It is no SVG document that can be drawn.
    """
    import resvg_py  # here: the module must import where only packed atlases are used

    # dpi: without one, a drawing whose size is given in millimetres or points has none.
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=side, height=side, dpi=_DPI, skip_system_fonts=True
    )
    straight = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"), dtype=np.uint16)
    alpha = straight[..., 3:]
    colour = (straight[..., :3] * alpha + 127) // 255
    return np.concatenate([colour, alpha], axis=-1).astype(np.uint8)


def draw_sprite(svg_of: Callable[[Box], str], side: int) -> np.ndarray | None:
    """Draw an asset so that its content fills the square, centred, its aspect kept.

    The drawing is looked at once in small to find its content and then drawn again with just that
    in view, so that no sharpness is lost.

    Args:
        svg_of: Gives the document for a square view box in fractions of the drawing's frame.
        side: Pixels of the sprite.

    Returns:
        (4, side, side) uint8 planes red, green, blue (premultiplied), alpha; None where the
        drawing is (nearly) empty.
    """
    alpha = rasterise(svg_of((0.0, 0.0, 1.0, 1.0)), _PROBE_SIDE)[..., 3]
    ys, xs = np.nonzero(alpha >= _VISIBLE)
    if len(ys) < _EMPTY:
        return None
    # One probe pixel of margin: the content's true border lies somewhere inside it.
    left, right = (xs.min() - 1) / _PROBE_SIDE, (xs.max() + 2) / _PROBE_SIDE
    top, bottom = (ys.min() - 1) / _PROBE_SIDE, (ys.max() + 2) / _PROBE_SIDE
    span = max(right - left, bottom - top)
    box = ((left + right - span) / 2, (top + bottom - span) / 2, span, span)
    return np.ascontiguousarray(rasterise(svg_of(box), side).transpose(2, 0, 1))


def fill_square(pixels: np.ndarray, side: int) -> np.ndarray | None:
    """Scale a picture so that its content fills the square, centred, its aspect kept.

    Args:
        pixels: (height, width, 4) uint8, alpha not premultiplied.
        side: Pixels of the sprite.

    Returns:
        (4, side, side) uint8 planes red, green, blue (premultiplied), alpha; None where the
        picture is (nearly) empty.
    """
    ys, xs = np.nonzero(pixels[..., 3] >= _VISIBLE)
    if len(ys) < _EMPTY:
        return None
    box = pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.uint16)
    alpha = box[..., 3:]
    content = np.concatenate([(box[..., :3] * alpha + 127) // 255, alpha], axis=-1)
    height, width = content.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Plane by plane: Pillow would multiply an RGBA picture's colours by its alpha once more.
    planes = [
        np.asarray(Image.fromarray(content[..., k].astype(np.uint8)).resize(size, _RESAMPLING))
        for k in range(4)
    ]
    sprite = np.zeros((4, side, side), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    sprite[:, top : top + size[1], left : left + size[0]] = planes
    # What resampling adds beyond the alpha would be no premultiplied colour.
    np.minimum(sprite[:3], sprite[3:], out=sprite[:3])
    return sprite
