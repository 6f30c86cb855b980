"""What a run's settings say of a moment of it, and which of them may change when it goes on."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from typing import Any

import torch

from instruct_imagen.recipes.config import RecipeError, TrainConfig, resolved
from instruct_imagen.training.checkpoint import CheckpointError


def learning_rate(config: TrainConfig, images: int) -> float:
    """The rate of the step that follows `images` images.

    Linear warm-up, inverse-root decay, and at the end of the last stage a linear fall to 0.
    """
    step = images // config.batch_size + 1
    rate = config.learning_rate * min(1.0, step / max(config.warmup_steps, 1))
    if config.decay_after and images > config.decay_after:
        rate *= (config.decay_after / images) ** 0.5
    left = max(sum(stage.images for stage in config.stages) - images, 0)
    if left < config.cooldown:
        rate *= left / config.cooldown
    return rate


# What may change from one part of a run to the next: all else would make it another run.
_FREE_SETTINGS = frozenset(
    {"minutes", "out", "device", "world", "checkpoint_every", "sheet_every", "learning_rate"}
    | {"warmup_steps", "decay_after", "cooldown", "gradient_clip", "ema_decay", "precision"}
    | {"channels_last", "compile", "gradient_checkpointing", "workers", "parallel", "accumulate"}
    | {"skip_limit", "trackers", "text_store"}
    | {"folder", "shards"}  # whose content is compared
)


_BEFORE = {"most_assets": 2, "places": 0, "turned": 0, "tinted": 0, "sources": ["emoji"]}
"""Of runs that were begun before scenes could be so rich, and before there were other drawings."""


def incompatible_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings keep a run from going on: ``"batch_size: 32, now 64"``; empty if none.

    A setting that did not exist when the run began was at its default, or as `_BEFORE` says. Of
    stages see `stages_differ`.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    plain = {key: list(old) if isinstance(old, tuple) else old for key, old in defaults.items()}
    then = plain | _BEFORE | dict(before)
    found = [
        f"{key}: {then[key]}, now {value}"
        for key, value in now.items()
        if key not in _FREE_SETTINGS and key != "stages" and then[key] != value
    ]
    return "; ".join(found)


def stages_differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether the order or the ratios of stages are others; their lengths may be."""
    then, today = (
        [(stage["name"], stage["ratios"]) for stage in config["stages"]] for config in (before, now)
    )
    return then != today


def check_shares(config: TrainConfig, processes: int) -> None:
    """Raises unless a step can be shared out evenly.

    Raises:
        RecipeError: The batch is no multiple of its parts.
    """
    parts = config.noises * config.targets * config.accumulate * processes
    if config.batch_size % parts:
        raise RecipeError(
            f"batch_size={config.batch_size} must be a multiple of noises={config.noises} × "
            f"targets={config.targets} × accumulate={config.accumulate} × {processes} processes"
        )


def check_compiler(config: TrainConfig, device: torch.device) -> None:
    """Raises unless what `compile` asks for is there, before a world is built in vain.

    Raises:
        RecipeError: Kernels for the CPU need a C++ compiler.
    """
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if config.compile and device.type == "cpu" and not found:
        raise RecipeError(
            "compile=true needs a C++ compiler on the CPU: install g++, or leave it out"
        )


def check_settings(progress: Mapping[str, Any], config: TrainConfig) -> None:
    """Raises unless a run can go on with these settings.

    Args:
        progress: Of its last checkpoint.
        config: The settings now.

    Raises:
        CheckpointError: It was begun with others.
    """
    before, now = progress["config"], resolved(config)
    if before["name"] == now["name"] and stages_differ(before, now):  # no setting reaches them
        raise CheckpointError(
            f"the run in {config.out} was begun with other stages, the recipe {config.name} has "
            "changed since: go on with the commit of the run, or begin anew in another folder: "
            "out=…, with init=… of its exported weights"
        )
    changed = incompatible_settings(before, now)
    if changed:
        raise CheckpointError(
            f"the run in {config.out} was begun with other settings ({changed}): "
            "give the same ones, or another folder: out=…"
        )


def check_contents(
    progress: Mapping[str, Any], fingerprints: Mapping[str, str], config: TrainConfig
) -> None:
    """Raises unless the user's images, captions and shards and the drawings are those of the run.

    Args:
        progress: Of its last checkpoint.
        fingerprints: Of what there is now, see `World`.
        config: The settings now.

    Raises:
        CheckpointError: They are others.
    """
    given = {
        "photographs": f"images or captions than those in folder={config.folder}",
        "shards": f"shards than shards={','.join(config.shards)}, or in another order",
        "vocabulary": "drawings than this machine has (see instruct-imagen world sources)",
    }
    for name, found in fingerprints.items():
        # Not noted at first. Before there was a choice of sources, a set of the emoji was lacking.
        if name == "vocabulary" and name not in progress and "sources" in progress["config"]:
            continue
        if progress.get(name, "") != found:
            raise CheckpointError(
                f"the run in {config.out} was begun with other {given[name]}: give the same ones, "
                "or another folder: out=…"
            )
