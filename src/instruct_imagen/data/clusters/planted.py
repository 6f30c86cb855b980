"""Near-duplicates made on purpose, to learn thresholds from and to measure with."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A part of 70 to 95% of either side, anywhere."""
    width, height = picture.size
    wide, high = (max(1, round(side * rng.uniform(0.7, 0.95))) for side in (width, height))
    left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - high + 1))
    return picture.crop((left, top, left + wide, top + high))


def resize(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Scaled to 35 to 150%, and squeezed by up to a tenth."""
    scale, squeeze = rng.uniform(0.35, 1.5), rng.uniform(0.9, 1 / 0.9)
    width, height = picture.size
    size = (max(8, round(width * scale * squeeze)), max(8, round(height * scale)))
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    return picture.resize(size, filters[int(rng.integers(len(filters)))])


def recompress(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Through a JPEG of quality 10 to 60."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(rng.integers(10, 61)))
    with Image.open(io.BytesIO(file.getvalue())) as again:
        return again.convert("RGB")


def flip(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The mirror image."""
    return ImageOps.mirror(picture)


def tint(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Mixed with a colour by 15 to 40%, and its channels weakened by up to 40%."""
    pixels = np.asarray(picture, np.float32) * rng.uniform(0.6, 1, 3)
    share = rng.uniform(0.15, 0.4)
    mixed = pixels * (1 - share) + rng.uniform(0, 255, 3) * share
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def to_grey(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Without colour."""
    return picture.convert("L").convert("RGB")


def brightness(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brighter or darker, by a factor of 0.6 to 1.2, and of other contrast, 0.8 to 1.2."""
    bright = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.6, 1.2))
    return ImageEnhance.Contrast(bright).enhance(rng.uniform(0.8, 1.2))


def several(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A crop, perhaps mirrored, in other brightness, through a JPEG."""
    changed = crop(picture, rng)
    if rng.random() < 0.5:
        changed = flip(changed, rng)
    return recompress(brightness(changed, rng), rng)


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "crop": crop,
        "resize": resize,
        "recompress": recompress,
        "flip": flip,
        "tint": tint,
        "grey": to_grey,
        "brightness": brightness,
        "several": several,
    }
)
"""Kind -> how a picture is changed; each takes and gives RGB."""


def plant(picture: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A near-duplicate of a picture.

    Args:
        picture: RGB.
        kind: One of `CHANGES`.
        rng: Decides how much.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in CHANGES:
        raise ValueError(f"kind={kind!r} is unknown: use one of {', '.join(CHANGES)}")
    return CHANGES[kind](picture.convert("RGB"), rng)
