"""What ends a run that would only lose time: no room to save, numbers that are none."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from instruct_imagen.data.batch import Batch
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.draws import Draws


class TrainingDivergedError(RuntimeError):
    """Too many steps whose loss or gradient is not finite; the message names the cure."""


def check_room(folder: Path, needed: int) -> None:
    """Finds out now, and not at the first checkpoint, whether a run can be saved.

    Args:
        folder: Of the run; made if it is missing.
        needed: Bytes that its checkpoints will take.

    Raises:
        CheckpointError: The folder cannot be written, or its disk has less room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.write_bytes(b"0")
        probe.unlink()
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written ({error}): name another: out=…"
        ) from error
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"{folder} has room for {free / 1e6:,.0f} MB and checkpoints need {needed / 1e6:,.0f}: "
            "free some, or name another folder: out=…"
        )


def check_weights(weights: Mapping[str, Tensor], folder: Path, images: int) -> None:
    """Keeps weights that are not finite out of a checkpoint.

    Args:
        weights: By name.
        folder: Of the run.
        images: Seen by them.

    Raises:
        TrainingDivergedError: One is not finite.
    """
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise TrainingDivergedError(
            f"after {images:,} images {broken[0]} is not finite: nothing is saved; go on "
            f"from the last checkpoint in {folder} with a lower learning_rate"
        )


def keep_for_inspection(
    folder: Path, name: str, batch: Batch, draws: Draws, losses: Tensor
) -> Path:
    """Writes all that went into a step, as ``name.safetensors`` and ``name.json``.

    Returns:
        The path of the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "targets": batch.targets,
        "reference_images": batch.reference_images,
        "reference": batch.reference,
        "sample": batch.sample,
        "noise": draws.noise,
        "timesteps": draws.timesteps,
        "losses": losses.detach().float(),
    }
    plain = {key: value.cpu().contiguous().clone() for key, value in tensors.items()}
    save_file(plain, folder / f"{name}.safetensors")
    described = {
        "tasks": batch.tasks,
        "texts": batch.texts,
        "reference_prompts": batch.reference_prompts,
        "samples that are not finite": (~torch.isfinite(plain["losses"]))
        .nonzero()
        .flatten()
        .tolist(),
    }
    (folder / f"{name}.json").write_text(json.dumps(described, indent=1) + "\n")
    return folder / f"{name}.json"
