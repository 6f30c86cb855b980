"""The demo: instructions of the mixture, and one that combines two, drawn by the starter model."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from instruct_imagen.data.example import LINE_KINDS, Example, Picture
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.sources import WorldUnavailable
from instruct_imagen.evaluation.cases import fixed_examples, to_instruction
from instruct_imagen.images import load_image, save_png
from instruct_imagen.instruction import Instruction
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.recipes import recipe
from instruct_imagen.training.build import recipe_vocabulary

REFERENCE_SIZE = 128
_CELL = 128
_TEXT_WIDTH = 300
_HEADER = 18


def demo_cases() -> tuple[list[tuple[str, Example]], Atlas]:
    """One example of each task with the sprites that they need and no others.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    vocabulary = recipe_vocabulary(recipe("starter"))
    cases = [(title, row[0]) for title, row in fixed_examples(vocabulary, each=1)]
    pictures = [
        picture
        for _, example in cases
        for picture in (example.target, *(reference.picture for reference in example.references))
    ]
    pairs = {(p.concept, p.style) for picture in pictures for p in picture.scene.placements}
    return cases, Atlas.build(sorted(pairs))


def fallback_cases() -> tuple[list[tuple[str, Example]], Atlas]:
    """The same from a few drawings of our own, for machines without Node.js."""
    from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary

    rows = fixed_examples(fallback_vocabulary(), each=1)
    return [(title, row[0]) for title, row in rows], fallback_atlas()


def run_demo(
    pipeline: InstructImagenPipeline,
    folder: Path,
    *,
    steps: int = 25,
    images: int = 2,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Path, str]:
    """Draws the demo.

    Args:
        pipeline: What draws.
        folder: For each task ``<task>.png`` and ``<task>/instruction.json`` with its references;
            and ``sheet.png``.
        steps: Sampling steps.
        images: How many images an instruction.
        report: Is told of each picture that is there.

    Returns:
        The sheet's path, and a note for the user (empty if all is as it should be).
    """
    note = ""
    try:
        cases, atlas = demo_cases()
    except WorldUnavailable as error:
        note = f"using simple drawings of our own as references: {error}"
        cases, atlas = fallback_cases()
    rows = []
    for title, example in cases:
        instruction = _instruction(example, atlas, pipeline)
        name = title.replace(" + ", "_and_")
        # Written and read again, so that what is shown is what `generate --instruction` gives.
        (folder / name).mkdir(parents=True, exist_ok=True)
        instruction.to_json(folder / name / "instruction.json")
        instruction = Instruction.from_json(folder / name / "instruction.json")
        results = pipeline(
            [instruction] * images,
            num_inference_steps=steps,
            generator=[torch.Generator().manual_seed(seed) for seed in range(images)],
        ).images
        save_png(folder / f"{name}.png", results[0])
        rows.append((title, instruction, results))
        report(f"{len(rows)} of {len(cases)}: {title}")
    save_png(folder / "sheet.png", draw_rows(rows, images))
    return folder / "sheet.png", note


def _instruction(example: Example, atlas: Atlas, pipeline: InstructImagenPipeline) -> Instruction:
    pictures = [_drawn(reference.picture, atlas, pipeline.size) for reference in example.references]
    return to_instruction(example, pictures, instruction=pipeline.instruction)


def _drawn(picture: Picture, atlas: Atlas, size: int) -> np.ndarray:
    """A reference at `REFERENCE_SIZE`, uint8 (H, W, 3).

    Edges and sketches are drawn at the model's own size, as in its training: thin lines of a large
    picture would fade when it is reduced.
    """
    side = size if picture.kind in LINE_KINDS else REFERENCE_SIZE
    pixels = render_pictures([picture], atlas, side)[0].permute(1, 2, 0).numpy()
    if side == REFERENCE_SIZE:
        return pixels
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((REFERENCE_SIZE,) * 2, Image.Resampling.NEAREST))


def draw_rows(
    rows: Sequence[tuple[str, Instruction, Sequence[Image.Image]]], images: int
) -> Image.Image:
    """Instruction, references and results side by side, a row each."""
    gap = 8
    width = _TEXT_WIDTH + (2 + images) * (_CELL + gap)
    canvas = Image.new("RGB", (width, _HEADER + len(rows) * (_CELL + gap)), "white")
    pen = ImageDraw.Draw(canvas)
    heads = ["instruction", "[ref#1]", "[ref#2]", *["result"] * images]
    lefts = [4, *(_TEXT_WIDTH + column * (_CELL + gap) for column in range(2 + images))]
    for left, head in zip(lefts, heads, strict=True):
        pen.text((left, 2), head, fill="black")
    for number, (title, instruction, results) in enumerate(rows):
        top = _HEADER + number * (_CELL + gap)
        lines = [title.replace("_", " ").upper(), "", *textwrap.wrap(instruction.text, 44)]
        pen.multiline_text((4, top + 8), "\n".join(lines), fill="black", spacing=5)
        shown = [load_image(reference.image) for reference in instruction.references[:2]]
        for column, image in enumerate([*shown, *[None] * (2 - len(shown)), *results]):
            if image is not None:
                enlarged = image.resize((_CELL, _CELL), Image.Resampling.NEAREST)
                canvas.paste(enlarged, (lefts[column + 1], top))
    return canvas
