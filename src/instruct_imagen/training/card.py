"""The model card that stands beside exported weights."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import torch

from instruct_imagen.recipes.config import TrainConfig

CARD = """# {name}

An `InstructImagenPipeline`, written by `instruct-imagen export`.

| | |
|---|---|
| parameters | {parameters:,} |
| images | {size} px |
| images seen in training | {images:,} (steps: {steps:,} of {batch_size}) |
| noise draws an example | {noises} |
| training time | {hours:.1f} h of steps |
| machine | {machine} |
| stages (images) | {stages} |
| data | the starter world: {pairs:,} drawings ({concepts} concepts, {styles} styles) |
| held out | version {holdout} of the world's hold-out |
| weights | exponential moving average, {dtype} |
| text encoder | all-MiniLM-L6-v2, frozen, from its own package |
| code | commit {commit} |
| licence | Apache-2.0 |
"""


def write_card(folder: Path, config: TrainConfig, **facts: object) -> None:
    """Writes README.md.

    Args:
        folder: Of the exported pipeline.
        config: Of the run.
        **facts: What the card names and the config does not say: parameters, images, seconds,
            pairs, concepts, styles, holdout, dtype.
    """
    done = int(str(facts["images"]))
    stages = []
    for stage in config.stages:
        # A stage ends with a whole batch.
        part = min(-(-stage.images // config.batch_size) * config.batch_size, done)
        done -= part
        if part:
            stages.append(f"{stage.name} {part:,}")
    text = CARD.format(
        name=config.name,
        size=config.size,
        batch_size=config.batch_size,
        noises=config.noises,
        steps=int(str(facts["images"])) // config.batch_size,
        hours=float(str(facts["seconds"])) / 3600,
        machine=machine_name(config.device),
        stages=", ".join(stages),
        commit=code_commit(),
        **{key: value for key, value in facts.items() if key != "seconds"},
    )
    (folder / "README.md").write_text(text)


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
