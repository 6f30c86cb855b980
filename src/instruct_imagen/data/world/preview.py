"""A contact sheet of the world: each scene with its caption and its annotations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from instruct_imagen.data.example import Picture, PictureKind, Scene

from .atlas import SIDE, Atlas
from .render import render_pictures
from .scenes import caption, sample_scene, scene_rng
from .variety import Variety
from .vocabulary import Vocabulary, training_vocabulary

KINDS: tuple[PictureKind, ...] = get_args(PictureKind)
_GAP = 6
_SHOWN = 96  # pixels of a picture on the sheet, about: small ones are enlarged
_LETTER = 6  # pixels that a letter of the caption takes, about
_LINE = 12
_TEXT_LINES = 3


def contact_sheet(
    scenes: Sequence[Scene],
    captions: Sequence[str],
    atlas: Atlas,
    *,
    size: int = 32,
    zoom: int = 3,
    columns: int = 2,
) -> Image.Image:
    """Scenes in a grid; a cell shows all `KINDS` side by side above the caption.

    Args:
        scenes: What to show.
        captions: One for each.
        atlas: Has all their sprites.
        size: Side of a picture in pixels, as a model sees it.
        zoom: Each pixel becomes a square of so many.
        columns: Cells side by side.

    Returns:
        An RGB image.
    """
    pictures = [Picture(scene=scene, kind=kind) for scene in scenes for kind in KINDS]
    pixels = render_pictures(pictures, atlas, size).permute(0, 2, 3, 1).numpy()
    side = size * zoom
    width = len(KINDS) * (side + 2) + _GAP
    height = side + _TEXT_LINES * _LINE + _GAP
    rows = -(-len(scenes) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for index, words in enumerate(captions):
        left = _GAP + index % columns * width
        top = _GAP + index // columns * height
        for place in range(len(KINDS)):
            tile = _zoomed(pixels[index * len(KINDS) + place], zoom)
            sheet.paste(tile, (left + place * (side + 2), top))
        lines = textwrap.wrap(words, (width - _GAP) // _LETTER)[:_TEXT_LINES]
        draw.multiline_text((left, top + side + 1), "\n".join(lines), "black", font, spacing=1)
    return sheet


def _zoomed(pixels: np.ndarray, zoom: int) -> Image.Image:
    tile = Image.fromarray(pixels)
    return tile.resize((tile.width * zoom, tile.height * zoom), Image.Resampling.NEAREST)


def preview(
    out: Path | str,
    *,
    seed: int = 0,
    count: int = 24,
    size: int = 32,
    vocabulary: Vocabulary | None = None,
    atlas: Atlas | None = None,
) -> Path:
    """Write a contact sheet of scenes 0 to ``count - 1`` of a seed.

    Args:
        out: The PNG to write.
        seed: Of the scenes.
        count: How many scenes, at least 1.
        size: Side of a picture in pixels.
        vocabulary: What is drawn, and how rich scenes are; None for all that training may draw,
            with all the variety there is.
        atlas: The sprites; None renders only those that the sheet needs.

    Returns:
        ``out``.

    Raises:
        ValueError: ``count`` or ``size`` is not positive.
        WorldUnavailable: The artwork cannot be installed.
    """
    if count < 1 or size < 1:
        raise ValueError(f"count and size must be at least 1, not {count} and {size}")
    words = vocabulary
    if words is None:
        words = replace(training_vocabulary(), variety=Variety())
    scenes, captions = [], []
    for index in range(count):
        rng = scene_rng(seed, index)
        scenes.append(sample_scene(rng, words))
        captions.append(f"{index}: {caption(scenes[-1], rng)}")
    if atlas is None:
        used = {(asset.concept, asset.style) for scene in scenes for asset in scene.placements}
        side = SIDE
        while side < size:
            side *= 2
        atlas = Atlas.build(sorted(used), side=side)
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    zoom = max(1, _SHOWN // size)
    contact_sheet(scenes, captions, atlas, size=size, zoom=zoom).save(path)
    return path
