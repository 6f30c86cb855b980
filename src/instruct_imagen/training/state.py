"""The tensors of a run, as a checkpoint has them and as its processes do."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from instruct_imagen.training.adapters import trained
from instruct_imagen.training.average import Average
from instruct_imagen.training.checkpoint import TrainingState
from instruct_imagen.training.sharding import shared_like, whole


def gathered(
    model: nn.Module, average: Average, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Weights, averages and the optimizer's state, whole; all processes must ask."""
    weights = {name: whole(value) for name, value in model.state_dict().items()}
    state = optimizer.state_dict()
    moments = {
        index: {key: whole(value) for key, value in entries.items()}
        for index, entries in state["state"].items()
    }
    return weights, averages(model, average), {**state, "state": moments}


def averages(model: nn.Module, average: Average) -> dict[str, Tensor]:
    """The averaged weights by name, whole, and those that are not trained; all must ask."""
    names = [name for name, _ in trained(model)]
    found = dict(zip(names, average.weights, strict=True))
    return {
        name: whole(found.get(name, parameter.detach()))
        for name, parameter in model.named_parameters()
    }


def scattered(
    state: TrainingState, model: nn.Module, average: Average, optimizer: torch.optim.Optimizer
) -> None:
    """Averages and the optimizer's state of a checkpoint, as these processes keep them.

    The weights are loaded before they are shared out.
    """
    optimizer.load_state_dict(dict(state.optimizer))
    # A checkpoint keeps no memory layout, and a fused optimizer walks raw memory: with a
    # channels-last weight and a contiguous moment it would pair the wrong elements.
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entries[key] = shared_like(value, parameter)
    average.weights = [
        shared_like(state.ema[name].to(parameter.device), parameter.detach())
        for name, parameter in trained(model)
    ]
