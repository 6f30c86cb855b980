"""The starter adapted with few trained weights: low-rank adapters on its attention.

instruct-imagen train lora categories='Food & Drink'
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter


def lora() -> TrainConfig:
    """Rank 8 on top of the shipped weights, which stay as they are.

    A constant rate after a short warm-up, then a straight fall to 0: what a high rate has learnt
    shows only then (docs/log.md). Ten times the rate of `my_subject`, at which adapters of this
    rank hardly changed a picture in 1,500 images.
    """
    return replace(
        starter(),
        name="lora",
        init="starter",
        lora=8,
        stages=(Stage(name="instruct", images=6_400, ratios=PAPER_RATIOS),),
        seed=2,
        learning_rate=1e-2,
        warmup_steps=10,
        decay_after=0,
        cooldown=3_200,
        ema_decay=0.99,
        checkpoint_every=3_200,
        sheet_every=0,
        out="out/lora",
    )
