"""What a recipe states: frozen, keyword-only, every field with an effect."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from instruct_imagen.data.tasks.registry import all_tasks, training_tasks
from instruct_imagen.data.world.artwork.faces import PEOPLE
from instruct_imagen.data.world.artwork.registry import SOURCES
from instruct_imagen.data.world.variety import MOST_ASSETS


class RecipeError(ValueError):
    """A setting that does not exist or cannot be read; the message names it and the cure."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of training.

    Attributes:
        name: ``pretrain``, ``retrieval`` (stage 1 of [Hu24]), ``layouts`` and ``subjects``
            (warm-ups of ours), ``instruct`` (stage 2), ``see`` or ``upscale`` (of an upscaler).
        images: How many training images it lasts.
        ratios: Weight of each task; see `data.mixture`.
    """

    name: Literal["pretrain", "retrieval", "layouts", "subjects", "instruct", "see", "upscale"]
    images: int
    ratios: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A whole training.

    Attributes:
        name: Of the recipe.
        stages: In order.
        size: Side of the images in pixels.
        low_size: Trains an upscaler of images of so many pixels; 0 trains a base model.
        low_noise: Noise on an upscaler's input, drawn evenly up to this share of the noise levels,
            which the network is told (noise conditioning augmentation).
        draft: A saved base model (a folder, or ``starter``) that draws some of the pictures that an
            upscaler learns to enlarge in its last stage, on from the true ones with noise; empty
            for true ones alone. See `training.drafts`.
        draft_share: Of the examples.
        space_to_depth: See `InstructUNet`.
        channels: Width of each level of the U-Net.
        layers: Blocks a level.
        level_layers: Blocks of each level, the finest first; empty for `layers` everywhere.
        head_dim: Width of an attention head.
        attention_levels: How many levels attend to text and context, the coarsest ones.
        blocks: ``transformer`` attends to the image itself, to text and context one after the other
            (Stable Diffusion's blocks) and has a middle; ``added_kv`` attends to image and text at
            once, without feed-forward layers and without a middle (DeepFloyd IF's, like Imagen's).
        text_encoder: ``starter``, or a folder or hub name of any text encoder of transformers.
        text_dim: Width of its states.
        text_store: A folder that keeps encoded texts for later runs, which may share it; empty for
            none. Changes no result. A token takes its width in numbers of the encoder's dtype.
        max_markers: Highest k of ``[ref#k]``, at least `MARKERS`.
        heldout_tasks: Lets stages draw the tasks that make a combination of the hold-out, such as
            style + subject: for models that are to be used, not for zero-shot claims.
        min_styles: Concepts drawn in at least so many training styles.
        concepts: At most so many concepts, those with most styles first; 0 for all.
        categories: Of the concepts; empty for all.
        sources: Of what is drawn: ``emoji``, which must be there, ``faces``, ``stamps`` and
            ``clip_art``. One that is not installed is left out, with a line on stderr; see
            `instruct-imagen world sources`.
        people: So many people of each style of faces.
        most_assets: Assets of a scene at most, 1 to 4; see `data.world.variety`.
        places: Share of scenes whose background is a place.
        turned: Share of assets that are turned, of those that can be.
        tinted: Share of assets that are coloured anew, of those that can be.
        instruction: False trains on raw inputs, as the paper's multi-task baseline: captions in
            place of instructions, references without markers and texts ([Hu24] §5).
        seed: Of data, noise and initial weights.
        batch_size: Noised images a step.
        noises: Noised images an example: its texts and references are encoded once for all of them.
            Must divide `batch_size`.
        targets: Examples of a cluster of stage 1 that share their three references, which are then
            encoded once: 1, or 2 for all five pictures. `batch_size` must be a multiple of
            noises × targets.
        optimizer: ``muon``, ``adamw`` or ``adafactor`` (the paper's).
        learning_rate: After the warm-up.
        warmup_steps: Linear, from 0.
        decay_after: Images after which the rate falls with the inverse root of the images seen, so
            that no end has to be known; 0 keeps it constant.
        cooldown: Images before the end of the last stage over which the rate falls to 0 in a
            straight line. Most of what a high rate has learnt shows only then (docs/log.md).
        gradient_clip: Largest norm of the gradient.
        ema_decay: Of the averaged weights, after their own warm-up.
        timestep_shift: See `diffusion.objective.draw_timesteps`; of an upscaler, among the levels
            below `RESIDUAL_NOISE`.
        drop_both: Share of samples without text and context.
        drop_context: Share of samples without context.
        precision: ``fp32``, or ``bf16`` for autocast.
        accumulate: Partial batches whose gradients add up to a step, to save memory.
        parallel: What several processes (started by torchrun) share out: ``ddp`` the batch alone,
            ``fsdp`` weights, gradients, moments and averages too.
        workers: Processes that draw examples ahead; 0 draws them when they are needed.
        skip_limit: Steps with a loss or gradient that is not finite are skipped; more of them than
            so many end the run.
        channels_last: Memory layout of the convolutions.
        compile: Has torch.compile make kernels for the step: minutes at the start
            of each part of a run, the same losses up to rounding, and what it gains depends on the
            device (docs/log.md). A part that goes on is then equal up to rounding only.
        gradient_checkpointing: Blocks are computed again in the backward pass instead of kept:
            less memory, more time, the same gradients.
        checkpoint_every: Images between checkpoints; 0 for one at the end only.
        sheet_every: Images between sample sheets; 0 for one at the end only.
        trackers: Where the figures of the log go besides: ``tensorboard``, ``wandb``, ``mlflow``
            and others that accelerate knows, as far as they are installed; empty for none.
        minutes: Stop (and save) after so long; 0 for no limit.
        out: Folder of the run.
        device: ``cpu``, ``cuda``, …
        world: A file of `instruct-imagen world pack`, made with the same size, min_styles,
            concepts, categories, sources and people; empty builds the world from its sources.
        init: A saved pipeline (a folder, or ``starter``) whose weights the run begins with; empty
            for weights drawn from the seed. Images are counted from 0 again.
        lora: Rank of the adapters on the attention's linear layers, which alone are trained, on top
            of the weights of `init`; 0 trains everything. See `training.adapters`.
        folder: Of images of one's own, for stages with the task ``my_subject``; ``name.txt`` beside
            an image is its caption. See `data.photographs`.
        subject: What all of them show, e.g. ``"clay dog"``.
        shards: Folders of `instruct-imagen tasks build` whose examples are trained on, of the same
            size; empty draws from the world, which else only the sample sheets show (but see
            `shard_stages`).
        shard_stages: Stages that draw from `shards`, e.g. ``retrieval``, while the others draw from
            the world; empty for all.
    """

    name: str
    stages: tuple[Stage, ...]
    size: int
    low_size: int = 0
    low_noise: float = 0.4
    draft: str = ""
    draft_share: float = 0.3
    space_to_depth: int
    channels: tuple[int, ...]
    layers: int
    level_layers: tuple[int, ...] = ()
    head_dim: int
    attention_levels: int = 1
    blocks: Literal["transformer", "added_kv"] = "transformer"
    text_encoder: str = "starter"
    text_dim: int = 384
    text_store: str = ""
    max_markers: int = 8
    heldout_tasks: bool = False
    min_styles: int = 5
    concepts: int = 0
    categories: tuple[str, ...] = ()
    sources: tuple[str, ...] = ("emoji", "faces")
    people: int = 100
    most_assets: int = 4
    places: float = 0.25
    turned: float = 0.1
    tinted: float = 0.1
    instruction: bool = True
    seed: int = 0
    batch_size: int
    noises: int = 1
    targets: int = 1
    optimizer: Literal["muon", "adamw", "adafactor"] = "adamw"
    learning_rate: float
    warmup_steps: int
    decay_after: int = 0
    cooldown: int = 0
    gradient_clip: float = 1.0
    ema_decay: float
    timestep_shift: float = 1.0
    drop_both: float = 0.1
    drop_context: float = 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    accumulate: int = 1
    parallel: Literal["ddp", "fsdp"] = "ddp"
    workers: int = 0
    skip_limit: int = 10
    channels_last: bool = True
    compile: bool = False
    gradient_checkpointing: bool = False
    checkpoint_every: int
    sheet_every: int
    trackers: tuple[str, ...] = ("tensorboard",)
    minutes: float = 0.0
    out: str
    device: str = "cpu"
    world: str = ""
    init: str = ""
    lora: int = 0
    folder: str = ""
    subject: str = ""
    shards: tuple[str, ...] = ()
    shard_stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise RecipeError(problem)


