"""The demo: instructions of the mixture, one that combines two, and edits, drawn by a cascade."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from instruct_imagen.cascade import Cascade
from instruct_imagen.data.example import Example
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.sources import WorldUnavailable
from instruct_imagen.demo_cases import demo_cases, fallback_cases, is_edit
from instruct_imagen.demo_sheet import draw_sheet
from instruct_imagen.evaluation.cases import to_instruction
from instruct_imagen.images import save_png
from instruct_imagen.instruction import Instruction

REFERENCE_SIZE = 256
EDITED_SIZE = (320, 400)
"""(width, height) of pictures that are edited."""


def run_demo(
    cascade: Cascade,
    folder: Path,
    *,
    steps: int = 25,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[Path, str]:
    """Draws the demo.

    Args:
        cascade: What draws, with or without an upscaler.
        folder: For each task ``<task>.png`` and ``<task>/instruction.json`` with its references;
            and ``sheet.png``.
        steps: Sampling steps of the base model.
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
        pictures = draw_references(example, atlas)
        instruction = to_instruction(example, pictures, instruction=cascade.instruction)
        name = title.replace(" + ", "_and_").replace(" ", "_")
        # Written and read again, so that what is shown is what `generate --instruction` gives.
        (folder / name).mkdir(parents=True, exist_ok=True)
        instruction.to_json(folder / name / "instruction.json")
        instruction = Instruction.from_json(folder / name / "instruction.json")
        results = cascade(
            instruction,
            num_inference_steps=steps,
            generator=torch.Generator().manual_seed(0),
        ).images
        save_png(folder / f"{name}.png", results[0])
        rows.append((title, instruction, results))
        report(f"{len(rows)} of {len(cases)}: {title}")
    save_png(folder / "sheet.png", draw_sheet(rows))
    return folder / "sheet.png", note


def draw_references(example: Example, atlas: Atlas) -> list[np.ndarray]:
    """The references of an example, each uint8 (H, W, 3).

    Returns:
        Squares of `REFERENCE_SIZE`; source and mask of an edit have `EDITED_SIZE`, cut out of the
        middle of the scene.
    """
    edit = is_edit(example.references)
    found = []
    for reference in example.references:
        cut = edit and reference.role in ("source", "mask")
        side = max(EDITED_SIZE) if cut else REFERENCE_SIZE
        pixels = render_pictures([reference.picture], atlas, side)[0]
        pixels = pixels.permute(1, 2, 0).numpy()
        if cut:
            left, top = ((side - length) // 2 for length in EDITED_SIZE)
            pixels = pixels[top : top + EDITED_SIZE[1], left : left + EDITED_SIZE[0]]
        found.append(pixels)
    return found
