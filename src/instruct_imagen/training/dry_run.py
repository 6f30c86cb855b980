"""What a training would take, from one step of each of its stages."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import torch

from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.training.adapters import trained
from instruct_imagen.training.card import machine_name
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.speed import convolution_rate, seconds

HARDWARE = {"a100": 312e3, "h100": 989e3, "h200": 989e3, "l4": 121e3, "rtx4090": 165e3}
"""Dense bf16 GFLOP/s by the makers' data sheets."""

_DAY = 86_400
_ROW = "{:10s}{:>12s}{:>13s}{:>9s}{:>13s}{:>8s}{:>9s}"


def dry_run(config: TrainConfig, *, hardware: str, share: float) -> Iterator[str]:
    """Takes a few steps of each stage in a folder that is gone after it.

    Args:
        config: The recipe.
        hardware: A key of `HARDWARE`.
        share: Of its peak that a training reaches, 0 to 1.

    Yields:
        Lines for people: parameters, memory, and of each stage work, rate and duration.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(replace(config, out=folder, trackers=()))
        count = trainer.parameter_count
        device = trainer.device
        changed = sum(weight.numel() for _, weight in trained(trainer.model))
        part = f", {changed:,} of adapters are trained" if config.lora else ""
        yield f"parameters          {count:,}{part}"
        moments = sum(
            value.numel() * value.element_size()
            for entries in _state_after_a_step(trainer)
            for value in entries.values()
            if isinstance(value, torch.Tensor)
        )
        yield (
            f"memory a process    {4 * count / 1e6:,.0f} MB of weights, "
            f"{4 * changed / 1e6:,.0f} MB each of gradients and averages, "
            f"{moments / 1e6:,.0f} MB of moments; {_peak(device) / 1e6:,.0f} MB in all"
        )
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        rate = convolution_rate(dtype, device)
        there = HARDWARE[hardware] * share
        yield f"here                {machine_name(config.device)}, convolutions {rate:,.0f} GFLOP/s"
        yield f"there               {share:.0%} of one {hardware}, {there:,.0f} GFLOP/s"
        yield _ROW.format(
            "stage", "images", "GFLOP/image", "of here", "a day here", "hours", "there"
        )
        total = 0.0
        for number, stage in enumerate(config.stages):
            if not stage.images:
                continue
            trainer.stage, trainer.stage_step = number, 0
            trainer.begin_stage()
            trainer.step()  # which encodes the texts of the next ones too
            gflop = trainer.step_work
            taken = min(seconds(trainer.step, device) for _ in range(2))
            hours = stage.images / config.batch_size * taken / 3600
            total += hours
            yield _ROW.format(
                stage.name,
                f"{stage.images:,}",
                f"{gflop / config.batch_size:.2f}",
                f"{gflop / taken / rate:.0%}",
                f"{config.batch_size / taken * _DAY:,.0f}",
                f"{hours:.2f}",
                f"{stage.images / config.batch_size * gflop / there / 3600:.4f}",
            )
        yield f"{total:.1f} hours here in all, without sheets and checkpoints"


def _state_after_a_step(trainer: Trainer) -> list[dict[str, object]]:
    trainer.begin_stage()
    trainer.step()
    return list(trainer.optimizer.state.values())


def _peak(device: torch.device) -> int:
    """Bytes that this process has held at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
