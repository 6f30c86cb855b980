"""Tux Paint's stamps, those that are photographs: one thing each, cut out, with a caption."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..drawing import fill_square
from .base import DebianFiles, KeptFiles, debian_version, noun_phrase

STYLE = "photograph"
FOLDER = Path("/usr/share/tuxpaint/stamps")
PACKAGE = "tuxpaint-stamps-default"
RULES = 1
"""Counts up whenever what is kept changes, so that no stale list is used."""

TEXTURE = 0.6
"""Least share of neighbouring pixels that differ: photographs are grained, drawings flat."""

# Folders of drawings, letters and signs; what is left is looked at pixel by pixel.
_DRAWN = frozenset(
    """
    cartoon christmas clothes easter flags halloween hanukkah newyears roadsigns symbols
    """.split()  # noqa: SIM905
)
_CAPTION = re.compile(r"An? ([a-z][a-z ]*[a-z])\.")
_LARGEST_SIDE = 512  # pixels; larger ones are first made smaller


def caption_concept(caption: str) -> str | None:
    """The concept of an English caption: ``"A red apple."`` → ``"red-apple"``; None for others."""
    found = _CAPTION.fullmatch(caption.strip())
    return noun_phrase(found.group(1), counted=True) if found else None


def texture(pixels: np.ndarray) -> float:
    """The share of neighbouring opaque pixels that differ, in [0, 1]: (H, W, 4) uint8 → share."""
    opaque = pixels[..., 3] > 250
    light = pixels[..., :3].sum(axis=-1, dtype=np.int32)
    both = (opaque[:, 1:] & opaque[:, :-1], opaque[1:] & opaque[:-1])
    differ = (light[:, 1:] != light[:, :-1], light[1:] != light[:-1])
    count = sum(int(part.sum()) for part in both)
    found = sum(int((one & two).sum()) for one, two in zip(both, differ, strict=True))
    return found / count if count else 0.0


def _read_rgba(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image = image.convert("RGBA")
    image.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def photographs(folder: Path) -> dict[str, str]:
    """Concept → path below the folder, of all stamps that are photographs with a plain caption.

    Of several of one concept the first by path is taken.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.png")):
        words = path.with_suffix(".txt")
        inside = path.relative_to(folder)
        if _DRAWN & set(inside.parts) or not words.is_file():
            continue
        first = words.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        concept = caption_concept(first)
        if concept is None or concept in found or texture(_read_rgba(path)) < TEXTURE:
            continue
        found[concept] = str(inside)
    return found


class Photographs(KeptFiles):
    """Stamps that are photographs."""

    style = STYLE

    def manifest(self) -> dict[str, str]:
        """Whose they are."""
        return {
            "package": PACKAGE,
            "version": debian_version(PACKAGE),
            "licence": "GPL-2.0-or-later",
            "licence_url": "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
            "author": "Bill Kendrick and the contributors of Tux Paint's stamps",
            "author_url": "https://tuxpaint.org/",
            "icons_sha256": self.sha256,
        }

    def draw(self, name: str, side: int) -> np.ndarray | None:
        """See `base.Drawings`."""
        return fill_square(_read_rgba(self.folder / self.paths[name]), side)


@dataclass(frozen=True, kw_only=True)
class Stamps(DebianFiles):
    """See `base.Source`."""

    name = "stamps"
    content = "photographs of single things, cut out"
    package = PACKAGE
    suffix, also = ".png", ".txt"
    rules = RULES
    drawings = Photographs
    folder: Path = FOLDER

    def keep(self) -> tuple[dict[str, str], set[str]]:
        """See `base.DebianFiles`."""
        return photographs(self.folder), set()


SOURCE = Stamps()
