"""`SuperResolutionPipeline`: an instruction and a small picture of its answer → a large one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline, SchedulerMixin
from diffusers.utils.torch_utils import randn_tensor
from PIL.Image import Image
from torch import Tensor

from instruct_imagen.diffusion.objective import (
    RESIDUAL_NOISE,
    TIMESTEPS,
    clean_of_residual,
    training_scheduler,
    v_of_clean,
)
from instruct_imagen.editing import UPSCALER_STEPS
from instruct_imagen.images import to_pil, to_tensor
from instruct_imagen.instruction import Instruction
from instruct_imagen.model.super_resolution import LowResolution, SuperResolutionUNet
from instruct_imagen.model.text import TextEncoder
from instruct_imagen.model.texture_transfer import transferred
from instruct_imagen.model.unet import ReferenceBatch
from instruct_imagen.pipeline import (
    BASE,
    InstructImagenOutput,
    InstructImagenPipeline,
    ModelError,
    NetworkInputs,
    StepCallback,
    as_generators,
    as_instructions,
    without_references,
)

MOST_STEPS = int(RESIDUAL_NOISE * TIMESTEPS)
"""Of sampling."""


class SuperResolutionPipeline(InstructImagenPipeline):
    """Enlarges what a base model drew, and sees its references again, at full resolution.

    Args:
        unet: The upscaler.
        text_encoder: Frozen, with markers.
        scheduler: Any diffusers scheduler with the config of `diffusion.objective`.
        instruction: See `InstructImagenPipeline`.
        references: False for an upscaler that was trained on text alone, as the paper's
            ([Hu24] A.2.1): it never sees the references.

    Raises:
        ModelError: The network is no upscaler, or gives other channels than a picture has.
    """

    model_cpu_offload_seq = "text_encoder->unet"
    _optional_components = []  # noqa: RUF012 - diffusers reads a list
    vae = None  # it works on pixels

    def __init__(
        self,
        unet: SuperResolutionUNet,
        text_encoder: TextEncoder,
        scheduler: SchedulerMixin,
        instruction: bool = True,
        references: bool = True,
    ) -> None:
        DiffusionPipeline.__init__(self)  # its components are other ones than the base model's
        if not isinstance(unet, SuperResolutionUNet):
            raise ModelError(f"this network is no upscaler: use {BASE}")
        shown = 3 if unet.residual else 2
        given, taken = unet.unet.config.out_channels, unet.unet.config.in_channels
        if unet.residual and taken != shown * given:
            raise ModelError(
                f"this network takes {taken} channels where {shown * given} are expected: it was "
                "saved by an earlier version, without a place for what references lend; train anew"
            )
        if taken != shown * given:
            raise ModelError(
                f"this network gives {given} channels where {taken // shown} are expected (a "
                "learned variance is not sampled here): use one without"
            )
        self.register_modules(unet=unet, text_encoder=text_encoder, scheduler=scheduler)
        self.register_to_config(instruction=instruction, references=references)

    @property
    def low_size(self) -> int:
        """Side of what it enlarges, in pixels."""
        return int(self.unet.low_size)

    @property
    def _channels(self) -> int:
        return super()._channels // (3 if self.unet.residual else 2)

    @torch.no_grad()
    def __call__(
        self,
        instruction: Instruction | Sequence[Instruction],
        images: Any,
        *,
        num_inference_steps: int = UPSCALER_STEPS,
        guidance_scale: float = 1.0,
        guidance: str = "constant",
        noise_level: float | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
    ) -> InstructImagenOutput:
        """Enlarges one image for each instruction.

        Args:
            instruction: One, or several that are computed as one batch.
            images: As many, each anything that `images.load_image` reads; brought to `low_size`.
                Also what the base pipeline returns, as PIL images or a tensor.
            num_inference_steps: Sampling steps, at most `MOST_STEPS`.
            guidance_scale: Weight of classifier-free guidance; 1 is none.
            guidance: See `InstructImagenPipeline`.
            noise_level: Share of the noise levels that is put on the small image, from 0 to what
                the network was trained with: more of it trusts the image less. None for 0.1, or
                less where it knows less.
            generator: See `InstructImagenPipeline`.
            output_type: ``pil``, ``np`` or ``pt``.
            callback_on_step_end: See `InstructImagenPipeline`.

        Raises:
            InstructionError: An instruction that this model cannot follow.
            ImageError: An image that cannot be read.
            ValueError: Numbers of instructions, images and generators that differ, or a value out
                of its range.
        """
        instructions, small = _paired(instruction, images)
        if self.unet.residual and num_inference_steps > MOST_STEPS:
            raise ValueError(
                f"num_inference_steps must be at most {MOST_STEPS}, the noise levels that this "
                f"upscaler was trained with, not {num_inference_steps}"
            )
        highest = float(self.unet.low_noise)
        level = min(0.1, highest) if noise_level is None else noise_level
        if not 0 <= level <= highest:
            raise ValueError(
                f"noise_level must lie in 0 to {highest:g}, which this upscaler was trained with, "
                f"not {noise_level}"
            )
        generators = as_generators(generator, len(instructions))

        def prepared(references: ReferenceBatch) -> NetworkInputs:
            low, without = self._low(small, level, generators, references)
            # Guidance compares with the half that has no references, which lend it nothing either.
            return lambda copies: {"low": low if copies == 1 else low.concatenated(without)}

        return self._generate(
            instructions,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            guidance=guidance,
            generators=generators,
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            prepared=prepared,
        )

    @torch.no_grad()
    def lent(self, instruction: Instruction | Sequence[Instruction], images: Any) -> list[Image]:
        """What the network starts from: the small images enlarged, with what references lend them.

        Args:
            instruction: As in `__call__`.
            images: As in `__call__`.

        Returns:
            PIL images, without any noise; plainly bicubic from a network that is lent nothing.

        Raises:
            ImageError: An image that cannot be read.
            ValueError: Numbers of instructions and images that differ.
        """
        instructions, listed = _paired(instruction, images)
        small = to_tensor(listed, self.low_size).to(self._execution_device)
        details = self._details(small, self._references(instructions))
        none = torch.zeros(len(listed), dtype=torch.int64, device=small.device)
        return to_pil(LowResolution.of(small, small, none, details).picture)

    def _details(self, small: Tensor, references: ReferenceBatch) -> Tensor:
        """What references lend to small images, where the network has a place for it."""
        if self.unet.residual:
            return transferred(small, references, self.size)
        return small.new_zeros(len(small), small.shape[1], self.size, self.size)

    def _low(
        self,
        images: list[Any],
        noise_level: float,
        generators: list[torch.Generator] | None,
        references: ReferenceBatch,
    ) -> tuple[LowResolution, LowResolution]:
        """The small images, noised and enlarged as in training, with references and without."""
        device = self._execution_device
        small = to_tensor(images, self.low_size).to(device)
        rows = [
            randn_tensor(
                small[:1].shape,
                generator=generators[index] if generators else None,
                device=device,
                dtype=torch.float32,
            )
            for index in range(len(images))
        ]
        step = min(int(noise_level * TIMESTEPS), TIMESTEPS - 1)
        steps = torch.full((len(images),), step, device=device)
        noised = training_scheduler().add_noise(small, torch.cat(rows), steps)
        details = self._details(small, references)
        with_details = LowResolution.of(small, noised, steps, details)
        return with_details, LowResolution.of(small, noised, steps, torch.zeros_like(details))

    def _start(
        self, num_inference_steps: int, noise: Tensor, network_inputs: NetworkInputs
    ) -> tuple[Tensor, Tensor]:
        """Begins with what the network adds to, at the first step that training knows."""
        if not self.unet.residual:
            return super()._start(num_inference_steps, noise, network_inputs)
        device = self._execution_device
        self.scheduler.set_timesteps(math.ceil(num_inference_steps / RESIDUAL_NOISE), device=device)
        known = self.scheduler.timesteps < RESIDUAL_NOISE * TIMESTEPS
        order = self.scheduler.order  # so many entries belong together
        first = -(-int(known.int().argmax()) // order) * order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(first)
        steps = self.scheduler.timesteps[first:]
        low: LowResolution = network_inputs(1)["low"]
        begun = self.scheduler.add_noise(low.picture.to(noise.dtype), noise, steps[:1])
        return steps, begun

    def _predict(self, sample: Tensor, step: Tensor, *inputs: Any, **named: Any) -> Tensor:
        predicted = super()._predict(sample, step, *inputs, **named)
        if not self.unet.residual:
            return predicted
        low: LowResolution = named["low"]
        clean = clean_of_residual(predicted, low.picture)
        return v_of_clean(self.scheduler, clean, sample, step).to(sample.dtype)

    def _references(self, instructions: Sequence[Instruction]) -> ReferenceBatch:
        found = super()._references(instructions)
        return found if self.config.references else without_references(found)


def _paired(
    instruction: Instruction | Sequence[Instruction], images: Any
) -> tuple[list[Instruction], list[Any]]:
    """Instructions and as many small images.

    Raises:
        ValueError: Their numbers differ.
    """
    instructions, small = as_instructions(instruction), _listed(images)
    if len(small) != len(instructions):
        raise ValueError(f"{len(small)} images for {len(instructions)} instructions: give one each")
    return instructions, small


def _listed(images: Any) -> list[Any]:
    """Small images as a list of what `to_tensor` reads."""
    if isinstance(images, Tensor):
        return list(to_pil(images))
    if isinstance(images, Sequence) and not isinstance(images, str):
        return list(images)
    return [images]
