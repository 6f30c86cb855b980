"""Sample sheets on fixed instructions that training never sees: one look says what is followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from instruct_imagen.data.example import Photograph, Picture
from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.tasks.my_subject import MySubject
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.editing import UPSCALER_STEPS
from instruct_imagen.evaluation.cases import (
    CASE_SEED,
    Rows,
    fixed_examples,
    further_examples,
    to_instruction,
)
from instruct_imagen.instruction import Instruction
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.super_resolution import SuperResolutionPipeline
from instruct_imagen.training.packed_world import World

_COLUMNS = ("[ref#1]", "[ref#2]", "truth", "result", "no refs", "other refs")
_UPSCALED = ("[ref#1]", "[ref#2]", "small", *_COLUMNS[2:])
_PART = 64
"""Pixels of a picture on the sheet, at least: as wide as the names of the columns."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Fixed instructions with their true answers.

    Attributes:
        rows: A title and the examples of each row; all rows have the same length.
        atlas: Has all their sprites.
        photographs: The user's own, where some rows show them.
    """

    rows: Rows
    atlas: Atlas
    photographs: Photographs | None = None


def sheet_of(world: World, ratios: Mapping[str, float], each: int = 4) -> Sheet:
    """The fixed instructions of a world, and `each` of the user's own subject if there is one.

    Args:
        world: What they show.
        ratios: Of the run's last stage, which is what it is for (those before are the way there):
            tasks of it that are not among the fixed instructions get a row, too.
        each: Examples a row.
    """
    rows = fixed_examples(world.vocabulary, each)
    rows = (*rows, *further_examples(ratios, world.vocabulary, each))
    if world.photographs is not None:
        task = world.tasks[MySubject.name]()
        own = (task.example(scene_rng(CASE_SEED, index), world.vocabulary) for index in range(each))
        rows = (*rows, (world.photographs.subject, tuple(own)))
    return Sheet(rows=rows, atlas=world.atlas, photographs=world.photographs)


def draw_sheet(
    pipeline: InstructImagenPipeline, sheet: Sheet, *, steps: int | None = None
) -> Image.Image:
    """Samples all instructions three times and shows them in one picture.

    A cell of the sheet shows, from left to right: up to two references | the true answer | the
    result | the result without its references | the result with the next example's references. For
    an upscaler the true answer at low resolution, which it enlarges, stands before the true answer.
    A pipeline of raw inputs gets captions; where there is none, nothing is left to ask for without
    the references, and that result is blank; so are both where an upscaler sees none.

    Args:
        pipeline: What draws.
        sheet: The instructions.
        steps: Sampling steps; None for 20, or 8 of an upscaler.
    """
    size = pipeline.size
    flat = [example for _, row in sheet.rows for example in row]
    width = len(sheet.rows[0][1])
    shown = [
        _pixels(sheet, [reference.picture for reference in example.references], size)
        for example in flat
    ]
    true = [example.target for example in flat]
    targets, small = _pixels(sheet, true, size), None
    if isinstance(pipeline, SuperResolutionPipeline):
        steps = UPSCALER_STEPS if steps is None else steps
        small = _pixels(sheet, true, pipeline.low_size)
    steps = 20 if steps is None else steps
    normal = [
        to_instruction(e, p, instruction=pipeline.instruction)
        for e, p in zip(flat, shown, strict=True)
    ]
    with_results = _sample(pipeline, normal, range(len(flat)), steps, small)
    seen = pipeline.config.references if small is not None else True
    dropped = [index for index, example in enumerate(flat) if example.references and seen]
    texts = {
        index: _unmarked(flat[index].text) if pipeline.instruction else flat[index].caption
        for index in dropped
    }
    worded = [index for index in dropped if texts[index]]
    bare = [Instruction(texts[index]) for index in worded]
    without = dict(zip(worded, _sample(pipeline, bare, worded, steps, small), strict=True))
    swapped = []
    for index in dropped:
        pictures = _next_ones(shown, index, width)
        swapped.append(to_instruction(flat[index], pictures, instruction=pipeline.instruction))
    with_swapped = dict(
        zip(dropped, _sample(pipeline, swapped, dropped, steps, small), strict=True)
    )
    factor = 1 if small is None else size // small[0].shape[0]
    blank = np.full((size, size, 3), 232, np.uint8)
    cells = []
    for index in range(len(flat)):
        parts = [*shown[index][:2], *[blank] * (2 - len(shown[index]))]
        if small is not None:
            parts.append(np.repeat(np.repeat(small[index], factor, 0), factor, 1))
        parts += [targets[index], with_results[index]]
        parts += [without.get(index, blank), with_swapped.get(index, blank)]
        cells.append(np.concatenate(parts, axis=1))
    columns = _COLUMNS if small is None else _UPSCALED
    titles = [title for title, _ in sheet.rows]
    return _drawn(titles, columns, cells, width, max(-(-_PART // size), 1))


def _next_ones(shown: list[list[np.ndarray]], index: int, width: int) -> list[np.ndarray]:
    """As many references as the example has, of the next example in its row."""
    row = index - index % width
    donor = shown[row + (index + 1) % width]
    return [donor[slot % len(donor)] for slot in range(len(shown[index]))]


def _unmarked(text: str) -> str:
    """The text without its markers, as the references are gone too."""
    for k in range(1, 10):
        text = text.replace(f"[ref#{k}] ", "").replace(f"[ref#{k}]", "the reference")
    return text


def _pixels(sheet: Sheet, pictures: Sequence[Picture | Photograph], size: int) -> list[np.ndarray]:
    if not pictures:
        return []
    rendered = render_pictures(pictures, sheet.atlas, size, photographs=sheet.photographs)
    return list(rendered.permute(0, 2, 3, 1).numpy())


def _sample(
    pipeline: InstructImagenPipeline,
    instructions: Sequence[Instruction],
    examples: Sequence[int],
    steps: int,
    small: Sequence[np.ndarray] | None,
) -> list[np.ndarray]:
    """Each from the noise (and the small picture) of its example, in batches of 16."""
    images: list[np.ndarray] = []
    for start in range(0, len(instructions), 16):
        part = instructions[start : start + 16]
        own = examples[start : start + len(part)]
        low = () if small is None else ([small[example] for example in own],)
        generators = [torch.Generator().manual_seed(example) for example in own]
        output = pipeline(part, *low, num_inference_steps=steps, generator=generators)
        images.extend(np.asarray(image) for image in output.images)
    return images


def _drawn(
    titles: list[str], columns: Sequence[str], cells: list[np.ndarray], width: int, scale: int
) -> Image.Image:
    """Rows of cells with their titles above them, under the columns' names."""
    title_height, gap = 12, 6
    height, cell_width = cells[0].shape[0] * scale, cells[0].shape[1] * scale
    canvas = Image.new(
        "RGB",
        (width * (cell_width + gap), title_height + len(titles) * (height + title_height)),
        "white",
    )
    pen = ImageDraw.Draw(canvas)
    for column in range(width):
        for place, name in enumerate(columns):
            left = column * (cell_width + gap) + place * cell_width // len(columns)
            pen.text((left + 2, 0), name, fill="black")
    for row, title in enumerate(titles):
        top = title_height + row * (height + title_height)
        pen.text((2, top), title, fill="black")
        for column in range(width):
            image = Image.fromarray(cells[row * width + column])
            image = image.resize((cell_width, height), Image.Resampling.NEAREST)
            canvas.paste(image, (column * (cell_width + gap), top + title_height))
    return canvas
