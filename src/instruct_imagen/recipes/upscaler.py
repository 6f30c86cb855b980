"""The starter's upscaler: it sees the references too, at its own resolution.

instruct-imagen train upscaler minutes=60
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter


def upscaler() -> TrainConfig:
    """32 → 128 px, folded to 32×32×48; attention to text and context at 16×16 and 8×8."""
    return replace(
        starter(),
        name="upscaler",
        stages=(Stage(name="upscale", images=200_000, ratios=PAPER_RATIOS),),
        size=128,
        low_size=32,
        space_to_depth=4,
        channels=(64, 128, 192),
        attention_levels=2,
        decay_after=0,
        cooldown=100_000,
        timestep_shift=1.0,
        out="out/upscaler",
    )
