"""Checkpoints that are whole or not there: temp folder, fsync, rename, pointer; old ones last."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

LATEST = "LATEST"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names it and the cure."""


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """All that a run needs to go on.

    Attributes:
        model: Weights by name.
        ema: Averaged weights by name.
        optimizer: `torch.optim.Optimizer.state_dict()`.
        progress: JSON-able counters and settings.
    """

    model: Mapping[str, Tensor]
    ema: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    progress: Mapping[str, Any]


def save(folder: Path, state: TrainingState, *, name: str, keep: int = 2) -> Path:
    """Writes a checkpoint below `folder` and points LATEST to it.

    Args:
        folder: The run's checkpoint folder.
        state: What to keep.
        name: Of the new checkpoint.
        keep: How many of the newest stay.

    A run's state is a function of its name, so a name that LATEST holds is not written again.

    Returns:
        The checkpoint's folder.
    """
    final = folder / name
    if final.is_dir() and _pointed(folder) == name:
        return final
    for unfinished in folder.glob(".*.writing"):
        shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    temporary = folder / f".{name}.writing"
    temporary.mkdir(parents=True)
    tensors, groups = _flatten_optimizer(state.optimizer)
    for file, content in (("model", state.model), ("ema", state.ema), ("optimizer", tensors)):
        # Saved contiguous: safetensors keeps no memory layout.
        plain = {key: value.detach().contiguous() for key, value in content.items()}
        save_file(plain, temporary / f"{file}.safetensors")
    described = {"progress": state.progress, "optimizer_groups": groups}
    (temporary / "state.json").write_text(json.dumps(described, indent=1) + "\n")
    for path in temporary.iterdir():
        _sync(path)
    _sync(temporary)
    if final.exists():  # LATEST does not name it: left by a crash before the pointer was written
        shutil.rmtree(final)
    os.replace(temporary, final)
    pointer = folder / f".{LATEST}.writing"
    pointer.write_text(name + "\n")
    _sync(pointer)
    os.replace(pointer, folder / LATEST)
    _sync(folder)
    others = [path for path in folder.iterdir() if path.is_dir() and path != final]
    others = sorted(
        (path for path in others if not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    for old in others[: max(len(others) - keep + 1, 0)]:
        shutil.rmtree(old)
    return final


def _pointed(folder: Path) -> str:
    """The name that LATEST holds; empty where there is none."""
    pointer = folder / LATEST
    return pointer.read_text().strip() if pointer.is_file() else ""


def load_latest(folder: Path) -> TrainingState | None:
    """The checkpoint that LATEST names; None where there is none yet.

    Raises:
        CheckpointError: The pointer leads nowhere, or a file is damaged.
    """
    pointer, name = folder / LATEST, _pointed(folder)
    if not name:
        return None
    path = folder / name
    try:
        described = json.loads((path / "state.json").read_text())
        parts = {
            name: load_file(path / f"{name}.safetensors") for name in ("model", "ema", "optimizer")
        }
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be read ({error}): name an older one in {pointer}, or "
            "delete that file to begin anew"
        ) from error
    return TrainingState(
        model=parts["model"],
        ema=parts["ema"],
        optimizer=_unflatten_optimizer(parts["optimizer"], described["optimizer_groups"]),
        progress=described["progress"],
    )


def _flatten_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by "index/key", and everything else as JSON."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{index}/{key}"] = value
            else:
                scalars.setdefault(str(index), {})[key] = value
    return tensors, {"param_groups": state["param_groups"], "scalars": scalars}


def _unflatten_optimizer(
    tensors: Mapping[str, Tensor], groups: Mapping[str, Any]
) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    for index, entries in groups["scalars"].items():
        state.setdefault(int(index), {}).update(entries)
    return {"state": state, "param_groups": groups["param_groups"]}


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rng_for(*numbers: int) -> torch.Generator:
    """A CPU generator that depends on these numbers alone, e.g. (seed, stage, step)."""
    mixed = 0x9E3779B97F4A7C15
    for number in numbers:
        mixed = ((mixed ^ (number + 1)) * 0xBF58476D1CE4E5B9) & (2**63 - 1)
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed)
