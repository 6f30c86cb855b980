"""Checkpoints that are whole or not there: temp folder, fsync, rename, pointer; old ones last."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

LATEST = "LATEST"
HASHES = "sha256.json"
_TENSORS = ("model", "ema", "optimizer")


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

    Raises:
        CheckpointError: It cannot be written; nothing half-written stays.
    """
    final = folder / name
    if final.is_dir() and _pointed(folder) == name and not _damage(final):
        return final
    for unfinished in folder.glob(".*.writing"):
        shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
    temporary = folder / f".{name}.writing"
    try:
        _write(temporary, state)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"checkpoint {final} cannot be written ({error}); those before stand: make room, and "
            "start the run again"
        ) from error
    if final.exists():  # LATEST does not name it: left by a crash before the pointer was written
        shutil.rmtree(final)
    os.replace(temporary, final)
    pointer = folder / f".{LATEST}.writing"
    pointer.write_text(name + "\n")
    _sync(pointer)
    os.replace(pointer, folder / LATEST)
    _sync(folder)
    for old in _prunable(folder, name, keep):
        shutil.rmtree(old)
    return final


def _write(folder: Path, state: TrainingState) -> None:
    """All files of a checkpoint, on the disk."""
    folder.mkdir(parents=True)
    tensors, groups = _flatten_optimizer(state.optimizer)
    for file, content in zip(_TENSORS, (state.model, state.ema, tensors), strict=True):
        # Saved contiguous: safetensors keeps no memory layout.
        plain = {key: value.detach().contiguous() for key, value in content.items()}
        save_file(plain, folder / f"{file}.safetensors")
    described = {"progress": state.progress, "optimizer_groups": groups}
    (folder / "state.json").write_text(json.dumps(described, indent=1) + "\n")
    hashes = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    (folder / HASHES).write_text(json.dumps(hashes, indent=1) + "\n")
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)


def _prunable(folder: Path, newest: str, keep: int) -> list[Path]:
    """Checkpoints that go once `newest` is there: later ones, which the run left, and old ones."""
    ours = sorted(path.parent.name for path in folder.glob(f"*/{HASHES}"))
    later = [name for name in ours if name > newest]
    earlier = [name for name in ours if name < newest]
    return [folder / name for name in later + earlier[: max(len(earlier) - keep + 1, 0)]]


def _pointed(folder: Path) -> str:
    """The name that LATEST holds; empty where there is none."""
    pointer = folder / LATEST
    return pointer.read_text(errors="replace").strip() if pointer.is_file() else ""


def load_latest(folder: Path) -> TrainingState | None:
    """The checkpoint that LATEST names, or if it is damaged the one before; None without any.

    Raises:
        CheckpointError: There are checkpoints, and all are damaged.

    Warns:
        UserWarning: The last checkpoint is damaged, or LATEST is; by name.
    """
    pointed = _pointed(folder)
    found = sorted((path.parent.name for path in folder.glob("*/state.json")), reverse=True)
    if pointed:
        found = [pointed, *(name for name in found if name < pointed)]
    problems = []
    for name in found:
        problem = _damage(folder / name)
        if not problem:
            if problems or not pointed:
                causes = "; ".join(problems) or f"{folder / LATEST} says nothing"
                warnings.warn(f"{causes}: going on from checkpoint {name}", stacklevel=2)
            return _load(folder / name)
        problems.append(f"checkpoint {folder / name} is damaged ({problem})")
    if problems:
        raise CheckpointError(
            f"{'; '.join(problems)}: no other can be read; delete {folder} to begin anew, or name "
            "another folder: out=…"
        )
    return None


def _damage(path: Path) -> str:
    """What is wrong with a checkpoint's files; empty if each has the hash that was written."""
    try:
        for name, written in json.loads((path / HASHES).read_text()).items():
            if _sha256(path / name) != written:
                return f"{name} is not what was written"
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def _load(path: Path) -> TrainingState:
    described = json.loads((path / "state.json").read_text())
    parts = {name: load_file(path / f"{name}.safetensors") for name in _TENSORS}
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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
