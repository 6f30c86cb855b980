"""The training objective, in one place: noise schedule, v target, loss, condition dropout.

The samplers are diffusers' schedulers built from the same config, so that the training target and
the inference formula cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, SchedulerMixin
from torch import Tensor

TIMESTEPS = 1000

SCHEDULER_CONFIG = {
    "num_train_timesteps": TIMESTEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
"""Cosine schedule and v-prediction ([Hu24] A.2.2).

Its last step has a signal-to-noise ratio of 2.4e-9: sampling starts at that very step ("trailing"),
so training and sampling agree on pure noise without rescaling the betas (docs/log.md).
"""


@dataclass(frozen=True, kw_only=True)
class Noised:
    """What the network sees and what it should say.

    Attributes:
        sample: (B, C, H, W) noisy images.
        timesteps: (B,) int64 in [0, TIMESTEPS).
        target: (B, C, H, W) v.
    """

    sample: Tensor
    timesteps: Tensor
    target: Tensor


@dataclass(frozen=True, kw_only=True)
class ConditionDrop:
    """Which conditions each sample loses, (B,) bool each.

    Attributes:
        text: The text is replaced by the empty one.
        context: All references are left out.
    """

    text: Tensor
    context: Tensor


def training_scheduler() -> DDPMScheduler:
    """The scheduler whose alphas define the training noise."""
    return DDPMScheduler(**SCHEDULER_CONFIG)


def sampling_scheduler() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ on the training schedule, with Imagen's dynamic thresholding for pixels."""
    return DPMSolverMultistepScheduler(**SCHEDULER_CONFIG, thresholding=True)


def draw_timesteps(batch: int, generator: torch.Generator, *, shift: float = 1.0) -> Tensor:
    """Stratified timesteps: one in each of `batch` equal parts, in random order.

    Args:
        batch: B.
        generator: On the CPU.
        shift: s of u → s·u / (1 + (s - 1)·u); 1 is uniform, above 1 gives more of the high noise
            where layout is decided.

    Returns:
        (B,) int64 in [0, TIMESTEPS), on the CPU.

    Raises:
        ValueError: when shift is not positive.
    """
    if shift <= 0:
        raise ValueError(f"timestep shift must be positive, not {shift}")
    fractions = (torch.arange(batch) + torch.rand(batch, generator=generator)) / batch
    fractions = shift * fractions / (1 + (shift - 1) * fractions)
    steps = (fractions * TIMESTEPS).long().clamp(max=TIMESTEPS - 1)
    return steps[torch.randperm(batch, generator=generator)]


def add_noise(scheduler: DDPMScheduler, images: Tensor, noise: Tensor, steps: Tensor) -> Noised:
    """Z = α·x + σ·ε and v = α·ε - σ·x ([Hu24] A.2.2; Salimans and Ho 2022, §4).

    Args:
        scheduler: From `training_scheduler`.
        images: (B, C, H, W) in [-1, 1].
        noise: Same shape, standard normal.
        steps: (B,) int64.
    """
    return Noised(
        sample=scheduler.add_noise(images, noise, steps),
        timesteps=steps,
        target=scheduler.get_velocity(images, noise, steps),
    )


RESIDUAL_STD = 0.2
"""Standard deviation, in [-1, 1], of what an enlarged picture lacks where no reference lends to it.

From an eighth of the side it is 0.15 over all pixels of 32 pictures of the world, and 0.28 over
those where it is more than 0.02; from a quarter of the side 0.09 and 0.2."""


RESIDUAL_NOISE = 0.75
"""Share of the noise levels, from the lowest, that an upscaler is trained with.

At its end noise is 2.4 times the picture, twelve times what the small one lacks, which cannot be
seen in it: sampling begins at the first of its steps below, with the small picture, enlarged, and
what references lend it."""

LEAST_NOISE = 0.1
"""Noise, in pictures, below which an upscaler's errors weigh no more; the last of eight steps
begins at 0.155."""


def clean_of_residual(output: Tensor, picture: Tensor) -> Tensor:
    """An upscaler's picture, from what its network says beyond the small one.

    The network says what the enlarged picture lacks, of which noise is no part: a cell of folded
    pixels has more of them than the network has channels, and could not carry their noise to the
    output, as predicting v asks for (Li and He 2025, §3, on patches; docs/log.md). Nor is that of
    the small picture: what is added is the picture without the noise that the network sees on it.

    Args:
        output: (B, C, H, W) of the network, of about unit variance.
        picture: (B, C, H, W) the small pictures, enlarged, with what references lend.

    Returns:
        (B, C, H, W) float32.
    """
    return picture.float() + RESIDUAL_STD * output.float()


def v_of_clean(scheduler: SchedulerMixin, clean: Tensor, sample: Tensor, steps: Tensor) -> Tensor:
    """The v of a picture that is said to be the clean one of a noisy `sample`.

    Args:
        scheduler: Its ``alphas_cumprod`` define the noise.
        clean: (B, C, H, W).
        sample: (B, C, H, W).
        steps: (B,) or scalar int64, how noisy it is.

    Returns:
        (B, C, H, W) float32.
    """
    alpha, sigma = _factors(scheduler, steps, sample)
    return (alpha * sample.float() - clean.float()) / sigma


def clean_loss(scheduler: SchedulerMixin, clean: Tensor, images: Tensor, steps: Tensor) -> Tensor:
    """Errors in units of `RESIDUAL_STD`, weighed by 1 + (`RESIDUAL_STD` / noise)²: (B,).

    Those are the weights of Karras et al. (2022, Table 1) for data of what the small picture lacks.
    The v loss is for data of unit variance: errors under little noise, where nothing is undecided
    any more, weigh up to 25 times more in it (docs/log.md). Noise is counted in pictures, and is at
    least `LEAST_NOISE`.

    Args:
        scheduler: See `v_of_clean`.
        clean: (B, C, H, W) as predicted.
        images: (B, C, H, W), the true ones.
        steps: (B,) int64.
    """
    alpha, sigma = _factors(scheduler, steps, images)
    noise = (sigma / alpha).flatten().clamp(LEAST_NOISE)
    weight = 1 / RESIDUAL_STD**2 + 1 / noise.square()
    return weight * per_sample_loss(clean, images)


def _factors(scheduler: SchedulerMixin, steps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of picture and noise at some levels, to be multiplied with pictures."""
    levels = steps.reshape(-1, 1, 1, 1).long()  # some schedulers have floats
    kept = scheduler.alphas_cumprod.to(like.device)[levels].float()
    return kept.sqrt(), (1 - kept).sqrt()


def draw_condition_drop(
    batch: int, generator: torch.Generator, *, drop_both: float = 0.1, drop_context: float = 0.1
) -> ConditionDrop:
    """The two independent drops of [Hu24] A.3.1, each drawn per sample.

    Args:
        batch: B.
        generator: On the CPU.
        drop_both: Probability that text and context go together.
        drop_context: Probability that the context alone goes.

    Raises:
        ValueError: when a probability lies outside [0, 1].
    """
    for name, value in (("drop_both", drop_both), ("drop_context", drop_context)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {value}")
    both = torch.rand(batch, generator=generator) < drop_both
    context = torch.rand(batch, generator=generator) < drop_context
    return ConditionDrop(text=both, context=both | context)


def per_sample_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error in float32: (B,)."""
    return (predicted.float() - target.float()).square().flatten(1).mean(dim=1)
