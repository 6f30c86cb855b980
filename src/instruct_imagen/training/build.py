"""From a config to its parts: network, world, optimizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import SchedulerMixin
from torch import Tensor, nn

from instruct_imagen.data.photographs import Photographs, read_photographs
from instruct_imagen.data.tasks.base import Task
from instruct_imagen.data.tasks.my_subject import MySubject
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import SIDE, Atlas
from instruct_imagen.data.world.sources import STYLES
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.model.super_resolution import SuperResolutionUNet
from instruct_imagen.model.text import TextEncoder
from instruct_imagen.model.unet import InstructUNet
from instruct_imagen.pipeline import BASE, UPSCALER, InstructImagenPipeline, saved_pipeline
from instruct_imagen.recipes.config import NORM_GROUPS, RecipeError, TrainConfig, draws_from_shards
from instruct_imagen.super_resolution import SuperResolutionPipeline
from instruct_imagen.training.muon import Muon
from instruct_imagen.training.sharding import part


def build_model(config: TrainConfig) -> InstructUNet:
    """The network of a config with weights that depend on its seed alone."""
    unet = _unet_config(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        given = {
            "space_to_depth": config.space_to_depth,
            "max_markers": config.max_markers,
            "plain_attention": config.blocks == "transformer",
        }
        if config.low_size:
            given |= {"low_size": config.low_size, "low_noise": config.low_noise, "residual": True}
            model: InstructUNet = SuperResolutionUNet(unet, **given)
        else:
            model = InstructUNet(unet, **given)
    if config.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    return model


def _unet_config(config: TrainConfig) -> dict[str, Any]:
    """Of diffusers' `UNet2DConditionModel`."""
    plain = len(config.channels) - config.attention_levels
    pixels = 3 * config.space_to_depth**2
    shared = {
        "sample_size": config.size // config.space_to_depth,
        "in_channels": 3 * pixels if config.low_size else pixels,
        "out_channels": pixels,
        "block_out_channels": config.channels,
        "layers_per_block": config.level_layers or config.layers,
        "cross_attention_dim": config.text_dim,
        "norm_num_groups": NORM_GROUPS,
        **({"class_embed_type": "timestep"} if config.low_size else {}),
    }
    if config.blocks == "added_kv":
        return shared | {
            "down_block_types": (
                *["ResnetDownsampleBlock2D"] * plain,
                *["SimpleCrossAttnDownBlock2D"] * config.attention_levels,
            ),
            "up_block_types": (
                *["SimpleCrossAttnUpBlock2D"] * config.attention_levels,
                *["ResnetUpsampleBlock2D"] * plain,
            ),
            "mid_block_type": None,
            "attention_head_dim": config.head_dim,
            "resnet_time_scale_shift": "scale_shift",
        }
    return shared | {
        "down_block_types": (
            *["DownBlock2D"] * plain,
            *["CrossAttnDownBlock2D"] * config.attention_levels,
        ),
        "up_block_types": (
            *["CrossAttnUpBlock2D"] * config.attention_levels,
            *["UpBlock2D"] * plain,
        ),
        # diffusers' name for the number of heads
        "attention_head_dim": tuple(max(width // config.head_dim, 1) for width in config.channels),
    }


def build_pipeline(
    config: TrainConfig,
    weights: Mapping[str, Tensor],
    encoder: TextEncoder,
    scheduler: SchedulerMixin,
    device: torch.device,
) -> InstructImagenPipeline:
    """A pipeline of trained weights, which are copied; silent.

    Args:
        config: Of their training.
        weights: All parameters of the network, adapters merged in.
        encoder: The text encoder of their training, shared.
        scheduler: Of its sampling.
        device: Of the network.
    """
    model = build_model(config)
    model.load_state_dict({**model.state_dict(), **weights})
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    network = model.to(device)
    if config.low_size:
        # Trained without any, it has not learnt to see them.
        seen = config.drop_context < 1
        pipeline: InstructImagenPipeline = SuperResolutionPipeline(
            network, encoder, scheduler, config.instruction, seen
        )
    else:
        pipeline = InstructImagenPipeline(
            network, encoder, scheduler, instruction=config.instruction
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def training_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        RecipeError: torch does not know it, or it is not there.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add_(1)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise RecipeError(f"device={name} cannot be used ({error}): try device=cpu") from error
    if device.type == "meta":
        raise RecipeError("device=meta computes nothing: try device=cpu")
    return device


def initial_weights(config: TrainConfig, model: InstructUNet) -> Path:
    """Loads the weights of `config.init` into `model`, and returns the pipeline's folder.

    Raises:
        ModelError: There is no such pipeline.
        RecipeError: Its network is another one than the recipe's.
    """
    folder = saved_pipeline(config.init, UPSCALER if config.low_size else BASE)
    found = type(model).from_pretrained(folder / "unet")
    for name, wanted in dict(model.config).items():
        if not name.startswith("_") and _plain(found.config[name]) != _plain(wanted):
            raise RecipeError(
                f"init={config.init} holds another network than this recipe's ({name}): give the "
                "settings of its training that shape the network"
            )
    model.load_state_dict(found.state_dict())
    return folder


def _plain(setting: Any) -> Any:
    """A setting as JSON gives it back."""
    return json.loads(json.dumps(setting))


def recipe_variety(config: TrainConfig) -> Variety:
    """How rich the scenes of a recipe's training are."""
    return Variety(
        most_assets=config.most_assets,
        places=config.places,
        turned=config.turned,
        tinted=config.tinted,
    )


def recipe_vocabulary(config: TrainConfig, styles: Sequence[str] = STYLES) -> Vocabulary:
    """What a recipe's training may draw.

    Args:
        config: The recipe.
        styles: Of the emoji; `FIRST_STYLES` for those that the first weights were trained on.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    vocabulary = training_vocabulary(
        min_styles=config.min_styles,
        categories=config.categories or None,
        limit=config.concepts or None,
        sources=config.sources,
        people=config.people,
        styles=styles,
    )
    return replace(vocabulary, variety=recipe_variety(config))


def build_world(config: TrainConfig) -> tuple[Vocabulary, Atlas]:
    """What the training may draw, and the sprites, at least as fine as its images.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    vocabulary = recipe_vocabulary(config)
    side = SIDE
    while side < config.size:
        side *= 2
    faces = tuple(face.pair for face in vocabulary.faces)
    return vocabulary, Atlas.build((*vocabulary.pairs, *faces), side=side)


def build_photographs(config: TrainConfig) -> Photographs | None:
    """The user's own images at the recipe's size; None where no stage draws from any.

    Raises:
        RecipeError: The settings that name them are missing, or nothing uses them.
        PhotographError: The folder or a caption.
        ImageError: An image.
    """
    drawn = [stage for stage in config.stages if not draws_from_shards(config, stage)]
    if not any(stage.ratios.get(MySubject.name) for stage in drawn):
        for name in ("folder", "subject"):
            if getattr(config, name):
                raise RecipeError(
                    f"{name}={getattr(config, name)} is used by no stage of the recipe "
                    f"{config.name}{', which trains on shards' if config.shards else ''}: leave it "
                    "out, or train my_subject"
                )
        return None
    for name, example in (("folder", "my_images"), ("subject", "'clay dog'")):
        if not getattr(config, name).strip():
            raise RecipeError(f"{name} is empty: say {name}={example} of your own images")
    if config.world:
        raise RecipeError(
            f"world={config.world} knows only its own words: leave it out for images of your own"
        )
    return read_photographs(Path(config.folder), config.subject, config.size)


def tasks_with(photographs: Photographs | None) -> Mapping[str, Callable[[], Task]]:
    """What makes each task, by name; with photographs, that of the user's own subject too."""
    if photographs is None:
        return all_tasks()
    own = partial(MySubject, photographs.subject, photographs.captions)
    return {**all_tasks(), MySubject.name: own}


def build_optimizer(
    config: TrainConfig, named_parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """Muon, AdamW, or the paper's Adafactor with β1 0.9 ([Hu24] A.2.2).

    Raises:
        RecipeError: Adafactor for parameters that are shared out.
    """
    named = list(named_parameters)
    if config.optimizer == "muon":
        return Muon(named, lr=config.learning_rate)
    chosen = [parameter for _, parameter in named]
    if config.optimizer == "adafactor":
        from transformers.optimization import Adafactor

        if any(part(parameter) is not parameter for parameter in chosen):
            raise RecipeError(
                "optimizer=adafactor keeps means over rows and columns, which it cannot share out: "
                "use parallel=ddp, or optimizer=adamw"
            )
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
