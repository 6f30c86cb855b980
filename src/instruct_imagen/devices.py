"""Tensors on their way to an accelerator, which neither side waits for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device | str) -> Tensor:
    """The same on a device.

    A copy from ordinary memory to a CUDA device waits for all that was begun there before; one from
    pinned memory is only put behind it. torch keeps the pinned memory until the copy is made.
    """
    if torch.device(device).type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def indices(numbers: Sequence[int], device: torch.device | str) -> Tensor:
    """Whole numbers as (N,) int64 on a device; see `sent`."""
    return sent(torch.tensor(numbers, dtype=torch.int64), device)
