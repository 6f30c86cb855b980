"""What a recipe states: frozen, keyword-only, every field with an effect."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


class RecipeError(ValueError):
    """A setting that does not exist or cannot be read; the message names it and the cure."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of training.

    Attributes:
        name: ``pretrain``, ``retrieval`` (stage 1 of [Hu24]), ``warmup`` or ``instruct`` (stage 2).
        images: How many training images it lasts.
        ratios: Weight of each task; see `data.mixture`.
    """

    name: Literal["pretrain", "retrieval", "warmup", "instruct"]
    images: int
    ratios: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training.

    Attributes:
        name: Of the recipe.
        stages: In order.
        size: Side of the images in pixels.
        space_to_depth: See `InstructUNet`.
        channels: Width of each level of the U-Net; the coarser levels attend to text and context.
        layers: Blocks a level.
        head_dim: Width of an attention head.
        max_markers: Highest k of ``[ref#k]``.
        min_styles: Concepts drawn in at least so many training styles.
        concepts: At most so many concepts, those with most styles first; 0 for all.
        categories: Of the concepts; empty for all.
        seed: Of data, noise and initial weights.
        batch_size: Images a step.
        optimizer: ``adamw`` or ``adafactor`` (the paper's).
        learning_rate: After the warm-up.
        warmup_steps: Linear, from 0.
        gradient_clip: Largest norm of the gradient.
        ema_decay: Of the averaged weights, after their own warm-up.
        timestep_shift: See `diffusion.objective.draw_timesteps`.
        drop_both: Share of samples without text and context.
        drop_context: Share of samples without context.
        precision: ``fp32``, or ``bf16`` for autocast.
        channels_last: Memory layout of the convolutions.
        checkpoint_every: Images between checkpoints.
        sheet_every: Images between sample sheets; 0 for none.
        minutes: Stop (and save) after so long; 0 for no limit.
        out: Folder of the run.
        device: ``cpu``, ``cuda``, …
        world: A file of `instruct-imagen world pack`; empty builds the world from its sources.
    """

    name: str
    stages: tuple[Stage, ...]
    size: int
    space_to_depth: int
    channels: tuple[int, ...]
    layers: int
    head_dim: int
    max_markers: int = 8
    min_styles: int = 5
    concepts: int = 0
    categories: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int
    optimizer: Literal["adamw", "adafactor"] = "adamw"
    learning_rate: float
    warmup_steps: int
    gradient_clip: float = 1.0
    ema_decay: float
    timestep_shift: float = 1.0
    drop_both: float = 0.1
    drop_context: float = 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    checkpoint_every: int
    sheet_every: int
    minutes: float = 0.0
    out: str
    device: str = "cpu"
    world: str = ""


def override(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """The config with ``key=value`` settings applied.

    Args:
        config: A recipe.
        settings: E.g. ``["minutes=30", "learning_rate=3e-4"]``; a stage's length is
            ``instruct.images=50000``.

    Raises:
        RecipeError: An unknown key, or a value of the wrong type.
    """
    hints = typing.get_type_hints(TrainConfig)
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise RecipeError(f"'{setting}' is no setting: write key=value, e.g. minutes=30")
        stages = {f"{stage.name}.images": stage for stage in config.stages}
        if key in stages:
            changed = dataclasses.replace(stages[key], images=_parse(key, text, int))
            kept = tuple(changed if stage is stages[key] else stage for stage in config.stages)
            config = dataclasses.replace(config, stages=kept)
        elif key in hints and key not in ("stages", "name"):
            config = dataclasses.replace(config, **{key: _parse(key, text, hints[key])})
        else:
            known = [name for name in hints if name not in ("stages", "name")] + list(stages)
            raise RecipeError(f"unknown setting '{key}': use one of {', '.join(known)}")
    return config


def _parse(key: str, text: str, kind: Any) -> Any:
    """A value from its text, by the field's annotated type."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        if text not in typing.get_args(kind):
            known = ", ".join(typing.get_args(kind))
            raise RecipeError(f"{key} must be one of {known}, not '{text}'")
        return text
    if origin is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_parse(key, part.strip(), item) for part in text.split(",") if part.strip())
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise RecipeError(f"{key} must be true or false, not '{text}'")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError as error:
        raise RecipeError(f"{key} must be of type {kind.__name__}, not '{text}'") from error


def resolved(config: TrainConfig) -> dict[str, Any]:
    """The config as plain JSON types."""
    found = dataclasses.asdict(config)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}
