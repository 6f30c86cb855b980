"""What can be read of a sign in a picture, and how like the true picture its details are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from instruct_imagen.data.example import Placement

SIDE = 480
"""Side in pixels at which a square is read."""

MARGIN = 0.1
"""Share of a square's side that is read around it."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a square is read.

    Attributes:
        inner: Share of the square's side, around its centre, that is looked at: without a frame.
        inverted: Light and dark change places.
        mode: Tesseract's page segmentation mode: 6 is a block of text, 8 a single word.
    """

    inner: float
    inverted: bool
    mode: int


WAYS = [
    Way(inner=inner, inverted=inverted, mode=mode)
    for mode, inner, inverted in product((8, 6), (0.75, 1.0), (False, True))
]


def square(picture: np.ndarray, sign: Placement, way: Way) -> Image.Image:
    """The sign as it is read: grey, `SIDE` pixels a side, with a margin of its own edge's grey."""
    size = len(picture)
    half = sign.scale * way.inner / 2
    box = tuple(
        round(size * value)
        for value in (sign.x - half, sign.y - half, sign.x + half, sign.y + half)
    )
    grey = Image.fromarray(picture).convert("L").crop(box)
    grey = grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    if way.inverted:
        grey = ImageOps.invert(grey)
    edge = np.concatenate([np.asarray(grey)[side] for side in (0, -1)])
    return ImageOps.expand(grey, round(SIDE * MARGIN), int(np.median(edge)))


def texts(images: Sequence[Image.Image], mode: int) -> list[str]:
    """What Tesseract reads in each image.

    Raises:
        SystemExit: Tesseract failed, or is not there.
    """
    if not images:
        return []
    if shutil.which("tesseract") is None:
        raise SystemExit("there is no tesseract: apt install tesseract-ocr")
    with tempfile.TemporaryDirectory() as name:
        paths = [Path(name) / f"{number:06}.png" for number in range(len(images))]
        for path, image in zip(paths, images, strict=True):
            image.save(path, compress_level=1)
        listed = Path(name) / "all.txt"
        listed.write_text("\n".join(map(str, paths)) + "\n")
        done = subprocess.run(
            ["tesseract", str(listed), "stdout", "-l", "eng", "--psm", str(mode), "--dpi", "150"],
            env=os.environ | {"OMP_THREAD_LIMIT": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    found = done.stdout.split("\f")  # between pages
    if done.returncode or len(found) != len(images):
        raise SystemExit(
            f"tesseract gave {len(found)} of {len(images)} pages: {done.stderr[-300:]}"
        )
    return found


def words(text: str) -> list[str]:
    """Its words: capital letters and digits alone."""
    cleaned = ("".join(filter(str.isalnum, word)).upper() for word in text.split())
    return [word for word in cleaned if word]


def distance(one: str, other: str) -> int:
    """Letters to be put in, taken out or changed (Levenshtein)."""
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, row = row, [place]
        for number, wanted in enumerate(other):
            row.append(
                min(before[number + 1] + 1, row[-1] + 1, before[number] + (letter != wanted))
            )
    return row[-1]


def letters(text: str, wanted: str) -> float:
    """Share of a word that was read: of the word in the text that is most like it, in [0, 1]."""
    lacks = [distance(word, wanted) for word in words(text)]
    return max(0.0, 1 - min(lacks, default=len(wanted)) / len(wanted))


def fine(picture: np.ndarray, true: np.ndarray, sign: Placement, low: int) -> float:
    """Correlation of what a small picture of `low` pixels does not hold, in the sign's square."""
    size = len(true)

    def details(image: np.ndarray) -> np.ndarray:
        held = Image.fromarray(image).resize((low, low), Image.Resampling.BOX)
        held = np.asarray(held.resize((size, size), Image.Resampling.BICUBIC), np.float64)
        half = sign.scale / 2
        left, top, right, bottom = (
            round(size * min(max(value, 0), 1))
            for value in (sign.x - half, sign.y - half, sign.x + half, sign.y + half)
        )
        return (image - held)[top:bottom, left:right].ravel()

    one, other = details(picture), details(true)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0
