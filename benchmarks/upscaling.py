"""What an upscaler makes of small pictures: with references, without, and without a network.

Cases of a frozen suite, whose concepts and people no training has shown where the suite says so.
The true small pictures are enlarged, and what a base model draws; `lent details alone` is the
bicubic picture with what references lend, which the network starts from. Either way large pictures
are compared with the true ones: PSNR, SSIM, and the distance of features (1 - cosine of
EfficientNet-Lite0's at 224 pixels); and the truth judge judges them, at 64 pixels as it does all.
`identity` and `apart` are of those cases alone whose references show a subject or a face: what the
judge says of these conditions, and how far the picture is from the very drawing, in colours of 255.
Intervals are bootstrapped over cases, group by group, and paired between arms. Prints Markdown
tables, writes a JSON file and sheets to look at.

    python benchmarks/upscaling.py out/my_upscaler --limit 5
    python benchmarks/upscaling.py out/my_upscaler --limit 3 --steps 2 4 8 16 32 64 --no-base
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from enlarging import arms_of, batches, drawn_by, sheet, shrunk, told
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.nn.functional import cosine_similarity, interpolate

from instruct_imagen.efficientnet import MEAN, SCALE, efficientnet_lite0
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.runner import selected
from instruct_imagen.evaluation.suites.world import world_suite

OF_IDENTITY = ("subject", "face")
"""Kinds of conditions that ask for the identity of what references show."""

DISTANCES = (" difference", " from drawing")
"""Ends of the names of measures that say how far something is from its very drawing."""


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


def of_identity(case: Case, verdict: Verdict) -> list[Score]:
    """What a verdict says of the identity of subjects and faces; empty where none is shown."""
    kinds = {one.name: one.kind for one in case.conditions}
    return [one for one in verdict.scores if kinds[one.condition] in OF_IDENTITY]


def identity(scores: Sequence[Sequence[Score]]) -> dict[str, list[float]]:
    """For each case, its scores of identity and distances from the very drawings, averaged."""
    return {
        "identity": [mean(one.value for one in case) for case in scores],
        "apart": [
            mean(
                value
                for one in case
                for name, value in one.measures.items()
                if name.endswith(DISTANCES)
            )
            for case in scores
        ],
    }


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
    arms, size, low = arms_of(chosen.upscaler, chosen.steps)
    suite = world_suite(chosen.suite)
    unknown = sorted(set(chosen.groups) - set(suite.groups))
    if unknown:
        parser.error(f"no group {', '.join(unknown)}: use some of {', '.join(suite.groups)}")
    every = suite.cases(size)
    cases = [every[place] for place in selected(suite.groups, chosen.limit, chosen.groups)]
    targets = [case.target for case in cases]
    inputs = {"true small pictures": shrunk(targets, low)}
    if not chosen.no_base:
        inputs["what the base model draws"] = drawn_by(chosen.base, cases)
    judge = open_judge("truth")
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    shown = []
    for title, pictures in inputs.items():
        rows, persons, drawn = {}, {}, {}
        for arm in arms:
            began = time.process_time()
            drawn[arm.name] = batches(cases, pictures, arm.enlarge)
            took = (time.process_time() - began) / len(cases)
            print(f"{arm.name}: {took:.2f} processor seconds a picture", flush=True)
            verdicts = judge.judge(cases, drawn[arm.name])
            rows[arm.name] = {
                **measured(drawn[arm.name], targets),
                "sc": [one.sc for one in verdicts],
                "pq": [one.pq for one in verdicts],
            }
            found = [of_identity(*pair) for pair in zip(cases, verdicts, strict=True)]
            shown = [case for case, scores in zip(cases, found, strict=True) if scores]
            persons[arm.name] = identity([scores for scores in found if scores])
        told(title, cases, rows)
        if shown:
            told(f"{title}: identity", shown, persons)
        results[title] = {arm.name: rows[arm.name] | persons[arm.name] for arm in arms}
        name = title.replace(" ", "_")
        sheet(cases, drawn, chosen.out.with_name(f"{chosen.out.stem}_{name}.png"))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "upscaler": str(chosen.upscaler),
        "suite": chosen.suite,
        "cases": [case.id for case in cases],
        "cases of identity": [case.id for case in shown],
    }
    chosen.out.write_text(json.dumps(about | {"measures": results}, indent=1))


if __name__ == "__main__":
    main()