MARKERS = 5
"""The most markers that a task uses: `many_conditions` has up to five conditions."""

TARGETS = 2
"""The pictures of a cluster of stage 1 that are not in the context."""

NORM_GROUPS = 16
"""Of the U-Net's group normalisation; every width is a multiple."""

_LOWEST = {
    "size": 1, "low_size": 0, "space_to_depth": 1, "layers": 1, "head_dim": 1,
    "attention_levels": 1, "text_dim": 1,
    "max_markers": MARKERS, "min_styles": 1, "concepts": 0, "people": 1, "most_assets": 1,
    "seed": 0, "batch_size": 1,
    "noises": 1, "targets": 1, "warmup_steps": 0,
    "accumulate": 1, "workers": 0, "skip_limit": 0,
    "decay_after": 0, "cooldown": 0, "checkpoint_every": 0, "sheet_every": 0, "minutes": 0,
    "lora": 0,
}  # fmt: skip
_ABOVE_ZERO = ("learning_rate", "gradient_clip", "timestep_shift")
_SHARES = ("drop_both", "drop_context", "low_noise", "draft_share", "places", "turned", "tinted")


def _problems(config: TrainConfig) -> Iterator[str]:
    """What is wrong with the values of a config, one line each."""
    for name, lowest in _LOWEST.items():
        if not lowest <= getattr(config, name) < math.inf:
            yield f"{name}={getattr(config, name)} must be {lowest} or more"
    for name in _ABOVE_ZERO:
        if not 0 < getattr(config, name) < math.inf:
            yield f"{name}={getattr(config, name)} must be more than 0"
    for name in _SHARES:
        if not 0 <= getattr(config, name) <= 1:
            yield f"{name}={getattr(config, name)} must lie in 0 to 1"
    if not 0 <= config.ema_decay < 1:
        yield f"ema_decay={config.ema_decay} must lie in 0 to below 1"
    unknown = [name for name in config.sources if name not in SOURCES]
    if unknown:
        yield f"sources={','.join(unknown)} is unknown: use some of {', '.join(SOURCES)}"
    if "emoji" not in config.sources or len(set(config.sources)) < len(config.sources):
        yield f"sources={','.join(config.sources)} must have emoji, and none of them twice"
    if config.people > len(PEOPLE):
        yield f"people={config.people} must be at most {len(PEOPLE)}, those of training"
    if config.batch_size % config.noises:
        yield (
            f"noises={config.noises} must divide batch_size={config.batch_size}: "
            "each example is seen with so many draws of noise"
        )
    if config.most_assets > MOST_ASSETS:
        yield f"most_assets={config.most_assets} must be at most {MOST_ASSETS}"
    if config.targets > TARGETS:
        yield (
            f"targets={config.targets} must be 1 or {TARGETS}: "
            f"three of a cluster's five pictures are the references"
        )
    if config.shards and config.targets > 1:
        yield (
            f"targets={config.targets} is for clusters that are drawn, shards are read one example "
            "at a time: set targets=1, or leave out shards"
        )
    if config.shard_stages and not config.shards:
        yield (
            f"shard_stages={','.join(config.shard_stages)} needs stored examples: name their "
            "folders, shards=…"
        )
    named = [stage.name for stage in config.stages if stage.images]
    for name in config.shard_stages:
        if named and name not in named:
            yield f"shard_stages={name} is no stage that has images: use {', '.join(named)}"
    if len(config.channels) < 2 or any(width < 1 for width in config.channels):
        yield f"channels={config.channels} must be two widths or more"
    for width in config.channels:
        if width % NORM_GROUPS or (width % config.head_dim and width > config.head_dim):
            yield (
                f"channels={config.channels} must be multiples of {NORM_GROUPS} "
                f"and of head_dim={config.head_dim}"
            )
    if config.level_layers and len(config.level_layers) != len(config.channels):
        yield (
            f"level_layers={config.level_layers} must be {len(config.channels)} numbers, one for "
            "each width of channels"
        )
    if any(number < 1 for number in config.level_layers):
        yield f"level_layers={config.level_layers} must be 1 or more"
    if config.attention_levels > len(config.channels):
        yield f"attention_levels={config.attention_levels} must be at most {len(config.channels)}"
    if config.world and config.text_encoder != "starter":
        yield f"world={config.world} brings its own text encoder: leave out text_encoder or world"
    if config.lora and not config.init:
        yield f"lora={config.lora} adapts weights that are there: name them, e.g. init=starter"
    narrowest = min(config.channels[-config.attention_levels :])
    if config.lora > narrowest:
        yield f"lora={config.lora} must be at most {narrowest}, the width of what it adapts"
    cell = config.space_to_depth * 2 ** (len(config.channels) - 1)
    if config.size % cell:
        yield f"size={config.size} must be a multiple of {cell} with these levels"
    if config.low_size and (config.size % config.low_size or config.low_size >= config.size):
        yield f"low_size={config.low_size} must be a half, a third, … of size={config.size}"
    usual = TrainConfig.__dataclass_fields__["low_noise"].default
    if not config.low_size and config.low_noise != usual:
        yield f"low_noise={config.low_noise} is used by upscalers alone: set low_size, or leave it"
    if config.draft and not config.low_size:
        yield f"draft={config.draft} is used by upscalers alone: set low_size, or leave it out"
    usual = TrainConfig.__dataclass_fields__["draft_share"].default
    if not config.draft and config.draft_share != usual:
        yield f"draft_share={config.draft_share} needs a base model: set draft, e.g. draft=starter"
    if config.draft and not config.draft_share:
        yield "draft_share=0 draws nothing: leave out draft, or give a share above 0"
    names = [stage.name for stage in config.stages]
    if len(set(names)) < len(names):
        yield f"stages {', '.join(names)} must have different names"
    if any(stage.images < 0 for stage in config.stages):
        yield "a stage's images must be 0 or more"
    held = heldout_ratios(config.stages)
    if held and not config.heldout_tasks:
        stage, name = held[0]
        yield (
            f"stage {stage} draws {name}, a combination that is held out so that models can be "
            "judged by it: set heldout_tasks=true for a model that is to be used, or leave it out"
        )
    if config.heldout_tasks and not held and not config.shards:  # which may hold some: looked at
        yield "heldout_tasks=true changes nothing, as no stage draws such a task: leave it out"


