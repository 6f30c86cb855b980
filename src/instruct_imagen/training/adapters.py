"""Low-rank adapters on the attention's linear layers (LoRA, Hu et al. 2022), by peft.

An adapted layer computes W x + B A x with A of (rank, in) and B of (out, rank); only A and B are
trained. B starts at zero, so the first output is that of W alone, bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

# Queries, keys, values and outputs of diffusers' attention and of our context attention. What
# tells places apart (`position_q`, `position_k`) is the same in any picture, and stays.
_ATTENTION = re.compile(r"\.(to_q|to_k|to_v|to_out|to_out\.0|add_k_proj|add_v_proj)$")
_BASE = ".base_layer."
ADAPTER = ".lora_"
"""In the name of each weight of an adapter."""


def add_adapters(model: nn.Module, rank: int, *, seed: int = 0) -> None:
    """Gives each linear attention layer of `model` an adapter, and freezes everything else.

    Args:
        model: Changed in place; its layers get peft's names (``to_q.base_layer.weight``, …).
        rank: Of B A, at least 1. Its scale is 1 (peft's ``lora_alpha`` is the rank).
        seed: Of A.
    """
    from peft import LoraConfig, inject_adapter_in_model

    layers = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and _ATTENTION.search(name)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), model)


def trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that a training changes, by name: all, or the adapters alone."""
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without adapters that compute the same up to rounding: W + B A.

    Args:
        weights: Of a network by name; without adapters they come back as they are.

    Returns:
        By the names that the network has without adapters.
    """
    found = {}
    for name, value in weights.items():
        if ADAPTER in name:
            continue
        if name.endswith(f"{_BASE}weight"):
            layer = name.removesuffix(f"{_BASE}weight")
            down, up = (weights[f"{layer}.lora_{half}.default.weight"] for half in "AB")
            value = value + up @ down
        found[name.replace(_BASE, ".")] = value
    return found
