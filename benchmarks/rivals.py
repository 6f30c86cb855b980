"""A training step of the starter against imagen-pytorch 2.1.0 and the usual diffusers script.

All train a text-to-image network of about the same number of parameters on 32×32 images with the
same precision, each with its own optimizer and average of the weights, on ready text states. Steps
are interleaved in one process; memory is the peak of a process of its own. Prints a table, writes
out/rivals.json. imagen-pytorch is no dependency; install it beside this package with

    pip install --no-deps imagen-pytorch==2.1.0 einops ema-pytorch beartype pytorch-warmup kornia \
        kornia_rs click sentencepiece

It imports torchvision and datasets for what is not used here; where they are missing, empty modules
stand in for them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel

from instruct_imagen.model.text import TextStates
from instruct_imagen.model.unet import ReferenceBatch
from instruct_imagen.recipes import recipe
from instruct_imagen.training.average import Average
from instruct_imagen.training.build import build_model, build_optimizer
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.draws import draw
from instruct_imagen.training.speed import seconds, work
from instruct_imagen.training.step import Encoded, TrainingStep

SIZE, TOKENS, WIDTH = 32, 24, 384
Step = Callable[[], None]


def data(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images in [-1, 1] and text states."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, SIZE, SIZE, generator=generator) * 2 - 1
    return images, torch.randn(batch, TOKENS, WIDTH, generator=generator)


def ours(batch: int, dtype: torch.dtype) -> tuple[Step, int]:
    """A step of this package's loop, without its data: one noise draw an example."""
    config = replace(recipe("starter"), batch_size=batch)
    model = build_model(config).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(config, model.named_parameters())
    average = Average(model.parameters(), config.ema_decay)
    step = TrainingStep(model)
    images, states = data(batch)
    text = TextStates(
        states=states,
        mask=torch.ones(batch, TOKENS, dtype=torch.bool),
        markers=torch.zeros(batch, TOKENS, dtype=torch.int64),
    )
    none = torch.zeros(0, dtype=torch.int64)
    references = ReferenceBatch(
        images=images[:0],
        text=text,
        markers=none,
        reference=none,
        sample=none,
        slot=none,
        batch_size=batch,
        slots=0,
    )
    encoded = Encoded(images=images, text=text, references=references)
    count = 0

    def take() -> None:
        nonlocal count
        count += 1
        draws = draw(count, rows=range(batch), total=batch, shape=(3, SIZE, SIZE), shift=1.5)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            losses = step(encoded, draws)
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update()

    return take, sum(weight.numel() for weight in model.parameters())


def diffusers(batch: int, dtype: torch.dtype) -> tuple[Step, int]:
    """What diffusers' text-to-image example does each step, on the same widths and levels."""
    config = recipe("starter")
    torch.manual_seed(0)
    model = UNet2DConditionModel(
        sample_size=SIZE,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        cross_attention_dim=WIDTH,
        attention_head_dim=tuple(width // config.head_dim for width in config.channels),
        norm_num_groups=16,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    scheduler = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    average = EMAModel(model.parameters(), foreach=True)
    images, states = data(batch)

    def take() -> None:
        noise = torch.randn_like(images)
        steps = torch.randint(0, 1000, (batch,))
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            predicted = model(scheduler.add_noise(images, noise, steps), steps, states).sample
        target = scheduler.get_velocity(images, noise, steps)
        torch.nn.functional.mse_loss(predicted.float(), target.float()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(model.parameters())

    return take, sum(weight.numel() for weight in model.parameters())


def imagen_pytorch(batch: int, dtype: torch.dtype) -> tuple[Step, int]:
    """A step of imagen-pytorch's own trainer; its width is chosen for as many parameters."""
    import transformers

    missing = [name for name in ("torchvision", "datasets") if not importlib.util.find_spec(name)]
    for name in ("torchvision", "torchvision.transforms", "datasets", "datasets.utils.file_utils"):
        if name.partition(".")[0] in missing:
            sys.modules[name] = _Empty(name)
    # It asks the hub for T5's width as it is imported.
    transformers.T5Config.from_pretrained = classmethod(lambda kind, *_, **__: kind(d_model=WIDTH))
    from imagen_pytorch import Imagen, ImagenTrainer, Unet

    torch.manual_seed(0)
    unet = Unet(
        dim=48,
        cond_dim=WIDTH,
        text_embed_dim=WIDTH,
        dim_mults=(1, 3),
        num_resnet_blocks=1,
        layer_attns=(False, True),
        layer_cross_attns=(False, True),
    )
    imagen = Imagen(
        unets=(unet,),
        image_sizes=(SIZE,),
        timesteps=1000,
        text_embed_dim=WIDTH,
        pred_objectives="v",
    )
    precision = "bf16" if dtype == torch.bfloat16 else "no"
    trainer = ImagenTrainer(imagen, use_ema=True, precision=precision, verbose=False)
    images, states = data(batch)
    images = (images + 1) / 2

    def take() -> None:
        trainer(images, text_embeds=states, unet_number=1, max_batch_size=batch)
        trainer.update(unet_number=1)

    return take, sum(weight.numel() for weight in unet.parameters())


class _Empty(types.ModuleType):
    """A module whose every name is a function that does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None


SIDES = {"ours": ours, "diffusers": diffusers, "imagen-pytorch": imagen_pytorch}


def peak_mb(side: str, batch: int, precision: str) -> float:
    """Peak resident MB of a process that takes a few steps."""
    arguments = ["--one", side, "--batch", str(batch), "--precision", precision]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=True
    )
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measures all sides."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    arguments.add_argument("--rounds", type=int, default=12)
    arguments.add_argument("--out", type=Path, default=Path("out/rivals.json"))
    arguments.add_argument("--one", choices=tuple(SIDES), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    dtype = torch.bfloat16 if chosen.precision == "bf16" else torch.float32
    if chosen.one:
        step, _ = SIDES[chosen.one](chosen.batch, dtype)
        for _ in range(3):
            step()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    # First of all: a process begins with the peak of the one that starts it.
    peaks = {name: peak_mb(name, chosen.batch, chosen.precision) for name in SIDES}
    steps = {name: make(chosen.batch, dtype) for name, make in SIDES.items()}
    times: dict[str, list[float]] = {name: [] for name in SIDES}
    for round_number in range(chosen.rounds + 2):
        for name, (step, _) in steps.items():
            taken = seconds(step)
            if round_number >= 2:
                times[name].append(taken)
    figures: dict[str, Any] = {
        "commit": code_commit(),
        "machine": machine_name("cpu"),
        "batch": chosen.batch,
        "precision": chosen.precision,
    }
    base = statistics.median(times["ours"])
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        row = {
            "parameters": steps[name][1],
            "images_per_s": chosen.batch / middle,
            "step_s": [low, middle, high],
            "ours_is_faster_by": middle / base,
            "gflop_an_image": work(steps[name][0]) / chosen.batch,
            "peak_mb": peaks[name],
        }
        figures[name] = row
        print(
            f"{name:16s}{row['parameters'] / 1e6:6.1f}M {row['images_per_s']:7.1f} images/s "
            f"[{chosen.batch / high:.1f}, {chosen.batch / low:.1f}]   × "
            f"{row['ours_is_faster_by']:.2f}  {row['gflop_an_image']:5.1f} GFLOP an image "
            f"{row['peak_mb']:7.0f} MB"
        )
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