def draws_from_shards(config: TrainConfig, stage: Stage) -> bool:
    """Whether a stage draws stored examples and not from the world."""
    return bool(config.shards) and (not config.shard_stages or stage.name in config.shard_stages)


def heldout_ratios(stages: Sequence[Stage]) -> tuple[tuple[str, str], ...]:
    """(stage, task) of each ratio above 0 of a task that is held out, in stages with images."""
    return tuple(
        (stage.name, name)
        for stage in stages
        for name, ratio in stage.ratios.items()
        if stage.images and ratio > 0 and name in all_tasks() and name not in training_tasks()
    )


def override(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """The config with ``key=value`` settings applied.

    All take effect at once, so their order does not matter.

    Args:
        config: A recipe.
        settings: E.g. ``["minutes=30", "learning_rate=3e-4"]``; a stage's length is
            ``instruct.images=50000``.

    Raises:
        RecipeError: An unknown key, or a value of the wrong type.
    """
    hints = typing.get_type_hints(TrainConfig)
    changes: dict[str, Any] = {}
    stages = {f"{stage.name}.images": stage for stage in config.stages}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise RecipeError(f"'{setting}' is no setting: write key=value, e.g. minutes=30")
        if key in stages:
            stages[key] = dataclasses.replace(stages[key], images=parse_value(key, text, int))
        elif key in hints and key not in ("stages", "name"):
            changes[key] = parse_value(key, text, hints[key])
        else:
            known = [name for name in hints if name not in ("stages", "name")] + list(stages)
            near = difflib.get_close_matches(key, known, n=1)
            meant = f"did you mean {near[0]}? Otherwise " if near else ""
            raise RecipeError(f"unknown setting '{key}': {meant}use one of {', '.join(known)}")
    return dataclasses.replace(config, stages=tuple(stages.values()), **changes)


def parse_value(key: str, text: str, kind: Any) -> Any:
    """A value from its text, by the annotated type of the setting `key`.

    Raises:
        RecipeError: It is no value of that type.
    """
    origin = typing.get_origin(kind)
    if origin is Literal:
        if text not in typing.get_args(kind):
            known = ", ".join(typing.get_args(kind))
            raise RecipeError(f"{key} must be one of {known}, not '{text}'")
        return text
    if origin is tuple:
        item = typing.get_args(kind)[0]
        return tuple(
            parse_value(key, part.strip(), item) for part in text.split(",") if part.strip()
        )
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
