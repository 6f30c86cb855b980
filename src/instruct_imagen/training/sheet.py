"""Sample sheets on fixed instructions that training never sees: one look says what is followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from instruct_imagen.data.example import Example, ExampleReference
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import caption, sample_scene, scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.images import save_png
from instruct_imagen.instruction import Instruction, Reference
from instruct_imagen.pipeline import InstructImagenPipeline

SHEET_SEED = 2**40
"""Far from the seeds of training: the scenes of a sheet are never trained on."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Fixed instructions with their true answers.

    Attributes:
        rows: A title and the examples of each row; all rows have the same length.
        atlas: Has all their sprites.
    """

    rows: tuple[tuple[str, tuple[Example, ...]], ...]
    atlas: Atlas


Rows = tuple[tuple[str, tuple[Example, ...]], ...]


def fixed_examples(vocabulary: Vocabulary, each: int = 4) -> Rows:
    """`each` examples of each task of the paper's mixture and of style + subject, never trained."""
    tasks = all_tasks()
    rows = []
    for number, name in enumerate(name for name, ratio in PAPER_RATIOS.items() if ratio > 0):
        task = tasks[name]()
        drawn = (
            task.example(scene_rng(SHEET_SEED + number, index), vocabulary) for index in range(each)
        )
        rows.append((name, tuple(drawn)))
    combined = tuple(style_and_subject(vocabulary, index) for index in range(each))
    return (*rows, ("style + subject", combined))


def style_and_subject(vocabulary: Vocabulary, index: int) -> Example:
    """The subject of one reference in the style of another: a combination held out of training."""
    rng = scene_rng(SHEET_SEED + 100, index)
    subject = all_tasks()["subject"]().example(rng, vocabulary).references[0]
    shown = subject.picture.scene.placements[0]
    styles = [style for style in vocabulary.styles_of(shown.concept) if style != shown.style]
    style = styles[int(rng.random() * len(styles))]
    others = [name for name in vocabulary.concepts_of(style) if name != shown.concept]
    other = others[int(rng.random() * len(others))]
    style_image = sample_scene(rng, vocabulary, assets=[(other, style)])
    target = sample_scene(rng, vocabulary, assets=[(shown.concept, style)])
    words = caption(target, rng, with_style=False)
    picture = type(subject.picture)
    return Example(
        task="style + subject",
        text=f"Draw the [ref#1] {subject.text} in the style of [ref#2]: {words}.",
        references=(
            subject,
            ExampleReference(
                marker=2, text="style image", role="style", picture=picture(scene=style_image)
            ),
        ),
        target=picture(scene=target),
    )


def to_instruction(example: Example, pictures: Sequence[np.ndarray]) -> Instruction:
    """An example as the pipeline takes it, with rendered references (uint8 HWC each)."""
    return Instruction(
        example.text,
        tuple(
            Reference(reference.marker, pixels, reference.text, reference.role)
            for reference, pixels in zip(example.references, pictures, strict=True)
        ),
    )


def draw_sheet(
    pipeline: InstructImagenPipeline, sheet: Sheet, path: Path, *, steps: int = 20, scale: int = 2
) -> None:
    """Samples all instructions three times and writes one PNG.

    A cell of the sheet shows, from left to right: up to two references | the true answer | the
    result | the result without its references | the result with the next example's references.

    Args:
        pipeline: What draws.
        sheet: The instructions.
        path: PNG to be written.
        steps: Sampling steps.
        scale: Enlargement.
    """
    size = pipeline.size
    flat = [example for _, row in sheet.rows for example in row]
    width = len(sheet.rows[0][1])
    shown = [
        _pixels(sheet, [reference.picture for reference in example.references], size)
        for example in flat
    ]
    targets = _pixels(sheet, [example.target for example in flat], size)
    normal = [to_instruction(e, p) for e, p in zip(flat, shown, strict=True)]
    with_results = _sample(pipeline, normal, steps)
    dropped = [index for index, example in enumerate(flat) if example.references]
    without = _sample(pipeline, [Instruction(_unmarked(flat[i].text)) for i in dropped], steps)
    swapped = []
    for index in dropped:
        row = index - index % width
        donor = row + (index + 1) % width
        count = len(shown[index])
        pictures = [shown[donor][slot % len(shown[donor])] for slot in range(count)]
        swapped.append(to_instruction(flat[index], pictures))
    with_swapped = _sample(pipeline, swapped, steps)
    blank = np.full((size, size, 3), 232, np.uint8)
    cells = []
    for index, example in enumerate(flat):
        place = dropped.index(index) if example.references else None
        parts = [*shown[index][:2], *[blank] * (2 - len(shown[index]))]
        parts += [targets[index], with_results[index]]
        parts += [blank, blank] if place is None else [without[place], with_swapped[place]]
        cells.append(np.concatenate(parts, axis=1))
    _write(path, [title for title, _ in sheet.rows], cells, width, scale)


def _unmarked(text: str) -> str:
    """The text without its markers, as the references are gone too."""
    for k in range(1, 10):
        text = text.replace(f"[ref#{k}] ", "").replace(f"[ref#{k}]", "the reference")
    return text


def _pixels(sheet: Sheet, pictures: list, size: int) -> list[np.ndarray]:
    if not pictures:
        return []
    rendered = render_pictures(pictures, sheet.atlas, size)
    return list(rendered.permute(0, 2, 3, 1).numpy())


def _sample(
    pipeline: InstructImagenPipeline, instructions: Sequence[Instruction], steps: int
) -> list[np.ndarray]:
    """All with the same noise for each row of the sheet, in batches of 16."""
    images: list[np.ndarray] = []
    for start in range(0, len(instructions), 16):
        part = instructions[start : start + 16]
        generators = [torch.Generator().manual_seed(start + index) for index in range(len(part))]
        output = pipeline(part, num_inference_steps=steps, generator=generators)
        images.extend(np.asarray(image) for image in output.images)
    return images


def _write(path: Path, titles: list[str], cells: list[np.ndarray], width: int, scale: int) -> None:
    """Rows of cells with their titles above them."""
    title_height, gap = 12, 6
    height, cell_width = cells[0].shape[0] * scale, cells[0].shape[1] * scale
    canvas = Image.new(
        "RGB",
        (width * (cell_width + gap), len(titles) * (height + title_height)),
        "white",
    )
    pen = ImageDraw.Draw(canvas)
    for row, title in enumerate(titles):
        top = row * (height + title_height)
        pen.text((2, top), title, fill="black")
        for column in range(width):
            image = Image.fromarray(cells[row * width + column])
            image = image.resize((cell_width, height), Image.Resampling.NEAREST)
            canvas.paste(image, (column * (cell_width + gap), top + title_height))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(path, canvas)
