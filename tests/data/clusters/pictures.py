"""Small rows and their encoded pictures, shared by the tests of the steps."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageFilter

from instruct_imagen.data.clusters.reading import unchanged
from instruct_imagen.data.clusters.rows import Row
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.records import Place


def scene(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Coloured patches with sharp borders."""
    lot = np.random.default_rng(seed)
    small = Image.fromarray(lot.integers(0, 256, (6, 6, 3), np.uint8))
    return small.resize(size, Image.Resampling.NEAREST)


def blurred(seed: int, radius: float = 12) -> Image.Image:
    return scene(seed).filter(ImageFilter.GaussianBlur(radius))


def packed(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


class Shelf:
    """Rows, and a loader of their images as `reading.loader` gives it."""

    def __init__(self) -> None:
        self.data: dict[str, bytes | EntryError] = {}
        self.loaded: list[str] = []

    def row(self, key: str, picture: Image.Image | bytes, caption: str = "a good caption") -> Row:
        data = picture if isinstance(picture, bytes) else packed(picture)
        width, height = (9, 9) if isinstance(picture, bytes) else picture.size
        self.data[key] = data
        return Row(
            key=key,
            caption=caption,
            width=width,
            height=height,
            sha256=hashlib.sha256(data).hexdigest(),
            place=Place(file=key),
            size=len(data),
        )

    def load(self, rows: Sequence[Row]) -> Iterator[bytes | EntryError]:
        for row in rows:
            self.loaded.append(row.key)
            yield unchanged(row, self.data[row.key])
