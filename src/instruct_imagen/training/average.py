"""The exponential moving average of the weights, from which images are sampled ([Hu24] A.2.2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from instruct_imagen.training.sharding import part

_POWER = 0.75


class Average:
    """Averaged weights: w̄ ← d·w̄ + (1 - d)·w after each step.

    The decay d of step t (from 1) is 1 - t^-0.75, at most `decay`: at first the average forgets
    fast, so that it is of use early (the schedule of diffusers' `EMAModel`).

    Args:
        parameters: Of the network, possibly shared out.
        decay: Largest d.

    Attributes:
        weights: In the order of the parameters.
        steps: Taken so far.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self.weights: list[Tensor] = [parameter.detach().clone() for parameter in self._parameters]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes the parameters as they are into the average."""
        self.steps += 1
        decay = min(self._decay, 1 - self.steps**-_POWER)
        torch._foreach_lerp_(_parts(self.weights), _parts(self._parameters), 1 - decay)


def _parts(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [part(tensor) for tensor in tensors]
