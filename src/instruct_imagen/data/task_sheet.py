"""Contact sheets of tasks: what an instruction shows, what it says, and what answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.world.atlas import Atlas, Pair
from instruct_imagen.data.world.render import render_pictures

SIDE = 128
"""Pixels of a picture on the sheet, at least."""

WIDTH = 1400
"""Pixels of a sheet, about."""

_GAP = 6
_LINE = 16
_FONT = 13
_LABEL_LINES = 3
_GREY = "#707070"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One example on a sheet.

    Attributes:
        pictures: Its references, then its target: (size, size, 3) uint8 each.
        labels: One for each, shown above it.
        text: Shown beneath.
    """

    pictures: tuple[np.ndarray, ...]
    labels: tuple[str, ...]
    text: str


def pairs_of(examples: Sequence[Example]) -> list[Pair]:
    """The sprites that some examples show."""
    found = set()
    for example in examples:
        for picture in (example.target, *(one.picture for one in example.references)):
            if isinstance(picture, Picture):
                found.update((asset.concept, asset.style) for asset in picture.scene.placements)
    return sorted(found)


def task_sheet(
    examples: Sequence[Example],
    atlas: Atlas,
    *,
    size: int,
    photographs: Photographs | None = None,
) -> Image.Image:
    """Examples in a grid; a cell shows references | target with the whole text beneath.

    Args:
        examples: At least one.
        atlas: Has all their sprites.
        size: Side of a picture in pixels, as a model sees it; pixels are enlarged to `SIDE`.
        photographs: The user's own, where some examples show them.

    Returns:
        An RGB image, about `WIDTH` wide where its columns fill that.
    """
    pictures = [
        picture
        for example in examples
        for picture in (*(one.picture for one in example.references), example.target)
    ]
    rendered = render_pictures(pictures, atlas, size, photographs=photographs)
    pixels = iter(rendered.permute(0, 2, 3, 1).numpy())
    cells = []
    for index, example in enumerate(examples):
        labels = [
            f"[ref#{one.marker}] {one.text}" if one.marker else one.text
            for one in example.references
        ]
        cells.append(
            Cell(
                pictures=tuple(next(pixels) for _ in range(len(labels) + 1)),
                labels=(*labels, "target"),
                text=f"{index}: {example.text}",
            )
        )
    return draw_cells(cells, size * max(-(-SIDE // size), 1))


def draw_cells(cells: Sequence[Cell], side: int) -> Image.Image:
    """The grid; pictures of one column stand below each other, targets behind a line."""
    font = ImageFont.load_default(size=_FONT)
    most = max(len(cell.pictures) for cell in cells)
    width = max(2, most) * (side + _GAP)
    columns = max(1, min(len(cells), WIDTH // (width + _GAP)))
    texts = [_wrapped(cell.text, font, width - _GAP) for cell in cells]
    labels = [[_label(label, font, side) for label in cell.labels] for cell in cells]
    above = _LINE * max(len(lines) for cell in labels for lines in cell) + 2
    height = above + side + _GAP + _LINE * max(len(lines) for lines in texts) + _GAP
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * height + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, cell in enumerate(cells):
        left = _GAP + number % columns * (width + _GAP)
        top = _GAP + number // columns * height + above
        for place, pixels in enumerate(cell.pictures):
            # The target stands last, whatever the number of references.
            last = place == len(cell.pictures) - 1
            at = left + (most - 1 if last else place) * (side + _GAP)
            lines = labels[number][place]
            _write(pen, (at, top - _LINE * len(lines) - 2), lines, _GREY, font)
            pen.rectangle((at - 1, top - 1, at + side, top + side), outline=_GREY)
            tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(tile, (at, top))
            if last and most > 1:
                bar = at - _GAP // 2 - 1
                pen.line((bar, top - above, bar, top + side), fill="black")
        _write(pen, (left, top + side + 2), texts[number], "black", font)
    return sheet


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    lines: Sequence[str],
    colour: str,
    font: ImageFont.FreeTypeFont,
) -> None:
    for number, line in enumerate(lines):
        pen.text((place[0], place[1] + number * _LINE), line, colour, font)


def _label(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """At most `_LABEL_LINES` lines of at most `width` pixels, cut with an ellipsis."""
    lines = _wrapped(text, font, width)
    if len(lines) > _LABEL_LINES:
        lines = [*lines[: _LABEL_LINES - 1], " ".join(lines[_LABEL_LINES - 1 :])]
    return [_fitting(line, font, width) for line in lines]


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of whole words that are not wider than `width` pixels, but for single words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
