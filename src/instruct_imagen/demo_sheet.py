"""The demo's sheet: instructions, their references and what was drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from instruct_imagen.images import load_image
from instruct_imagen.instruction import Instruction

Case = tuple[str, Instruction, Sequence[Image.Image]]
"""Title, instruction and results."""

_COLUMNS = 5
_CELL = 256
_TALLEST = 320
_GAP = 10
_FONT = 17
_LINE = 22
_LETTERS = 29  # of a cell's width
_STEP = 3  # of 255, between colours: nobody sees it, and the file is a quarter smaller
_REMARKS = {"masked removal": "the shipped starter has not learnt it"}


def draw_sheet(cases: Sequence[Case]) -> Image.Image:
    """A tile a case: its words, and below them its references and results, each with its name.

    Args:
        cases: At least one.

    Returns:
        RGB. Tiles are put into the first row of five pictures that has room. Squares fill a cell of
        256 pixels: such pictures are shown pixel by pixel, smaller ones with pixels that can be
        seen. Others are reduced to fit. A colour is off by 1 of 255 at most.
    """
    tiles = [_tile(case) for case in cases]
    width = max(_COLUMNS * (_CELL + _GAP), *(tile.width for tile in tiles))
    rows: list[list[Image.Image]] = []
    for tile in tiles:
        room = (row for row in rows if sum(one.width for one in row) + tile.width <= width)
        row = next(room, None)
        if row is None:
            rows.append([tile])
        else:
            row.append(tile)
    heights = [max(tile.height for tile in row) for row in rows]
    canvas = Image.new("RGB", (width, sum(heights)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for tile in row:
            canvas.paste(tile, (left, top))
            left += tile.width
        top += height
    return canvas.point([_STEP * round(value / _STEP) for value in range(256)] * 3)


def _tile(case: Case) -> Image.Image:
    title, instruction, results = case
    pictures = [
        *(
            (f"[ref#{one.marker}] {one.text}", load_image(one.image))
            for one in instruction.references
        ),
        *(("result", one) for one in results),
    ]
    fitted = [(name, _fitted(image)) for name, image in pictures]
    heading = title.replace("_", " ").upper()
    if title in _REMARKS:
        heading += f" ({_REMARKS[title]})"
    lines = [heading, *textwrap.wrap(instruction.text, _LETTERS * len(fitted))]
    top = (len(lines) + 1) * _LINE + _GAP
    height = max(image.height for _, image in fitted)
    tile = Image.new("RGB", (len(fitted) * (_CELL + _GAP), top + height + 2 * _GAP), "white")
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(_FONT)
    for number, line in enumerate(lines):
        pen.text((0, number * _LINE), line, fill="black", font=font)
    for column, (name, image) in enumerate(fitted):
        left = column * (_CELL + _GAP)
        pen.text((left, len(lines) * _LINE + _GAP // 2), name, fill="dimgray", font=font)
        tile.paste(image, (left, top))
    return tile


def _fitted(image: Image.Image) -> Image.Image:
    scale = min(_CELL / image.width, _TALLEST / image.height)
    size = round(image.width * scale), round(image.height * scale)
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
