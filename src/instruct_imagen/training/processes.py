"""One process or many: what `torchrun` started, and how they train one network together."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from instruct_imagen.training.step import TrainingStep

Strategy = Literal["ddp", "fsdp"]


class Processes:
    """This process among those of a run.

    Args:
        device: Of a single process; with several, of their kind.
        strategy: ``ddp`` keeps everything in each process; ``fsdp`` (FSDP2) shares out weights,
            gradients, moments and averages.

    Attributes:
        rank: Of this process, from 0.
        count: How many there are.
        device: Of this process.
    """

    def __init__(self, device: torch.device, strategy: Strategy = "ddp") -> None:
        self.strategy = strategy
        self.device = device
        self.rank, self.count = 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            state = PartialState(cpu=device.type == "cpu")
            self.rank, self.count, self.device = (
                state.process_index,
                state.num_processes,
                state.device,
            )

    @property
    def first(self) -> bool:
        """Whether this one writes and prints."""
        return self.rank == 0

    @property
    def shares_weights(self) -> bool:
        """Whether each process keeps a part of the weights (contiguous, as FSDP2 asks)."""
        return self.count > 1 and self.strategy == "fsdp"

    def share(self, total: int) -> range:
        """Which of `total` things, a multiple of `count`, are this process's."""
        each = total // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def wrapped(self, step: TrainingStep) -> nn.Module:
        """The step, such that its gradients are means over all processes."""
        if self.count == 1:
            return step
        if not self.shares_weights:
            ids = [self.device.index] if self.device.type == "cuda" else None
            return DistributedDataParallel(step, device_ids=ids)
        # As a whole: the network's encoder runs twice in a step, once for the references, and which
        # of its gradients are ready first differs between processes.
        return fully_shard(step)

    def gradients_later(self, module: nn.Module) -> AbstractContextManager[None]:
        """Within it a backward pass adds up gradients in this process alone."""
        if isinstance(module, DistributedDataParallel):
            return module.no_sync()
        return nullcontext()

    def any(self, flag: bool) -> bool:
        """Whether the flag of any process is set; all must ask."""
        if self.count == 1:
            return flag
        found = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return bool(found)

    def gathered(self, value: Any) -> list[Any]:
        """The value of each process, by rank; all must ask."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value)
        return found

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()
