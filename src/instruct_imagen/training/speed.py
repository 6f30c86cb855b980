"""How fast this machine is, and how much work a step is."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def seconds(action: Callable[[], Any], device: torch.device | str = "cpu") -> float:
    """Wall time of one call, the work of an accelerator included."""
    wait = torch.cuda.synchronize if torch.device(device).type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    action()
    wait()
    return time.perf_counter() - start


def convolution_rate(
    dtype: torch.dtype, device: torch.device | str = "cpu", *, calls: int = 12
) -> float:
    """GFLOP/s of a 3×3 convolution of 192 channels on 32 maps of 16×16, forward, median."""
    images = torch.randn(32, 192, 16, 16, device=device).to(
        dtype, memory_format=torch.channels_last
    )
    convolution = torch.nn.Conv2d(192, 192, 3, padding=1, device=device)
    convolution = convolution.to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        taken = [seconds(lambda: convolution(images), device) for _ in range(calls + 3)][3:]
    return 2 * 9 * 192 * 192 * 256 * 32 / median(taken) / 1e9


def product_rate(
    dtype: torch.dtype, device: torch.device | str = "cpu", *, calls: int = 12
) -> float:
    """GFLOP/s of a product of 2048×1024 and 1024×1024 matrices, median."""
    left = torch.randn(2048, 1024, device=device).to(dtype)
    right = torch.randn(1024, 1024, device=device).to(dtype)
    with torch.no_grad():
        taken = [seconds(lambda: left @ right, device) for _ in range(calls + 3)][3:]
    return 2 * 2048 * 1024 * 1024 / median(taken) / 1e9


def work(action: Callable[[], Any]) -> float:
    """GFLOP of one call: convolutions and matrix products, forward and backward.

    Counting takes apart what is counted: on some machines the results differ in their last bits
    from those of the same call uncounted.
    """
    with FlopCounterMode(display=False) as counted:
        action()
    return counted.get_total_flops() / 1e9
