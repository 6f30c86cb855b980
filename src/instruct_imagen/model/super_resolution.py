"""The upscaler's network: an `InstructUNet` that also sees a picture of low resolution.

The paper's super-resolution is conditioned on text alone ([Hu24] A.2.1, Table 5), which is its
stated weakness (§5.3, Figure 7). Here it attends to the references too, at its own resolution and
through the same context attention as the base model, and is given what they can lend to the very
picture (`texture_transfer`); without references it is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import ModelMixin  # noqa: F401 - diffusers looks for it beside a component
from diffusers.configuration_utils import register_to_config
from torch import Tensor
from torch.nn.functional import interpolate

from instruct_imagen.model.context_attention import ContextStates
from instruct_imagen.model.text import TextStates
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch


@dataclass(frozen=True, kw_only=True)
class LowResolution:
    """What is to be enlarged, as the network sees it.

    Attributes:
        images: (B, C, S, S) floating point, noised and then enlarged to the size of the output.
        levels: (B,) int64, how much noise they have, in the scheduler's steps; 0 for next to none.
        details: (B, C, S, S) that the references lend, see `texture_transfer`; 0 for none.
        picture: (B, C, S, S) enlarged without noise, with these details: what the network's answer
            is added to.
    """

    images: Tensor
    levels: Tensor
    details: Tensor
    picture: Tensor

    def concatenated(self, other: LowResolution) -> LowResolution:
        """The batch of this one followed by that of `other`."""
        return LowResolution(
            images=torch.cat([self.images, other.images]),
            levels=torch.cat([self.levels, other.levels]),
            details=torch.cat([self.details, other.details]),
            picture=torch.cat([self.picture, other.picture]),
        )

    @classmethod
    def of(cls, small: Tensor, noised: Tensor, levels: Tensor, details: Tensor) -> LowResolution:
        """What the network sees of small pictures, in training as in sampling.

        Args:
            small: (B, C, low, low) in [-1, 1].
            noised: The same with noise on them.
            levels: (B,) int64, how much.
            details: (B, C, S, S) float32, from `transferred`.
        """
        size = details.shape[-1]
        return cls(
            images=enlarged(noised, size, noised=True),
            levels=levels,
            details=details,
            picture=(enlarged(small, size) + details).clamp(-1, 1),
        )


def shrunk(images: Tensor, size: int) -> Tensor:
    """Averages over areas: (B, C, S, S) floating point → (B, C, size, size).

    Raises:
        ValueError: They are not square, or the side is no multiple of `size`.
    """
    height, width = images.shape[-2:]
    if height != width or width % size:
        raise ValueError(
            f"images of {width}×{height} cannot be averaged to {size}×{size}: give square ones "
            "whose side is a multiple"
        )
    return interpolate(images, size=(size, size), mode="area")


def enlarged(images: Tensor, size: int, *, noised: bool = False) -> Tensor:
    """Bicubic: (B, C, h, w) floating point → (B, C, size, size), within [-1, 1] if not `noised`."""
    large = interpolate(images, size=(size, size), mode="bicubic", align_corners=False)
    return large if noised else large.clamp(-1, 1)


class SuperResolutionUNet(InstructUNet):
    """An `InstructUNet` whose input is the noisy picture and, beside it, the one of low resolution.

    The noise on the picture of low resolution is told through the U-Net's class embedding
    (noise conditioning augmentation, Ho et al. 2022, §3), as in DeepFloyd IF's second stage.

    Args:
        unet_config: Config of the wrapped `UNet2DConditionModel`: ``in_channels`` three times those
            of the picture, twice if not `residual`; ``class_embed_type`` "timestep".
        space_to_depth: See `InstructUNet`.
        max_markers: See `InstructUNet`.
        plain_attention: See `InstructUNet`.
        low_size: Side of what it enlarges.
        low_noise: The highest share of the noise levels that it knows on what it enlarges.
        residual: It sees the details that references lend, and its output is what the small picture
            lacks beyond them (see `diffusion.objective`). False for an adapted backbone, which
            has no place for them and predicts v, or whatever it does.

    Raises:
        ValueError: The U-Net has nowhere to put the noise level, or `low_size` does not fit it.
    """

    @register_to_config
    def __init__(
        self,
        unet_config: Mapping[str, Any],
        space_to_depth: int = 1,
        max_markers: int = 8,
        plain_attention: bool = True,
        low_size: int = 32,
        low_noise: float = 1.0,
        residual: bool = False,
    ) -> None:
        super().__init__(unet_config, space_to_depth, max_markers, plain_attention)
        self.low_size, self.low_noise = low_size, low_noise
        self.residual = residual
        if self.unet.config.class_embed_type != "timestep":
            raise ValueError(
                f"class_embed_type is {self.unet.config.class_embed_type!r}: an upscaler reads the "
                "noise level of its input there, so it must be 'timestep'"
            )
        size = self.unet.config.sample_size * space_to_depth
        if not 0 < low_size < size or size % low_size:
            raise ValueError(
                f"low_size={low_size} does not fit a network of {size} pixels: give a half, a "
                "third, … of them"
            )

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        text: TextStates,
        context: ContextStates | None = None,
        *,
        low: LowResolution,
        **unet_inputs: Any,
    ) -> Tensor:
        """Predicts the target of `diffusion.objective`, or what stands for it (`residual`).

        Args:
            sample: (B, C, S, S) noisy images.
            timestep: (B,) or scalar, in the scheduler's steps.
            text: States of the B payload texts.
            context: From `encode_context`; None skips context attention altogether.
            low: What is to be enlarged, of the same B and shape.
            **unet_inputs: See `InstructUNet`.

        Returns:
            (B, out_channels, S, S).
        """
        shown = [low.images, low.details] if self.residual else [low.images]
        whole = torch.cat([sample, *(one.to(sample.dtype) for one in shown)], dim=1)
        return super().forward(
            whole, timestep, text, context, class_labels=low.levels, **unet_inputs
        )

    def encode_context(
        self, references: ReferenceBatch, grid: tuple[int, int], **unet_inputs: Any
    ) -> ContextStates:
        """Encodes references at the output's resolution; see `InstructUNet.encode_context`.

        The encoder is used to a picture and its version of low resolution, so it gets both of the
        reference, which must be square; nothing lends it details.
        """
        images = low = references.images
        if len(images):
            low = enlarged(shrunk(images, self.low_size), images.shape[-1])
        shown = [images, low, torch.zeros_like(images)] if self.residual else [images, low]
        whole = replace(references, images=torch.cat(shown, dim=1))
        levels = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        return super().encode_context(whole, grid, class_labels=levels, **unet_inputs)
