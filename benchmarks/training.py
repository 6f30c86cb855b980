"""What training spends besides the network: prints a table, writes out/bench-training.json.

Shares of a step of the starter's stage 2, checkpoints and resumption, and two processes of one
thread each against one process of two. Nothing else should be running.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run import spread

from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.speed import seconds


def shares(steps: int, folder: Path) -> dict[str, float]:
    """Of a step's time: pictures, texts, optimizer (clipping included) and weight average."""
    trainer = Trainer(override(recipe("starter"), [f"out={folder}", "checkpoint_every=0"]))
    trainer.stage = len(trainer.config.stages) - 1
    trainer.begin_stage()
    trainer.step()  # which encodes the texts of the next ones too
    taken: dict[str, float] = defaultdict(float)

    def timed(name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            start = time.perf_counter()
            result = action(*arguments, **settings)
            taken[name] += time.perf_counter() - start
            return result

        return call

    trainer.optimizer.step = timed("optimizer", trainer.optimizer.step)
    trainer.average.update = timed("average", trainer.average.update)
    trainer.record.window.clear()
    for _ in range(steps):
        trainer.step()
    window = trainer.record.window
    whole = sum(window["step_s"])
    return {
        "step_s": whole / steps,
        "pictures": sum(window["render_s"]) / whole,
        "texts": sum(window["text_s"]) / whole,
        "optimizer": taken["optimizer"] / whole,
        "average": taken["average"] / whole,
    }


def checkpoints(repeats: int, step_s: float, folder: Path) -> dict[str, Any]:
    """Seconds of a save and of going on, and the share of a run that saves take."""
    config = override(recipe("starter"), [f"out={folder}"])
    new, trainer = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        trainer = Trainer(config)
        new.append(time.perf_counter() - start)
    trainer.begin_stage()
    saves = []
    for _ in range(repeats):
        trainer.step()  # a checkpoint of the same name is not written again
        saves.append(seconds(trainer.save))
    again = []
    for _ in range(repeats):
        start = time.perf_counter()
        Trainer(config)
        again.append(time.perf_counter() - start)
    between = config.checkpoint_every / config.batch_size * step_s
    size = sum(file.stat().st_size for file in (folder / "checkpoints").glob("*/*"))
    return {
        "save_s": spread(saves),
        "mb": size / 1e6 / len(list((folder / "checkpoints").glob("images-*"))),
        "share_of_run": statistics.median(saves) / (between + statistics.median(saves)),
        "start_s": spread(new),
        "resume_s": spread(again),
    }


def rate(processes: int, threads: int, images: int) -> float:
    """Images/s of the starter's stage 2, median of the log's lines after the first."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"out={folder}", "sheet_every=0", "checkpoint_every=0", "trackers="]
        settings += [f"{stage.name}.images=0" for stage in recipe("starter").stages[:-1]]
        settings += [f"instruct.images={images}"]
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        command += ["--master-port=29517", "-m", "instruct_imagen.cli", "train", "starter"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run([*command, *settings], check=True, capture_output=True, env=environment)
        lines = (Path(folder) / "log.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["images_per_s"] for line in lines[1:])


def scaling(repeats: int, images: int) -> dict[str, dict[str, float]]:
    """Images/s by processes × threads, interleaved."""
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        for processes, threads in ((1, 1), (1, 2), (2, 1)):
            found[f"{processes} × {threads}"].append(rate(processes, threads, images))
    return {name: spread(values) for name, values in found.items()}


def main() -> None:
    """Measures everything."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=48)
    arguments.add_argument("--images", type=int, default=1920, help="of each run of the scaling")
    arguments.add_argument("--shares", action="store_true", help="the shares of a step alone")
    arguments.add_argument("--out", type=Path, default=Path("out/bench-training.json"))
    chosen = arguments.parse_args()
    if chosen.repeats < 2 or chosen.steps < 2 or chosen.images < 1280:
        arguments.error("--repeats and --steps must be at least 2, --images 1280")
    with tempfile.TemporaryDirectory() as folder:
        parts = shares(chosen.steps, Path(folder) / "shares")
        figures = {"commit": code_commit(), "machine": machine_name("cpu"), "shares": parts}
        if not chosen.shares:
            saves = Path(folder) / "saves"
            figures["checkpoints"] = checkpoints(chosen.repeats, parts["step_s"], saves)
            figures["scaling"] = scaling(chosen.repeats, chosen.images)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


def show(figures: dict[str, Any]) -> None:
    """Prints the table."""
    for name, value in figures["shares"].items():
        print(f"{name:30s} " + (f"{value:8.3f}" if name == "step_s" else f"{value:8.1%}"))
    saved = figures.get("checkpoints", {})
    for name in ("save_s", "start_s", "resume_s"):
        if name in saved:
            row = saved[name]
            print(f"{name:30s} {row['median']:8.2f} [{row['low']:.2f}, {row['high']:.2f}]")
    if saved:
        print(f"{'checkpoint':30s} {saved['mb']:8.0f} MB, {saved['share_of_run']:.2%} of a run")
    for name, row in figures.get("scaling", {}).items():
        print(
            f"{'processes × threads, ' + name:30s} {row['median']:8.1f} images/s "
            f"[{row['low']:.1f}, {row['high']:.1f}]"
        )
    print(f"{figures['machine']}, commit {figures['commit']}")


if __name__ == "__main__":
    main()
