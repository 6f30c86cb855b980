"""All randomness of training, as functions of whole numbers: a resumed run draws the same.

What a sample draws depends on its number in the step alone, so neither the number of processes nor
of partial batches changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from instruct_imagen.devices import sent
from instruct_imagen.diffusion.objective import draw_timesteps


def seed_of(*numbers: int) -> int:
    """A seed in [0, 2^63) that depends on all of these numbers and their order."""
    mixed = 0x9E3779B97F4A7C15
    for number in numbers:
        mixed = ((mixed ^ (number + 1)) * 0xBF58476D1CE4E5B9) & (2**63 - 1)
        mixed ^= mixed >> 31
    return mixed


def rng_for(*numbers: int) -> torch.Generator:
    """A CPU generator that depends on these numbers alone, e.g. (seed, stage, step)."""
    return torch.Generator().manual_seed(seed_of(*numbers))


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Noise and its level for B samples.

    Attributes:
        timesteps: (B,) int64.
        noise: (B, C, H, W) float32, standard normal.
        low: Those of the noise on what an upscaler enlarges, (B, C, low, low); None for a base
            model.
    """

    timesteps: Tensor
    noise: Tensor
    low: Draws | None = None


def draw(
    *key: int,
    rows: Sequence[int],
    total: int,
    shape: Sequence[int],
    shift: float,
    highest: float = 1.0,
    low_noise: float | None = None,
    low_size: int = 0,
    device: torch.device | str = "cpu",
) -> Draws:
    """The draws of some samples of a step.

    Args:
        *key: Of the step: seed, stage, step, …
        rows: Numbers of the B samples among all of the step.
        total: How many samples the step has; their timesteps are stratified together.
        shape: (C, H, W).
        shift: See `draw_timesteps`.
        highest: Share of the noise levels, from the lowest, that are drawn.
        low_noise: Share of the noise levels, from the lowest, that an upscaler's input gets evenly;
            None for a base model.
        low_size: Side of that input.
        device: Where they are needed. A kind of device has noise of its own.
    """
    steps = (_timesteps(rows, total, rng_for(*key, 1), shift) * highest).long()
    found = Draws(
        timesteps=sent(steps, device),
        noise=_noise((*key, 2), rows, shape, device),
    )
    if low_noise is None:
        return found
    levels = (_timesteps(rows, total, rng_for(*key, 3), 1.0) * low_noise).long()
    small = (shape[0], low_size, low_size)
    low = Draws(timesteps=sent(levels, device), noise=_noise((*key, 4), rows, small, device))
    return replace(found, low=low)


def _timesteps(rows: Sequence[int], total: int, rng: torch.Generator, shift: float) -> Tensor:
    return draw_timesteps(total, rng, shift=shift)[list(rows)]


def _noise(
    key: tuple[int, ...], rows: Sequence[int], shape: Sequence[int], device: torch.device | str
) -> Tensor:
    """Each row from a generator of its own."""
    noise = torch.empty(len(rows), *shape, device=device)
    generator = torch.Generator(device)
    for place, row in enumerate(rows):
        generator.manual_seed(seed_of(*key, row))
        noise[place].normal_(generator=generator)
    return noise
