"""What a run's settings say of a moment of it, and which of them may change when it goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from instruct_imagen.recipes.config import TrainConfig


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
    | {"channels_last", "gradient_checkpointing", "workers", "parallel", "accumulate"}
    | {"skip_limit", "trackers", "text_store"}
    | {"folder"}  # whose content is compared
)


def incompatible_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings keep a run from going on: ``"batch_size: 32, now 64"``; empty if none.

    The lengths of stages may change, their order and ratios may not. A setting that did not exist
    when the run began was at its default.
    """
    then = {field.name: field.default for field in dataclasses.fields(TrainConfig)} | dict(before)
    found = [
        f"{key}: {then[key]}, now {value}"
        for key, value in now.items()
        if key not in _FREE_SETTINGS and key != "stages" and then[key] != value
    ]
    stages = [(stage["name"], stage["ratios"]) for stage in before["stages"]]
    if stages != [(stage["name"], stage["ratios"]) for stage in now["stages"]]:
        found.append("stages")
    return "; ".join(found)
