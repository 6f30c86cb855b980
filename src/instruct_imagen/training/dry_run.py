"""What a training would take: reckoned from shapes, then from a few steps of each stage."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from instruct_imagen.data.example import Example
from instruct_imagen.model.text import TextStates
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch
from instruct_imagen.recipes.config import RecipeError, Stage, TrainConfig
from instruct_imagen.training.adapters import add_adapters, trained
from instruct_imagen.training.build import (
    build_model,
    build_photographs,
    recipe_vocabulary,
    tasks_with,
    training_device,
)
from instruct_imagen.training.card import machine_name
from instruct_imagen.training.draws import Draws
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.muon import is_hidden_matrix
from instruct_imagen.training.shards import open_shards, stage_mixture
from instruct_imagen.training.speed import convolution_rate, seconds
from instruct_imagen.training.step import Encoded, step_work

HARDWARE = {"a100": 312e3, "h100": 989e3, "h200": 989e3, "l4": 121e3, "rtx4090": 165e3}
"""Dense bf16 GFLOP/s by the makers' data sheets."""

_DAY = 86_400
_COUNTED = 16  # examples whose work stands for a stage's
_ROW = "{:10s} {:>12s} {:>12s} {:>16s} {:>11s} {:>14s} {:>9s}"


@dataclass(frozen=True, kw_only=True)
class Reckoned:
    """What follows from shapes alone.

    Attributes:
        parameters: Of the network, adapters included.
        trained: Of them.
        moments: Bytes of the optimizer's state.
        work: GFLOP an image of each stage that has images, forward and backward.
    """

    parameters: int
    trained: int
    moments: int
    work: dict[str, float]

    @property
    def fixed_bytes(self) -> int:
        """Of weights, gradients, average and moments; activations come on top."""
        return 4 * (self.parameters + 2 * self.trained) + self.moments


def reckon(config: TrainConfig) -> Reckoned:
    """Counts a training without taking a step of it, however large its network is.

    Raises:
        WorldUnavailable: The artwork, whose names the examples need, is not installed.
    """
    with torch.device("meta"):
        model = build_model(config)
        if config.lora:
            add_adapters(model, config.lora)
    named = trained(model)
    # Muon and Adafactor keep one moment of a matrix, all else has two.
    one = {"muon": is_hidden_matrix, "adafactor": lambda *_: True, "adamw": lambda *_: False}
    single = one[config.optimizer]
    moments = sum(4 * weight.numel() * (1 if single(name, weight) else 2) for name, weight in named)
    vocabulary, tasks = recipe_vocabulary(config), tasks_with(build_photographs(config))
    shards, work = open_shards(config), {}
    for number, stage in enumerate(config.stages):
        if stage.images:
            mixture = stage_mixture(config, number, tasks, vocabulary, shards)
            work[stage.name] = _work(config, model, mixture.examples(0, _COUNTED))
    return Reckoned(
        parameters=sum(weight.numel() for weight in model.parameters()),
        trained=sum(weight.numel() for _, weight in named),
        moments=moments,
        work=work,
    )


def _work(config: TrainConfig, model: InstructUNet, examples: list[Example]) -> float:
    """GFLOP an image on these examples, a token a word.

    Of the network alone: drafts and what references lend are in the seconds of steps taken here.
    """
    places = [
        (index, slot, reference.marker, len(reference.text.split()))
        for index, example in enumerate(examples)
        for slot, reference in enumerate(example.references if config.drop_context < 1 else ())
    ]
    size, count = config.size, len(examples) * config.noises
    with torch.device("meta"):
        packed = torch.zeros(len(places), dtype=torch.int64)
        encoded = Encoded(
            images=torch.zeros(len(examples), 3, size, size),
            text=_texts(len(examples), max(len(e.text.split()) for e in examples), config.text_dim),
            references=ReferenceBatch(
                images=torch.zeros(len(places), 3, size, size),
                text=_texts(
                    len(places), 1 + max((p[3] for p in places), default=0), config.text_dim
                ),
                reference=packed,
                sample=packed,
                slot=packed,
                markers=packed,
                batch_size=len(examples),
                slots=max((place[1] + 1 for place in places), default=0),
            ),
        )
        draws = Draws(
            timesteps=torch.zeros(count, dtype=torch.int64), noise=torch.zeros(count, 3, size, size)
        )
        if config.low_size:
            small = torch.zeros(count, 3, config.low_size, config.low_size)
            draws = replace(draws, low=replace(draws, noise=small))
    return step_work(model, encoded, draws, lora=config.lora) / count


