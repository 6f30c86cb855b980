"""Images per second of each annotator, on one core.

Annotates the same scenes of the world with each annotator in turns of one thread and prints medians
with quartiles; writes out/annotators.json. Seconds are those that the processor worked for this
process, so other work beside it matters little, and waiting for a disk not at all. Networks that
are not part of an installation are measured with random weights in the shape of published ones:
depth as Depth Anything V2 Small, mask as SegFormer B0. `cached` is edge with everything in its
cache.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTImageProcessorPil,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
)

from instruct_imagen.data.annotators.base import Annotator
from instruct_imagen.data.annotators.cache import CachedAnnotator
from instruct_imagen.data.annotators.registry import annotator
from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.vocabulary import training_vocabulary
from instruct_imagen.training.card import code_commit, machine_name


def scenes(count: int, size: int) -> list[Image.Image]:
    """Pictures of the world."""
    words = training_vocabulary()
    drawn = [sample_scene(scene_rng(0, number), words) for number in range(count)]
    used = {(asset.concept, asset.style) for scene in drawn for asset in scene.placements}
    pixels = render_pictures([Picture(scene=one) for one in drawn], Atlas.build(sorted(used)), size)
    return [Image.fromarray(one) for one in pixels.permute(0, 2, 3, 1).numpy()]


def depth_anything(folder: Path) -> str:
    """Shape of Depth Anything V2 Small: 25M parameters, 518 pixels."""
    backbone = Dinov2Config(
        hidden_size=384,
        num_attention_heads=6,
        patch_size=14,
        image_size=518,
        out_indices=[3, 6, 9, 12],
        reshape_hidden_states=False,
    )
    DepthAnythingForDepthEstimation(DepthAnythingConfig(backbone_config=backbone)).save_pretrained(
        folder
    )
    DPTImageProcessorPil(
        size={"height": 518, "width": 518}, keep_aspect_ratio=True, ensure_multiple_of=14
    ).save_pretrained(folder)
    return str(folder)


def segformer(folder: Path) -> str:
    """Shape of SegFormer B0: 3.7M parameters, 512 pixels."""
    labels = {0: "background"} | {number: f"object {number}" for number in range(1, 21)}
    config = SegformerConfig(id2label=labels, label2id={name: k for k, name in labels.items()})
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessorPil().save_pretrained(folder)
    return str(folder)


def main() -> None:
    """Measures, then prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", type=int, default=256, help="pixels of an image")
    arguments.add_argument("--count", type=int, default=4, help="images a turn")
    arguments.add_argument("--turns", type=int, default=6, help="of each annotator")
    arguments.add_argument("--out", type=Path, default=Path("out/annotators.json"))
    chosen = arguments.parse_args()
    if chosen.turns < 2:
        arguments.error("--turns must be at least 2: a spread needs two figures")
    torch.set_num_threads(1)
    images = scenes(chosen.count, chosen.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        edge = annotator("edge")
        sides: dict[str, Annotator] = {
            "canny": annotator("canny"),
            "sketch": annotator("sketch"),
            "edge": edge,
            "depth": annotator("depth", model=depth_anything(folder / "depth")),
            "mask": annotator("mask", model=segformer(folder / "mask")),
            "cached": CachedAnnotator(edge, folder / "cache"),
        }
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(chosen.turns + 1):  # the first one warms up
            for side, own in sides.items():
                start = time.process_time()
                own(images)
                taken = time.process_time() - start
                if turn:
                    rates[side].append(len(images) / taken)
    found = {side: statistics.quantiles(values, n=4) for side, values in rates.items()}
    for side, (low, middle, high) in found.items():
        print(f"{side:8s}{middle:9.2f} images/s [{low:.2f}, {high:.2f}]")
    facts = {"commit": code_commit(), "machine": machine_name("cpu"), "size": chosen.size}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({**facts, "images_per_s": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
