"""Tensors of which each process keeps a part (FSDP2's DTensors), and plain ones, alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate


def whole(value: Any) -> Any:
    """A tensor that is shared out, as one on the CPU; anything else as it is. All must ask."""
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def shared_like(value: Tensor, pattern: Tensor) -> Tensor:
    """A tensor that every process has whole, placed and shared out as `pattern` is."""
    if not isinstance(pattern, DTensor):
        return torch.empty_like(pattern, dtype=value.dtype).copy_(value)
    return _dtensor(own_part(value.to(pattern.device), pattern).contiguous(), pattern)


def _dtensor(local: Tensor, pattern: DTensor) -> DTensor:
    return DTensor.from_local(
        local,
        pattern.device_mesh,
        pattern.placements,
        shape=pattern.shape,
        stride=pattern.stride(),
    )


def part(value: Tensor) -> Tensor:
    """This process's part of a tensor, sharing its memory; all of one that is not shared out."""
    return value.to_local() if isinstance(value, DTensor) else value


def assembled(local: Tensor, pattern: Tensor) -> Tensor:
    """The whole tensor of which each process has its part, shared out as `pattern` is."""
    if not isinstance(pattern, DTensor):
        return local
    return _dtensor(local, pattern).full_tensor()


def own_part(value: Tensor, pattern: Tensor) -> Tensor:
    """This process's part of a tensor that every process has whole; the inverse of `assembled`."""
    if not isinstance(pattern, DTensor):
        return value
    mesh = pattern.device_mesh
    replicated = DTensor.from_local(value, mesh, [Replicate()] * mesh.ndim)
    return replicated.redistribute(placements=pattern.placements).to_local()
