"""The gradient of partial batches: examples → pixels and texts → losses → gradient."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instruct_imagen.data.batch import Batch, make_batch
from instruct_imagen.data.example import Example
from instruct_imagen.diffusion.objective import RESIDUAL_NOISE, ConditionDrop
from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.training.drafts import Drafts
from instruct_imagen.training.draws import Draws, draw
from instruct_imagen.training.packed_world import World
from instruct_imagen.training.processes import Processes
from instruct_imagen.training.step import (
    Encoded,
    TrainingStep,
    encode_batch,
    step_work,
    with_details,
)

_DRAFTS = 5  # of a step's draws


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A partial batch that is ready for the network.

    Attributes:
        batch: Its examples.
        encoded: Their pixels and text states.
        rows: Their numbers among all of the step.
    """

    batch: Batch
    encoded: Encoded
    rows: range


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A step whose first partial batch is ready.

    Attributes:
        examples: All of the step in this process.
        drop: Which conditions each example of the step, in all processes, loses.
        share: Numbers of the examples among all of the step.
        first: The first partial batch.
    """

    examples: Sequence[Example]
    drop: ConditionDrop
    share: range
    first: Prepared


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
        self.drafts: Drafts | None = None
        if config.draft:
            self.drafts = Drafts(
                config.draft, config.draft_share, config.low_size, world.encoder, processes.device
            )
        self.render_s = self.text_s = self.work = 0.0

    def begin(self, examples: Sequence[Example], drop: ConditionDrop, share: range) -> Begun:
        """Makes the first partial batch of a step ready.

        Args:
            examples: All of the step in this process.
            drop: Which conditions each example of the step, in all processes, loses.
            share: Numbers of the examples among all of the step.
        """
        size = len(share) // self.config.accumulate
        first = self._prepare(examples[:size], share[:size], drop)
        return Begun(examples=examples, drop=drop, share=share, first=first)

    def parts(self, begun: Begun) -> Iterator[Prepared]:
        """The partial batches of a step; those after the first are made ready one by one."""
        yield begun.first
        size = len(begun.first.rows)
        for start in range(size, len(begun.share), size):
            part = slice(start, start + size)
            yield self._prepare(begun.examples[part], begun.share[part], begun.drop)

    def _prepare(self, examples: Sequence[Example], rows: range, drop: ConditionDrop) -> Prepared:
        """Draws the pictures of a partial batch and encodes its texts."""
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
        return Prepared(batch=batch, encoded=encoded, rows=rows)

    def add(
        self, module: nn.Module, prepared: Prepared, key: tuple[int, ...], *, drafts: bool
    ) -> Part:
        """Adds the gradient of a partial batch.

        Args:
            module: The same step, such that its gradients are means over all processes.
            prepared: The partial batch.
            key: Of the step's draws.
            drafts: Whether a base model draws some of the small pictures, if one is named.
        """
        config, encoded, rows = self.config, prepared.encoded, prepared.rows
        draws = draw(
            *key,
            rows=range(rows.start * config.noises, rows.stop * config.noises),
            total=config.batch_size,
            shape=encoded.images.shape[1:],
            shift=config.timestep_shift,
            highest=RESIDUAL_NOISE if self.step_here.residual else 1.0,
            low_noise=config.low_noise if config.low_size else None,
            low_size=config.low_size,
            device=self.processes.device,
        )
        if not self.work:
            self.work = config.accumulate * step_work(
                self.step_here.model, encoded, draws, lora=config.lora
            )
        with self._precision():
            if drafts and self.drafts is not None:
                encoded = self.drafts(encoded, self._draft_draws(rows, key))
            if self.step_here.residual:
                encoded = with_details(encoded, config.low_size)
            losses = module(encoded, draws)
        # Processes take the mean of their gradients, partial batches add up.
        (losses.sum() * (self.processes.count / config.batch_size)).backward()
        return Part(batch=prepared.batch, draws=draws, losses=losses.detach())

    def _draft_draws(self, rows: range, key: tuple[int, ...]) -> Draws:
        """One draw for each example; its level decides whether it is a draft."""
        config = self.config
        return draw(
            *key,
            _DRAFTS,
            rows=rows,
            total=config.batch_size // config.noises,
            shape=(3, config.low_size, config.low_size),
            shift=1.0,
            device=self.processes.device,
        )

    def _precision(self) -> AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.processes.device.type, torch.bfloat16)
        return nullcontext()
