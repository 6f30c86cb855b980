"""What stands beside exported weights: where they come from, for people and for later runs."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from instruct_imagen.pipeline import BASE, UPSCALER
from instruct_imagen.recipes import RecipeError, TrainConfig, recipe, recipe_names, resolved
from instruct_imagen.recipes.config import heldout_ratios

RUNS = "training.json"
"""The runs that made the weights, oldest first; see `run_facts`."""

CARD = """# {name}

{kind}, written by `instruct-imagen export`.

| | |
|---|---|
| parameters | {parameters:,} |
| images | {sizes} px |
| images seen in training | {images:,} (steps: {steps:,}) |
| training time | {hours:.1f} h of steps |
{runs}
| data | {data} |
| held out | version {holdout} of the world's hold-out{trained} |
| weights | exponential moving average, {dtype} |
| text encoder | all-MiniLM-L6-v2, frozen, from its own package |
| licence | Apache-2.0 |
"""


_COMBINED = ", but its combinations of tasks were trained on: no zero-shot claims"


def run_facts(config: TrainConfig, *, stages: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """One run, as `RUNS` lists it, at the time and place of its training.

    Args:
        config: Of the run.
        stages: Images seen in each.
        seconds: Of steps.
    """
    images = sum(stages.values())
    seen = [replace(stage, images=stages.get(stage.name, 0)) for stage in config.stages]
    return {
        "recipe": config.name,
        "changed": changed_settings(config),
        "init": config.init,
        "images": images,
        "steps": images // config.batch_size,
        "seconds": round(seconds),
        "stages": dict(stages),
        "heldout_tasks": bool(heldout_ratios(seen)),
        "machine": machine_name(config.device),
        "commit": code_commit(),
    }


# Settings that say where and for how long, not what.
_PLACES = {"minutes", "out", "device", "world", "init", "text_store"}
_PLACES |= {"checkpoint_every", "sheet_every", "folder", "shards"}


def changed_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that differ from those of the recipe that the config is named after."""
    usual = resolved(recipe(config.name)) if config.name in recipe_names() else {}
    return {
        key: value
        for key, value in resolved(config).items()
        if key not in _PLACES and key != "stages" and usual.get(key) != value
    }


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The runs that made a saved pipeline; none where it does not say.

    Raises:
        RecipeError: What it says cannot be read.
    """
    path = folder / RUNS
    if not path.is_file():
        return []
    try:
        runs = json.loads(path.read_text())
        if all(run.keys() >= _NEEDED for run in runs):
            return list(runs)
    except (ValueError, AttributeError, TypeError):
        pass  # said below
    raise RecipeError(f"{path} is not what export writes: remove it, and the card will not name it")


_NEEDED = {"recipe", "images", "steps", "seconds", "stages", "machine", "commit"}


def write_card(
    folder: Path, config: TrainConfig, runs: Sequence[dict[str, Any]], **facts: object
) -> None:
    """Writes README.md and `RUNS`.

    Args:
        folder: Of the exported pipeline.
        config: Of the last run.
        runs: `run_facts` of all runs that made the weights, oldest first.
        **facts: What the card names besides: parameters,
            data (what was trained on, in words), holdout, dtype.
    """
    text = CARD.format(
        name=config.name,
        kind=f"A `{UPSCALER}`" if config.low_size else f"An `{BASE}`",
        sizes=f"{config.low_size} → {config.size}" if config.low_size else config.size,
        images=sum(run["images"] for run in runs),
        steps=sum(run["steps"] for run in runs),
        hours=sum(run["seconds"] for run in runs) / 3600,
        trained=_COMBINED if any(run.get("heldout_tasks") for run in runs) else "",
        runs="\n".join(_row(number, run) for number, run in enumerate(runs, start=1)),
        **facts,
    )
    (folder / "README.md").write_text(text)
    (folder / RUNS).write_text(json.dumps(list(runs), indent=1) + "\n")


def _row(number: int, run: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {images:,}" for name, images in run["stages"].items())
    changed = "".join(f", {key}={value}" for key, value in run.get("changed", {}).items())
    begun = f"; begun with the weights of {run['init']}" if run.get("init") else ""
    return (
        f"| run {number}, recipe {run['recipe']}{changed} | {stages}{begun}; {run['machine']}; "
        f"commit {run['commit']} |"
    )


def machine_name(device: str) -> str:
    """E.g. ``"2 threads of AMD EPYC"``, or the accelerator's name."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    cpu = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpu.read_text().splitlines() if cpu.is_file() else [])
        if line.startswith("model name")
    ]
    return f"{torch.get_num_threads()} threads of {names[0] if names else platform.machine()}"


def code_commit() -> str:
    """Of the code that exports; "unknown" outside a checkout of it."""
    git = shutil.which("git")
    if git is None or not (Path(__file__).parents[3] / ".git").exists():
        return "unknown"
    done = subprocess.run(
        [git, "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
