"""Tiny models of the real classes, shared by tests."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

from instruct_imagen.model.super_resolution import SuperResolutionUNet
from instruct_imagen.model.text import TextStates
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch

TEXT_DIM = 384


def sd_unet(text_dim: int = 24) -> UNet2DConditionModel:
    """Stable Diffusion's shape: transformer blocks, a last level without attention."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=text_dim,
        attention_head_dim=2,
        norm_num_groups=8,
    ).eval()


def if_unet(text_dim: int = 24) -> UNet2DConditionModel:
    """DeepFloyd IF's shape: added-key attention, learned variance, projected text."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=3,
        out_channels=6,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=32,
        encoder_hid_dim=text_dim,
        encoder_hid_dim_type="text_proj",
        attention_head_dim=8,
        norm_num_groups=8,
        resnet_time_scale_shift="scale_shift",
        act_fn="gelu",
        class_embed_type=None,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        time_embedding_act_fn="gelu",
        conv_in_kernel=3,
        cross_attention_norm="group_norm",
        only_cross_attention=False,
    ).eval()


def if_upscaler(text_dim: int = 24) -> UNet2DConditionModel:
    """The shape of DeepFloyd IF's second stage: the small picture beside the noisy one."""
    settings = {name: value for name, value in if_unet(text_dim).config.items() if name[0] != "_"}
    torch.manual_seed(0)
    changed = {"in_channels": 6, "class_embed_type": "timestep"}
    return UNet2DConditionModel(**{**settings, **changed}).eval()


def own_upscaler(text_dim: int = TEXT_DIM) -> SuperResolutionUNet:
    """Ours, from scratch: 4 → 16 px folded to 8×8, attention at 4×4."""
    torch.manual_seed(0)
    config = {**_own_config(text_dim, 16), "in_channels": 36, "class_embed_type": "timestep"}
    return SuperResolutionUNet(
        config, space_to_depth=2, max_markers=4, low_size=4, low_noise=0.5, residual=True
    ).eval()


def own_unet(text_dim: int = TEXT_DIM, size: int = 16, max_markers: int = 4) -> InstructUNet:
    """Ours, from scratch: 16 px folded to 8×8, attention at 4×4."""
    torch.manual_seed(0)
    config = _own_config(text_dim, size)
    return InstructUNet(config, space_to_depth=2, max_markers=max_markers).eval()


def _own_config(text_dim: int, size: int) -> dict[str, object]:
    return {
        "sample_size": size // 2,
        "in_channels": 12,
        "out_channels": 12,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "cross_attention_dim": text_dim,
        "attention_head_dim": (1, 2),
        "norm_num_groups": 8,
    }


def texts(count: int, dim: int, length: int = 5, seed: int = 1) -> TextStates:
    """Random states without markers."""
    generator = torch.Generator().manual_seed(seed)
    return TextStates(
        states=torch.randn(count, length, dim, generator=generator),
        mask=torch.ones(count, length, dtype=torch.bool),
        markers=torch.zeros(count, length, dtype=torch.int64),
    )


def references(
    owners: list[int],
    *,
    batch: int,
    channels: int,
    size: int,
    dim: int,
    markers: list[int] | None = None,
    seed: int = 2,
) -> ReferenceBatch:
    """Random references; `owners` names the sample of each."""
    generator = torch.Generator().manual_seed(seed)
    count = len(owners)
    slots = [owners[:index].count(owner) for index, owner in enumerate(owners)]
    marker = markers if markers is not None else [slot + 1 for slot in slots]
    return ReferenceBatch(
        images=torch.randn(count, channels, size, size, generator=generator),
        text=texts(max(count, 1), dim, length=3, seed=seed),
        reference=torch.arange(count),
        sample=torch.tensor(owners, dtype=torch.int64),
        slot=torch.tensor(slots, dtype=torch.int64),
        markers=torch.tensor(marker, dtype=torch.int64),
        batch_size=batch,
        slots=max(slots, default=-1) + 1,
    )


def awaken(model: InstructUNet, std: float = 0.2) -> InstructUNet:
    """Gives the context a voice, as training does: its output projections leave zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for site in model.sites:
            site.to_out.weight.copy_(torch.randn(site.to_out.weight.shape, generator=generator))
            site.to_out.weight.mul_(std)
    return model
