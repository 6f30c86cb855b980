"""What it is worth that half of the context heads start at their own place ([Hu24] has no such).

Trains the starter twice from nothing on the same examples and noise, once with the positional
start of `ContextAttnProcessor.reset_parameters` and once with all position weights small and
random, and prints the mean v loss of each task over the last third. Writes
out/attention_start.json. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.average import Average
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.loop import Trainer

ARMS = ("own place", "random")


def train(arm: str, folder: Path, images: int) -> dict[str, Any]:
    """One run of `images` images of the mixture of `layouts`; its log's figures by name."""
    shutil.rmtree(folder, ignore_errors=True)
    lengths = [f"{stage}.images=0" for stage in ("pretrain", "retrieval", "subjects", "instruct")]
    settings = [f"layouts.images={images}", f"out={folder}", "sheet_every=0", "checkpoint_every=0"]
    trainer = Trainer(override(recipe("starter"), [*lengths, *settings]))
    if arm == "random":
        generator = torch.Generator().manual_seed(1)
        for site in trainer.model.sites:
            for layer in (site.position_q, site.position_k):
                nn.init.normal_(layer.weight, std=0.02, generator=generator)
        trainer.average = Average(trainer.model.parameters(), trainer.config.ema_decay)
    trainer.run()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    found = defaultdict(list)
    for line in lines:
        if line["images"] > images * 2 / 3:
            for name, value in line.items():
                if name.startswith("loss"):
                    found[name].append(value)
    return {name: statistics.mean(values) for name, values in found.items()}


def main() -> None:
    """Both arms, then the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=9_600, help="of each arm")
    arguments.add_argument("--out", type=Path, default=Path("out/attention_start.json"))
    chosen = arguments.parse_args()
    if chosen.images < 1920:
        arguments.error("--images must be at least 1920: the last third needs a line of the log")
    runs = chosen.out.with_name(f"{chosen.out.stem}-runs")
    arms = {arm: train(arm, runs / arm.replace(" ", "_"), chosen.images) for arm in ARMS}
    print(f"{'':24s}" + "".join(f"{arm:>12s}" for arm in ARMS))
    for name in sorted(arms[ARMS[0]]):
        print(f"{name:24s}" + "".join(f"{arms[arm][name]:12.4f}" for arm in ARMS))
    figures = {"commit": code_commit(), "machine": machine_name("cpu"), "images": chosen.images}
    chosen.out.write_text(json.dumps({**figures, "loss": arms}, indent=1) + "\n")


if __name__ == "__main__":
    main()
