"""From a config to its parts: network, world, optimizer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.model.unet import InstructUNet
from instruct_imagen.recipes.config import NORM_GROUPS, TrainConfig
from instruct_imagen.training.muon import Muon


def build_model(config: TrainConfig, text_dim: int) -> InstructUNet:
    """The network of a config with weights that depend on its seed alone.

    Every level but the finest attends to text and context.
    """
    coarse = len(config.channels) - 1
    unet = {
        "sample_size": config.size // config.space_to_depth,
        "in_channels": 3 * config.space_to_depth**2,
        "out_channels": 3 * config.space_to_depth**2,
        "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * coarse),
        "up_block_types": (*["CrossAttnUpBlock2D"] * coarse, "UpBlock2D"),
        "block_out_channels": config.channels,
        "layers_per_block": config.layers,
        "cross_attention_dim": text_dim,
        # diffusers' name for the number of heads
        "attention_head_dim": tuple(max(width // config.head_dim, 1) for width in config.channels),
        "norm_num_groups": NORM_GROUPS,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return InstructUNet(
            unet, space_to_depth=config.space_to_depth, max_markers=config.max_markers
        )


def recipe_vocabulary(config: TrainConfig) -> Vocabulary:
    """What a recipe's training may draw.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    return training_vocabulary(
        min_styles=config.min_styles,
        categories=config.categories or None,
        limit=config.concepts or None,
    )


def build_world(config: TrainConfig) -> tuple[Vocabulary, Atlas]:
    """What the training may draw, and the sprites.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    vocabulary = recipe_vocabulary(config)
    return vocabulary, Atlas.build(vocabulary.pairs)


def build_optimizer(
    config: TrainConfig, named_parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """Muon, AdamW, or the paper's Adafactor with β1 0.9 ([Hu24] A.2.2)."""
    named = list(named_parameters)
    if config.optimizer == "muon":
        return Muon(named, lr=config.learning_rate)
    chosen = [parameter for _, parameter in named]
    if config.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(
            chosen,
            lr=config.learning_rate,
            beta1=0.9,
            scale_parameter=False,
            relative_step=False,
            warmup_init=False,
        )
    return torch.optim.AdamW(
        chosen, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
