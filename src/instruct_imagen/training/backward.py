"""The gradient of partial batches: examples → pixels and texts → losses → gradient."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instruct_imagen.data.batch import Batch, make_batch
from instruct_imagen.data.example import Example
from instruct_imagen.diffusion.objective import ConditionDrop
from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.training.draws import Draws, draw
from instruct_imagen.training.packed_world import World
from instruct_imagen.training.processes import Processes
from instruct_imagen.training.step import TrainingStep, encode_batch, step_work


@dataclass(frozen=True, kw_only=True)
class Part:
    """A partial batch whose gradient was added.

    Attributes:
        batch: Its examples.
        draws: Its noise.
        losses: (B · noises,) float32, example by example.
    """

    batch: Batch
    draws: Draws
    losses: Tensor


class Backward:
    """Adds up the gradients of a step's partial batches.

    Args:
        config: The recipe.
        world: What the examples show.
        step: The network with its loss, as it is in this process alone.
        processes: Among which a step is shared out.

    Attributes:
        render_s: Seconds that pictures took, until it is set to 0.
        text_s: Seconds that texts took.
        work: GFLOP of a stage's first step in this process; 0 until that was taken.
    """

    def __init__(
        self, config: TrainConfig, world: World, step: TrainingStep, processes: Processes
    ) -> None:
        self.config = config
        self.world = world
        self.step_here = step
        self.processes = processes
        self.render_s = self.text_s = self.work = 0.0

    def add(
        self,
        module: nn.Module,
        examples: Sequence[Example],
        rows: range,
        drop: ConditionDrop,
        key: tuple[int, ...],
    ) -> Part:
        """Adds the gradient of a partial batch.

        Args:
            module: The same step, such that its gradients are means over all processes.
            examples: Those of the partial batch.
            rows: Their numbers among all of the step.
            drop: Which conditions each example of the step loses.
            key: Of the step's draws.
        """
        config, device = self.config, self.processes.device
        began = time.monotonic()
        batch = make_batch(
            examples,
            self.world.atlas,
            config.size,
            device=device,
            drop_text=drop.text[rows.start : rows.stop].tolist(),
            drop_context=drop.context[rows.start : rows.stop].tolist(),
            photographs=self.world.photographs,
        )
        rendered = time.monotonic()
        encoded = encode_batch(
            batch, self.world.encoder, device=device, channels_last=config.channels_last
        )
        self.render_s += rendered - began
        self.text_s += time.monotonic() - rendered
        draws = draw(
            *key,
            rows=range(rows.start * config.noises, rows.stop * config.noises),
            total=config.batch_size,
            shape=encoded.images.shape[1:],
            shift=config.timestep_shift,
            low_noise=config.low_noise if config.low_size else None,
            device=device,
        )
        if not self.work:
            self.work = config.accumulate * step_work(
                self.step_here.model, encoded, draws, lora=config.lora
            )
        with self._precision():
            losses = module(encoded, draws)
        # Processes take the mean of their gradients, partial batches add up.
        (losses.sum() * (self.processes.count / config.batch_size)).backward()
        return Part(batch=batch, draws=draws, losses=losses.detach())

    def _precision(self) -> AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.processes.device.type, torch.bfloat16)
        return nullcontext()
