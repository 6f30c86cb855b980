"""One training step: the place where network and objective meet."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from instruct_imagen.data.batch import Batch
from instruct_imagen.devices import sent
from instruct_imagen.diffusion.objective import (
    add_noise,
    clean_loss,
    clean_of_residual,
    per_sample_loss,
    training_scheduler,
)
from instruct_imagen.images import uint8_to_signed
from instruct_imagen.model.super_resolution import (
    LowResolution,
    SuperResolutionUNet,
    shrunk,
)
from instruct_imagen.model.text import TextEncoder, TextStates
from instruct_imagen.model.texture_transfer import transferred
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch
from instruct_imagen.training.adapters import add_adapters
from instruct_imagen.training.draws import Draws
from instruct_imagen.training.speed import work


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A batch with its texts encoded and its pixels in [-1, 1], ready for the network.

    Attributes:
        images: (B, 3, H, W) float32 in [-1, 1].
        text: States of the B payload texts.
        references: The packed references.
        small: (B, 3, low, low) float32 in [-1, 1], what an upscaler enlarges; None for the images
            themselves, shrunk.
        details: (B, 3, H, W) float32, what the references lend to it; None for nothing.
    """

    images: Tensor
    text: TextStates
    references: ReferenceBatch
    small: Tensor | None = None
    details: Tensor | None = None


def encode_batch(
    batch: Batch, encoder: TextEncoder, *, device: torch.device, channels_last: bool
) -> Encoded:
    """Texts to states (kept by content), pixels to floats."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    text = encoder(batch.texts).to(device)
    prompts = encoder(batch.reference_prompts or [""]).to(device)
    return Encoded(
        images=uint8_to_signed(sent(batch.targets, device)).contiguous(memory_format=layout),
        text=text,
        references=ReferenceBatch(
            images=uint8_to_signed(sent(batch.reference_images, device)).contiguous(
                memory_format=layout
            ),
            text=prompts,
            markers=batch.markers.to(device),
            reference=batch.reference.to(device),
            sample=batch.sample.to(device),
            slot=batch.slot.to(device),
            batch_size=len(batch.texts),
            slots=batch.slots,
            lends=batch.lends,
        ),
    )


class TrainingStep(nn.Module):
    """The network with its loss: what is wrapped where several processes train together.

    Args:
        model: Predicts v.
    """

    def __init__(self, model: InstructUNet) -> None:
        super().__init__()
        self.model = model
        self.scheduler = training_scheduler()

    def forward(self, encoded: Encoded, draws: Draws) -> Tensor:
        """The v loss of [Hu24] A.2.2, sample by sample; of an upscaler see `clean_loss`.

        Args:
            encoded: The batch of B examples.
            draws: Of a multiple of B samples: each example is seen with so many draws of noise,
                which share its text and encoded references.

        Returns:
            (samples,) float32, example by example.
        """
        noises = len(draws.noise) // len(encoded.images)
        images = encoded.images.repeat_interleave(noises, dim=0)
        noise = draws.noise.contiguous(memory_format=torch.channels_last)
        noised = add_noise(self.scheduler, images, noise, draws.timesteps)
        context = self.model.encode_context(encoded.references, tuple(images.shape[-2:]))
        low = self._low(encoded, images, draws)
        predicted = self.model(
            noised.sample,
            noised.timesteps,
            encoded.text.repeated(noises),
            context.repeated(noises),
            **({} if low is None else {"low": low}),
        )
        if low is not None and self.residual:
            clean = clean_of_residual(predicted, low.picture)
            losses = clean_loss(self.scheduler, clean, images, noised.timesteps)
        else:
            losses = per_sample_loss(predicted, noised.target)
        if not encoded.references.slots:
            # Each weight gets a gradient at each step, in every process.
            losses = losses + 0.0 * sum(weight.sum() for weight in self.model.reference_weights())
        return losses

    @property
    def residual(self) -> bool:
        """Whether the network is an upscaler that says what the small picture lacks."""
        return isinstance(self.model, SuperResolutionUNet) and self.model.residual

    def _low(self, encoded: Encoded, images: Tensor, draws: Draws) -> LowResolution | None:
        """What an upscaler sees of the true images besides, small, noised, enlarged and lent to."""
        if not isinstance(self.model, SuperResolutionUNet):
            return None
        assert draws.low is not None  # drawn for every upscaler
        noises = len(images) // len(encoded.images)
        small = small_pictures(encoded, self.model.low_size).repeat_interleave(noises, dim=0)
        details = torch.zeros_like(images)
        if encoded.details is not None:
            details = encoded.details.repeat_interleave(noises, dim=0)
        noised = add_noise(self.scheduler, small, draws.low.noise, draws.low.timesteps)
        return LowResolution.of(small, noised.sample, noised.timesteps, details)


def small_pictures(encoded: Encoded, low_size: int) -> Tensor:
    """What an upscaler enlarges: (B, 3, low, low) float32."""
    return shrunk(encoded.images, low_size) if encoded.small is None else encoded.small


def with_details(encoded: Encoded, low_size: int) -> Encoded:
    """The batch with what its references lend to its small pictures (`texture_transfer`)."""
    small = small_pictures(encoded, low_size)
    lent = transferred(small, encoded.references, encoded.images.shape[-1])
    return replace(encoded, details=lent)


def step_work(model: InstructUNet, encoded: Encoded, draws: Draws, *, lora: int = 0) -> float:
    """GFLOP of a network on a batch, forward and backward.

    Computes nothing: a network and a batch of the same shapes, without values, are counted in
    place of the training's own, whose results counting could change.

    Args:
        model: The network, of which only the config counts.
        encoded: A batch, possibly without values.
        draws: Its draws.
        lora: Rank of the adapters that alone are trained; 0 where everything is.
    """
    given = {name: value for name, value in model.config.items() if not name.startswith("_")}
    with torch.device("meta"):
        shapes = TrainingStep(type(model)(**given))
        if lora:
            add_adapters(shapes.model, lora)
    batch, noise = _without_values(encoded), _without_values(draws)
    return work(lambda: shapes(batch, noise).sum().backward())


def _without_values(value: Any) -> Any:
    """The same with all tensors on the meta device."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: _without_values(part) for name, part in parts.items()})
    return value
