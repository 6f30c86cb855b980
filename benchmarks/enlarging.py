"""Ways to enlarge a small picture, and tables of what they come to: shared by the benchmarks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from instruct_imagen import InstructImagenPipeline, SuperResolutionPipeline
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.statistics import Estimate, compare, group_average
from instruct_imagen.images import save_png
from instruct_imagen.pipeline import UPSCALER, saved_pipeline

BATCH = 4

Enlarge = Callable[[Sequence[Case], Sequence[Image.Image]], list[np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to enlarge.

    Attributes:
        name: Of it.
        enlarge: (cases, small pictures) -> large ones, uint8 (S, S, 3).
    """

    name: str
    enlarge: Enlarge


def plain(
    filter_: Image.Resampling, size: int, cases: Sequence[Case], small: Sequence[Image.Image]
) -> list[np.ndarray]:
    """By a filter."""
    return [np.asarray(image.resize((size, size), filter_)) for image in small]


def upscaled(
    pipeline: SuperResolutionPipeline,
    steps: int,
    cases: Sequence[Case],
    small: Sequence[Image.Image],
) -> list[np.ndarray]:
    """By an upscaler, each case with noise of its own seed."""
    output = pipeline(
        [case.instruction for case in cases],
        list(small),
        num_inference_steps=steps,
        generator=[torch.Generator().manual_seed(case.seed) for case in cases],
    )
    return [np.asarray(image) for image in output.images]


def lent(
    pipeline: SuperResolutionPipeline, cases: Sequence[Case], small: Sequence[Image.Image]
) -> list[np.ndarray]:
    """By bicubic resampling, with what references lend and nothing that was learnt."""
    found = pipeline.lent([case.instruction for case in cases], list(small))
    return [np.asarray(image) for image in found]


def batches(
    cases: Sequence[Case], small: Sequence[Image.Image], enlarge: Enlarge
) -> list[np.ndarray]:
    """A few at a time."""
    found: list[np.ndarray] = []
    for start in range(0, len(cases), BATCH):
        found += enlarge(cases[start : start + BATCH], small[start : start + BATCH])
    return found


def opened(folder: Path) -> tuple[SuperResolutionPipeline, SuperResolutionPipeline]:
    """An upscaler that sees references, and the same one that does not."""
    pipelines = [
        SuperResolutionPipeline.from_pretrained(folder, references=kept) for kept in (True, False)
    ]
    for pipeline in pipelines:
        pipeline.set_progress_bar_config(disable=True)
    return pipelines[0], pipelines[1]


def arms_of(name: str | Path, steps: Sequence[int]) -> tuple[list[Arm], int, int]:
    """All ways to enlarge: an upscaler with references, without, and resampling without a network.

    Args:
        name: A saved upscaler; one that was trained on text alone has no arm with references.
        steps: Of it, for each an arm of either kind.

    Returns:
        The arms, and the sides in pixels of what comes out and of what goes in.

    Raises:
        ModelError: There is no such upscaler.
    """
    folder = saved_pipeline(name, UPSCALER)
    seeing, blind = opened(folder)
    trained = json.loads((folder / "model_index.json").read_text()).get("references", True)
    arms = [
        Arm(name=f"{kind}, {count} steps", enlarge=partial(upscaled, pipeline, count))
        for count in steps
        for kind, pipeline in (("references", seeing), ("no references", blind))
        if trained or pipeline is blind
    ]
    if trained:
        arms.append(Arm(name="lent details alone", enlarge=partial(lent, seeing)))
    filters = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    arms += [
        Arm(name=one.name.lower(), enlarge=partial(plain, one, seeing.size)) for one in filters
    ]
    return arms, seeing.size, seeing.low_size


def shrunk(pictures: Sequence[np.ndarray], low: int) -> list[Image.Image]:
    """True small pictures, by averages over areas."""
    return [Image.fromarray(one).resize((low, low), Image.Resampling.BOX) for one in pictures]


def drawn_by(base: str, cases: Sequence[Case]) -> list[Image.Image]:
    """What a base model draws of cases, each with noise of its own seed."""
    pipeline = InstructImagenPipeline.from_pretrained(saved_pipeline(base))
    pipeline.set_progress_bar_config(disable=True)
    return [
        pipeline(case.instruction, generator=torch.Generator().manual_seed(case.seed)).images[0]
        for case in cases
    ]


def by_group(cases: Sequence[Case], values: Sequence[float]) -> list[list[float]]:
    """Values, group by group."""
    groups: dict[str, list[float]] = defaultdict(list)
    for case, value in zip(cases, values, strict=True):
        groups[case.group].append(value)
    return list(groups.values())


def pairs_of(arms: Sequence[str]) -> list[tuple[str, str]]:
    """Which arms are compared.

    With references and without, at as many steps; the first to each way without a network; each
    number of steps to the one before.
    """
    found = [
        (one, f"no {one}") for one in arms if one.startswith("references") and f"no {one}" in arms
    ]
    found += [(arms[0], one) for one in arms if "references" not in one]
    for kind in ("references", "no references"):
        same = [one for one in arms if one.startswith(f"{kind},")]
        found += [(later, earlier) for earlier, later in pairwise(same)]
    return found


def interval(found: Estimate, digits: str) -> str:
    """A mean with its interval, where one is known."""
    value = format(found.value, digits)
    if not np.isfinite(found.low):
        return value
    return f"{value} [{format(found.low, digits)}, {format(found.high, digits)}]"


def told(
    title: str, cases: Sequence[Case], rows: Mapping[str, Mapping[str, Sequence[float]]]
) -> None:
    """Prints two tables: means with 95% intervals, and paired differences of `pairs_of` the arms.

    Args:
        title: Of both.
        cases: Which the values are of.
        rows: Arm → measure → a value for each case.
    """
    names = list(next(iter(rows.values())))
    lines = [f"| {title}, {len(cases)} cases | {' | '.join(names)} |", "|---" * (len(names) + 1)]
    lines[-1] += "|"
    for arm, values in rows.items():
        cells = [group_average(by_group(cases, values[name])) for name in names]
        shown = (interval(cell, ".3f") for cell in cells)
        lines.append(f"| {arm} | {' | '.join(shown)} |")
    for first, second in pairs_of(list(rows)):
        sides = [[by_group(cases, rows[arm][name]) for arm in (first, second)] for name in names]
        found = [compare(*side).difference for side in sides]
        shown = (interval(cell, "+.3f") for cell in found)
        lines.append(f"| {first} − {second} | {' | '.join(shown)} |")
    print("\n" + "\n".join(lines), flush=True)


def sheet(
    cases: Sequence[Case], columns: dict[str, Sequence[np.ndarray]], path: Path, rows: int = 16
) -> None:
    """Columns side by side, spread over the cases; the true picture last."""
    chosen = np.linspace(0, len(cases) - 1, min(rows, len(cases))).astype(int)
    side = 128
    shown = [*columns.values(), [case.target for case in cases]]
    canvas = Image.new("RGB", (side * len(shown), side * len(chosen)))
    for row, number in enumerate(chosen):
        for column, images in enumerate(shown):
            image = Image.fromarray(images[number]).resize((side, side), Image.Resampling.LANCZOS)
            canvas.paste(image, (column * side, row * side))
    save_png(path, canvas)
    print(f"{path}: {', '.join(columns)}, true")