def _texts(count: int, length: int, dim: int) -> TextStates:
    shape = (count, length)
    return TextStates(
        states=torch.zeros(*shape, dim),
        mask=torch.ones(shape, dtype=torch.bool),
        markers=torch.zeros(shape, dtype=torch.int64),
    )


def dry_run(config: TrainConfig, *, hardware: str, share: float) -> Iterator[str]:
    """Reckons, and takes a few steps of each stage in a folder that is gone after it.

    Args:
        config: The recipe.
        hardware: A key of `HARDWARE`.
        share: Of its peak that a training reaches, 0 to 1.

    Yields:
        Lines for people: parameters, memory, and of each stage work, rate and duration. Where the
        training does not fit into memory here, it takes no step and says so.
    """
    found = reckon(config)
    yield f"parameters          {found.parameters:,}, {found.trained:,} of them trained"
    yield (
        f"memory a process    {4 * found.parameters / 1e6:,.0f} MB of weights, "
        f"{4 * found.trained / 1e6:,.0f} MB each of gradients and averages, "
        f"{found.moments / 1e6:,.0f} MB of moments; activations come on top"
    )
    there = HARDWARE[hardware] * share
    yield f"there               {share:.0%} of one {hardware}, {there:,.0f} GFLOP/s"
    obstacle = _obstacle(config, found.fixed_bytes)
    rate = 0.0
    if not obstacle:
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        rate = convolution_rate(dtype, config.device)
        yield f"here                {machine_name(config.device)}, convolutions {rate:,.0f} GFLOP/s"
    else:
        yield f"here                reckoned only, no step taken: {obstacle}"
    yield _ROW.format(
        "stage", "images", "GFLOP/image", "a day there", "hours", "a day here", "hours"
    )
    stages = [stage for stage in config.stages if stage.images]
    taken = {} if obstacle else _seconds_an_image(config)
    for stage in stages:
        yield _row(stage, found.work[stage.name], there, taken.get(stage.name))
    if not obstacle:
        total = sum(stage.images * taken[stage.name] for stage in stages) / 3600
        yield f"{total:,.1f} hours here in all, without sheets and checkpoints"
        of_rate = sum(found.work[stage.name] / taken[stage.name] for stage in stages) / len(stages)
        yield f"{of_rate / rate:.0%} of the machine's rate, {_peak(config.device) / 1e6:,.0f} MB"


def _row(stage: Stage, work: float, there: float, here: float | None) -> str:
    return _ROW.format(
        stage.name,
        f"{stage.images:,}",
        f"{work:,.3f}",
        f"{_DAY * there / work:,.0f}",
        f"{stage.images * work / there / 3600:,.4g}",
        "-" if here is None else f"{_DAY / here:,.0f}",
        "-" if here is None else f"{stage.images * here / 3600:,.2f}",
    )


def _seconds_an_image(config: TrainConfig) -> dict[str, float]:
    """Of each stage that has images, from the faster of two steps."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        # However short a stage is, its steps here need examples.
        stages = tuple(
            replace(stage, images=max(stage.images, 3 * config.batch_size) if stage.images else 0)
            for stage in config.stages
        )
        trainer = Trainer(replace(config, out=folder, trackers=(), stages=stages))
        for number, stage in enumerate(config.stages):
            if not stage.images:
                continue
            trainer.stage, trainer.stage_step = number, 0
            trainer.begin_stage()
            trainer.step()  # which encodes the texts of the next ones too
            taken = min(seconds(trainer.step, trainer.device) for _ in range(2))
            found[stage.name] = taken / config.batch_size
    return found


def _obstacle(config: TrainConfig, needed: int) -> str:
    """Why no step can be taken here; empty if one can."""
    try:
        device = training_device(config.device)
    except RecipeError as error:
        return str(error)
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > free:
        return f"{needed / 1e9:,.0f} GB are needed and {free / 1e9:,.0f} GB free"
    return ""


def _peak(device: str) -> int:
    """Bytes that this process has held at most."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
