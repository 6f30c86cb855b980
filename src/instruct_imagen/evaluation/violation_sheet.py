"""Violations to look at: references, target and what was made of it, side by side."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.known_answers import SEED
from instruct_imagen.evaluation.scene_changes import Props
from instruct_imagen.evaluation.violations import Violation, violations

_CELL, _GAP, _TEXT = 96, 4, 300
_SHOWN = 4
"""References of a row at most."""


def violation_sheets(
    cases: Sequence[Case], props: Props, size: int, *, rows: int = 10
) -> Iterator[tuple[str, Image.Image]]:
    """A sheet for each kind of condition and change: its name, and up to `rows` rows.

    Args:
        cases: Of the world.
        props: See `violations`.
        size: Side at which all is drawn, before it is enlarged pixel by pixel.
        rows: Of a sheet; they come from all groups in turn.
    """
    found: dict[str, list[tuple[Case, Violation]]] = defaultdict(list)
    for case in cases:
        number = int(case.id.rpartition("/")[2])
        for violation in violations(case, props, scene_rng(SEED + 900, number)):
            kind = next(one.kind for one in case.conditions if one.name == violation.condition)
            found[f"{kind} {violation.done}".replace(" ", "_")].append((case, violation))
    for name, some in found.items():
        step = max(len(some) // rows, 1)
        yield name, _sheet(some[::step][:rows], props, size)


def _sheet(rows: Sequence[tuple[Case, Violation]], props: Props, size: int) -> Image.Image:
    width = _TEXT + (_SHOWN + 2) * (_CELL + _GAP)
    canvas = Image.new("RGB", (width, len(rows) * (_CELL + _GAP)), "white")
    pen = ImageDraw.Draw(canvas)
    for number, (case, violation) in enumerate(rows):
        top = number * (_CELL + _GAP)
        conditions = ", ".join(one.name for one in case.conditions)
        words = f"{case.id} VIOLATED {violation.condition} of {conditions}: {case.instruction.text}"
        lines = textwrap.wrap(words, 48)[:7]
        pen.multiline_text((2, top), "\n".join(lines), fill="black")
        shown = [np.asarray(one.image) for one in case.instruction.references[:_SHOWN]]
        pixels = render_pictures([Picture(scene=violation.scene)], props.atlas, size)[0]
        shown += [np.asarray(case.target), pixels.permute(1, 2, 0).numpy()]
        for column, image in enumerate(shown, start=_SHOWN + 2 - len(shown)):
            cell = Image.fromarray(image).resize((_CELL, _CELL), Image.Resampling.NEAREST)
            canvas.paste(cell, (_TEXT + column * (_CELL + _GAP), top))
    return canvas
