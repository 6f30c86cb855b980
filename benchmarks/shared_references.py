"""What it is worth that targets of one cluster share their references in stage 1.

Trains the starter from nothing on stage 1 alone, once for each pair of `noises` and `targets`, all
in turns of eight steps, so that a slow moment of the machine meets every arm. Prints the time of a
step, and the v loss of the averaged weights on examples that no arm trains on, after as many images
and after as many seconds. Writes out/shared_references.json. A call lasts `--minutes`; called again
it goes on, until every arm has seen `--images`. Nothing else should be running.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.recipes import override, recipe
from instruct_imagen.recipes.config import Stage
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.draws import draw
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.step import TrainingStep, encode_batch

ARMS = ((2, 1), (2, 2), (1, 1), (1, 2))
TURN = 8  # steps, whose texts are encoded together
EVERY = 1_536  # images between two measurements of the loss
HELD = 512
HELD_SEED = 10**6


def arm_name(noises: int, targets: int) -> str:
    """As it stands in the table."""
    return f"noises={noises} targets={targets}"


def trainer_of(name: str, folder: Path, images: int, reproduce: float) -> Trainer:
    """The training of an arm, as far as it has come."""
    ratios = {"retrieval": 1 - reproduce, "reproduce": reproduce}
    config = replace(
        recipe("starter"), stages=(Stage(name="retrieval", images=images, ratios=ratios),)
    )
    settings = [*name.split(), f"out={folder / name.replace(' ', '-')}", "trackers="]
    trainer = Trainer(override(config, settings))
    trainer.begin_stage()
    return trainer


@torch.no_grad()
def held_loss(trainer: Trainer) -> float:
    """The mean v loss of the averaged weights on `HELD` examples of stage 1."""
    task = all_tasks()["retrieval"]()
    step = TrainingStep(trainer.averaged().unet)
    losses: list[float] = []
    for start in range(0, HELD, 64):
        rows = range(start, start + 64)
        examples = [task.example(scene_rng(HELD_SEED, i), trainer.world.vocabulary) for i in rows]
        batch = make_batch(examples, trainer.world.atlas, trainer.config.size)
        encoded = encode_batch(
            batch, trainer.encoder, device=torch.device("cpu"), channels_last=True
        )
        shift = trainer.config.timestep_shift
        shape = encoded.images.shape[1:]
        draws = draw(HELD_SEED, start, rows=range(64), total=64, shape=shape, shift=shift)
        with torch.autocast("cpu", torch.bfloat16):
            losses += step(encoded, draws).tolist()
    return statistics.mean(losses)


def train(trainers: dict[str, Trainer], found: dict[str, Any], images: int, ends: float) -> None:
    """Turns of all arms until they have seen `images` or the time is up."""
    while time.monotonic() < ends and any(one.images < images for one in trainers.values()):
        for name, trainer in trainers.items():
            row = found.setdefault(name, {"turn_s": [], "loss": {}})
            start = time.perf_counter()
            for _ in range(TURN):
                trainer.step()
            row["turn_s"].append(time.perf_counter() - start)
            row["gflop_an_image"] = trainer.backward.work / trainer.config.batch_size
            trainer.record.window.clear()
            if trainer.images % EVERY == 0:
                row["loss"][str(trainer.images)] = held_loss(trainer)


def loss_after(row: dict[str, Any], seconds: float, size: int) -> float:
    """The loss of an arm after so many seconds, in a straight line between two measurements."""
    pace = statistics.median(row["turn_s"]) / (TURN * size)
    points = [(int(images) * pace, loss) for images, loss in row["loss"].items()]
    for (early, before), (late, after) in pairwise(points):
        if early <= seconds <= late * (1 + 1e-9):
            return before + (after - before) * (seconds - early) / (late - early)
    return float("nan")


def show(found: dict[str, Any], size: int) -> None:
    """Prints the table and adds what it says to the figures."""
    paces = {name: statistics.median(row["turn_s"]) / TURN for name, row in found.items()}
    seen = min(max(map(int, row["loss"]), default=0) for row in found.values())
    if not seen:
        raise SystemExit(f"no arm has seen {EVERY} images yet: call again")
    seconds = seen / size * min(paces.values())
    print(
        f"{'':22s}{'step ms':>9s}{'quartiles':>16s}{'GFLOP/image':>13s}"
        f"{f'loss at {seen:,} images':>24s}{f'at {seconds:.0f} s':>12s}"
    )
    for name, row in found.items():
        low, _, high = statistics.quantiles(row["turn_s"], n=4)
        row["step_s"] = {"median": paces[name], "low": low / TURN, "high": high / TURN}
        row["loss_at_equal_time"] = {f"{seconds:.1f} s": loss_after(row, seconds, size)}
        print(
            f"{name:22s}{paces[name] * 1e3:9.0f}"
            f"{f'[{low / TURN * 1e3:.0f}, {high / TURN * 1e3:.0f}]':>16s}"
            f"{row['gflop_an_image']:13.2f}{row['loss'][str(seen)]:24.4f}"
            f"{loss_after(row, seconds, size):12.4f}"
        )


def main() -> None:
    """Goes on with all arms, then the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--images", type=int, default=9_216, help="of each arm")
    arguments.add_argument("--minutes", type=float, default=60.0, help="of this call")
    arguments.add_argument("--reproduce", type=float, default=0.0, help="share of that task")
    arguments.add_argument("--out", type=Path, default=Path("out/shared_references.json"))
    chosen = arguments.parse_args()
    if chosen.images < 2 * EVERY:
        arguments.error(f"--images must be at least {2 * EVERY}: two measurements of the loss")
    ends = time.monotonic() + chosen.minutes * 60
    folder = chosen.out.with_name(f"{chosen.out.stem}-runs")
    arms = [arm_name(*arm) for arm in ARMS]
    trainers = {name: trainer_of(name, folder, chosen.images, chosen.reproduce) for name in arms}
    found = json.loads(chosen.out.read_text())["arms"] if chosen.out.is_file() else {}
    train(trainers, found, chosen.images, ends)
    for trainer in trainers.values():
        trainer.save()
    facts = {"commit": code_commit(), "machine": machine_name("cpu"), "reproduce": chosen.reproduce}
    size = recipe("starter").batch_size
    chosen.out.write_text(json.dumps({**facts, "arms": found}, indent=1) + "\n")
    show(found, size)
    chosen.out.write_text(json.dumps({**facts, "arms": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
