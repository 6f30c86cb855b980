"""Classifier-free guidance, wrapped around a denoiser and never inside a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

GuidanceKind = Literal["constant", "oscillating", "interval"]

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""(noisy (B, C, H, W), timestep) → prediction of the same shape."""


def guidance_weights(kind: str, scale: float, steps: int) -> list[float]:
    """One guidance weight a sampling step; 1.0 means no guidance.

    Args:
        kind: ``constant``; ``oscillating``, on at even steps and off at odd ones ([Hu24] §5: 25 on
            one step, none on the next); ``interval``, on for the middle two thirds.
        scale: Weight where it is on. Must be at least 1.
        steps: Number of sampling steps.

    Raises:
        ValueError: for an unknown kind or a scale below 1.
    """
    if kind not in get_args(GuidanceKind):
        known = ", ".join(get_args(GuidanceKind))
        raise ValueError(f"guidance '{kind}' is unknown: use one of {known}")
    if scale < 1:
        raise ValueError(f"guidance scale must be at least 1 (1 is no guidance), not {scale}")
    if kind == "constant":
        on = [True] * steps
    elif kind == "oscillating":
        on = [step % 2 == 0 for step in range(steps)]
    else:
        on = [steps / 6 <= step < steps * 5 / 6 for step in range(steps)]
    return [float(scale) if step_on else 1.0 for step_on in on]


def guided(both: Denoiser, conditional: Denoiser) -> Callable[[Tensor, Tensor, float], Tensor]:
    """A denoiser with a weight.

    Args:
        both: Takes the batch twice, one after the other, and predicts with the condition for the
            first half and without for the second.
        conditional: Predicts with the condition only. An unguided step calls this alone, so it pays
            for one forward.

    Returns:
        (noisy, timestep, weight) → unconditional + weight · (conditional - unconditional).
    """

    def denoise(sample: Tensor, timestep: Tensor, weight: float) -> Tensor:
        if weight == 1.0:
            return conditional(sample, timestep)
        with_condition, without = both(sample, timestep).chunk(2)
        return without + weight * (with_condition - without)

    return denoise
