"""What perceptual quality says of real renders, of what training never shows, and of faults.

    python benchmarks/quality.py --size 32

Shares of PQ 1, 0.5 and 0 of renders that nothing was fixed on: of the training split, of held-out
concepts, of the held-out style, and of the first with each fault in three strengths, of which the
judge was not taught the last two (melt, break); and milliseconds an image on one core. Prints a
table and writes out/quality.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.faces import heldout_faces
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.vocabulary import (
    Vocabulary,
    heldout_vocabulary,
    training_vocabulary,
    world_concepts,
)
from instruct_imagen.evaluation.corruptions import (
    CORRUPTIONS,
    STRENGTHS,
    UNTAUGHT,
    corrupted,
    is_seen,
)
from instruct_imagen.evaluation.judges.quality import QualityMeasure
from instruct_imagen.evaluation.quality_lessons import real_scenes, rendered

SEED = 7_000_000


def renders(vocabulary: Vocabulary, count: int, seed: int, size: int) -> np.ndarray:
    """Of scenes that no file was made with."""
    scenes = real_scenes(vocabulary, count, seed)
    pairs = {(asset.concept, asset.style) for scene in scenes for asset in scene.placements}
    return rendered(scenes, Atlas.build(sorted(pairs)), size)


def worlds() -> dict[str, Vocabulary]:
    """Training split, held-out concepts and people, held-out style."""
    training = training_vocabulary(sources=("emoji", "faces"), people=100)
    held = heldout_vocabulary()
    style = holdout().style
    pairs = tuple((concept, style) for concept, some in world_concepts().items() if style in some)
    return {
        "training split": training,
        "held-out concepts": Vocabulary(held.pairs, faces=heldout_faces()),
        "held-out style": Vocabulary(pairs),
    }


def shares(measure: QualityMeasure, images: Sequence[np.ndarray]) -> list[float]:
    """Of PQ 1, 0.5 and 0."""
    scores = np.array([one for one, _, _ in measure.score(images)])
    return [float((scores == value).mean()) for value in (1.0, 0.5, 0.0)]


def main() -> None:
    """Prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--count", type=int, default=1000, help="renders of each world (1000)")
    parser.add_argument("--faulty", type=int, default=300, help="of each fault (300)")
    parser.add_argument("--file", type=Path, help="of quality_fit; the package's own by default")
    parser.add_argument("--out", type=Path, default=Path("out/quality.json"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    measure = QualityMeasure(chosen.file)
    found: dict[str, list[float]] = {}
    for number, (name, vocabulary) in enumerate(worlds().items()):
        images = renders(vocabulary, chosen.count, SEED + number, chosen.size)
        if not number:
            own = images
        found[name] = shares(measure, list(images))
    for fault in (*CORRUPTIONS, *UNTAUGHT):
        for strength in STRENGTHS:
            worse = []
            for number in range(min(chosen.faulty, len(own))):
                image, rng = own[number], scene_rng(SEED + 10, number)
                one = corrupted(image, fault, strength, rng, own[number - 1])
                if is_seen(image, one, strength):
                    worse.append(one)
            found[f"{fault}, {strength}"] = shares(measure, worse)
    start, repeats = time.process_time(), 30
    for image in own[:repeats]:
        measure.score([image])
    milliseconds = 1000 * (time.process_time() - start) / repeats
    print(f"{chosen.size} pixels, {measure.fingerprint}      1   0.5     0")
    for name, (good, light, bad) in found.items():
        print(f"{name:28} {good:5.3f} {light:5.3f} {bad:5.3f}")
    print(f"{milliseconds:.1f} ms an image, one at a time, on one core")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"size": chosen.size, "fingerprint": measure.fingerprint, "shares": found}
    chosen.out.write_text(json.dumps({**record, "ms": milliseconds}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
