"""What an upscaler makes of small pictures: with references, without, and by plain resampling.

Cases of a frozen suite, whose concepts and people no training has shown where the suite says so.
The true small pictures are enlarged and compared with the true large ones: PSNR, SSIM, and the
distance of features (1 - cosine of EfficientNet-Lite0's at 224 pixels). What a base model draws is
enlarged too, and judged by the truth judge; features are compared with the target's there as well.
Intervals are bootstrapped over cases, group by group. Writes a JSON file, and a sheet to look at.

    python benchmarks/upscaling.py out/my_upscaler --limit 5
    python benchmarks/upscaling.py out/my_upscaler --limit 3 --steps 2 4 8 16 32 64 --no-base
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate

from instruct_imagen import InstructImagenPipeline, SuperResolutionPipeline
from instruct_imagen.efficientnet import MEAN, SCALE, efficientnet_lite0
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.runner import selected
from instruct_imagen.evaluation.statistics import compare, group_average
from instruct_imagen.evaluation.suites.world import world_suite
from instruct_imagen.images import save_png
from instruct_imagen.pipeline import UPSCALER, saved_pipeline

BATCH = 4
MEASURES = {"psnr": 1, "ssim": 1, "features": -1, "sc": 1, "pq": 1}
"""Measure -> 1 where more is better, -1 where less is."""

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


@torch.inference_mode()
def features(images: Sequence[np.ndarray]) -> Tensor:
    """(N, 1280) of uint8 (H, W, 3)."""
    network = efficientnet_lite0()
    found = []
    for image in images:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
        seen = interpolate(pixels, (224, 224), mode="area")
        found.append(network.extract_features((seen - MEAN) / SCALE).mean((2, 3))[0])
    return torch.stack(found)


def measured(images: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """How far from the true pictures."""
    apart = 1 - cosine_similarity(features(images), features(targets))
    pairs = list(zip(images, targets, strict=True))
    return {
        "psnr": [min(peak_signal_noise_ratio(true, one), 100.0) for one, true in pairs],
        "ssim": [structural_similarity(true, one, channel_axis=2) for one, true in pairs],
        "features": apart.tolist(),
    }


def by_group(cases: Sequence[Case], values: Sequence[float]) -> list[list[float]]:
    """Values, group by group."""
    groups: dict[str, list[float]] = defaultdict(list)
    for case, value in zip(cases, values, strict=True):
        groups[case.group].append(value)
    return list(groups.values())


def batches(
    cases: Sequence[Case], small: Sequence[Image.Image], enlarge: Enlarge
) -> list[np.ndarray]:
    """A few at a time."""
    found: list[np.ndarray] = []
    for start in range(0, len(cases), BATCH):
        found += enlarge(cases[start : start + BATCH], small[start : start + BATCH])
    return found


def told(title: str, cases: Sequence[Case], rows: dict[str, dict[str, list[float]]]) -> None:
    """Prints a table: means with intervals, and what the first arm gains over each other."""
    names = [name for name in MEASURES if name in next(iter(rows.values()))]
    print(f"\n{title}, {len(cases)} cases\n{'':22}" + "".join(f"{name:>27}" for name in names))
    for arm, values in rows.items():
        cells = [group_average(by_group(cases, values[name])) for name in names]
        line = "".join(f"{c.value:11.4f} [{c.low:.4f}, {c.high:.4f}]" for c in cells)
        print(f"{arm:22}{line}")
    first = next(iter(rows))
    for arm in list(rows)[1:]:
        cells = [
            compare(by_group(cases, rows[first][name]), by_group(cases, rows[arm][name]))
            for name in names
        ]
        line = "".join(
            f"{c.difference.value:+11.4f} [{c.difference.low:+.4f}, {c.difference.high:+.4f}]"
            for c in cells
        )
        print(f"{first + ' - ' + arm:22}{line}")


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


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upscaler", help="a saved upscaler")
    parser.add_argument("--base", default="starter", help="a saved base model (starter)")
    parser.add_argument("--suite", default="in_domain", help="of the world (in_domain)")
    parser.add_argument("--groups", nargs="+", default=(), help="of the suite (all)")
    parser.add_argument("--limit", type=int, default=5, help="cases of each group (5)")
    parser.add_argument("--steps", type=int, nargs="+", default=[8], help="of the upscaler (8)")
    parser.add_argument("--no-base", action="store_true", help="true small pictures alone")
    parser.add_argument("--out", type=Path, default=Path("out/upscaling.json"))
    chosen = parser.parse_args()
    folder = saved_pipeline(chosen.upscaler, UPSCALER)
    seeing, blind = (
        SuperResolutionPipeline.from_pretrained(folder, references=kept) for kept in (True, False)
    )
    trained = json.loads((folder / "model_index.json").read_text()).get("references", True)
    base = InstructImagenPipeline.from_pretrained(saved_pipeline(chosen.base))
    for pipeline in (seeing, blind, base):
        pipeline.set_progress_bar_config(disable=True)
    size, low = seeing.size, seeing.low_size
    suite = world_suite(chosen.suite)
    every = suite.cases(size)
    cases = [every[place] for place in selected(suite.groups, chosen.limit, chosen.groups)]
    targets = [case.target for case in cases]
    arms = [
        Arm(name=f"{name}, {steps} steps", enlarge=partial(upscaled, pipeline, steps))
        for steps in chosen.steps
        for name, pipeline in (("references", seeing), ("no references", blind))
        if trained or pipeline is blind
    ]
    filters = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    arms += [Arm(name=one.name.lower(), enlarge=partial(plain, one, size)) for one in filters]
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    small = [Image.fromarray(one).resize((low, low), Image.Resampling.BOX) for one in targets]
    inputs = {"true small pictures": small}
    if not chosen.no_base:
        inputs["what the base model draws"] = [
            base(case.instruction, generator=torch.Generator().manual_seed(case.seed)).images[0]
            for case in cases
        ]
    judge = open_judge("truth")
    for title, pictures in inputs.items():
        rows, drawn = {}, {}
        for arm in arms:
            began = time.process_time()
            drawn[arm.name] = batches(cases, pictures, arm.enlarge)
            took = (time.process_time() - began) / len(cases)
            rows[arm.name] = measured(drawn[arm.name], targets)
            if pictures is not small:
                verdicts = judge.judge(cases, drawn[arm.name])
                rows[arm.name] |= {
                    "sc": [one.sc for one in verdicts],
                    "pq": [one.pq for one in verdicts],
                }
            print(f"{arm.name}: {took:.2f} processor seconds a picture", flush=True)
        told(title, cases, rows)
        results[title] = rows
        name = title.replace(" ", "_")
        sheet(cases, drawn, chosen.out.with_name(f"{chosen.out.stem}_{name}.png"))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"upscaler": str(folder), "suite": chosen.suite, "cases": [case.id for case in cases]}
    chosen.out.write_text(json.dumps(about | {"measures": results}, indent=1))


if __name__ == "__main__":
    main()
