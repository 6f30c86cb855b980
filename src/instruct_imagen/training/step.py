"""One training step: the place where network and objective meet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from instruct_imagen.data.batch import Batch
from instruct_imagen.diffusion.objective import add_noise, draw_timesteps, per_sample_loss
from instruct_imagen.images import uint8_to_signed
from instruct_imagen.model.text import TextEncoder, TextStates
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A batch with its texts encoded and its pixels in [-1, 1], ready for the network.

    Attributes:
        images: (B, 3, H, W) float32 in [-1, 1].
        text: States of the B payload texts.
        references: The packed references.
    """

    images: Tensor
    text: TextStates
    references: ReferenceBatch


@dataclass(frozen=True, kw_only=True)
class StepLoss:
    """Losses of a step.

    Attributes:
        mean: Scalar to be differentiated.
        per_sample: (B,) detached.
        timesteps: (B,) int64.
    """

    mean: Tensor
    per_sample: Tensor
    timesteps: Tensor


def encode_batch(
    batch: Batch, encoder: TextEncoder, *, device: torch.device, channels_last: bool
) -> Encoded:
    """Texts to states (kept by content), pixels to floats."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    text = encoder(batch.texts).to(device)
    prompts = encoder(batch.reference_prompts or [""]).to(device)
    return Encoded(
        images=uint8_to_signed(batch.targets.to(device)).contiguous(memory_format=layout),
        text=text,
        references=ReferenceBatch(
            images=uint8_to_signed(batch.reference_images.to(device)).contiguous(
                memory_format=layout
            ),
            text=prompts,
            sample=batch.sample.to(device),
            slot=batch.slot.to(device),
            markers=batch.markers.to(device),
            batch_size=len(batch.texts),
            slots=batch.slots,
        ),
    )


def step_loss(
    model: InstructUNet,
    scheduler: DDPMScheduler,
    encoded: Encoded,
    generator: torch.Generator,
    *,
    timestep_shift: float,
    noises: int = 1,
) -> StepLoss:
    """The v loss of [Hu24] A.2.2 on one batch.

    Args:
        model: Predicts v.
        scheduler: From `diffusion.objective.training_scheduler`.
        encoded: The batch.
        generator: On the CPU; all noise and timesteps of the step come from it.
        timestep_shift: See `draw_timesteps`.
        noises: Draws of noise and timestep an example; they share its text and encoded references.
            Per-sample figures come example by example, `noises` of each.
    """
    images = encoded.images.repeat_interleave(noises, dim=0)
    steps = draw_timesteps(len(images), generator, shift=timestep_shift).to(images.device)
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    noise = noise.contiguous(memory_format=torch.channels_last)
    noised = add_noise(scheduler, images, noise, steps)
    context = model.encode_context(encoded.references, tuple(images.shape[-2:]))
    predicted = model(
        noised.sample, noised.timesteps, encoded.text.repeated(noises), context.repeated(noises)
    )
    losses = per_sample_loss(predicted, noised.target)
    return StepLoss(mean=losses.mean(), per_sample=losses.detach(), timesteps=steps)
