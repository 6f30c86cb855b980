"""The upscaler behind `small`, for the same GPU, of a size that can still be shipped.

instruct-imagen export small out/small_model
instruct-imagen train small_upscaler draft=out/small_model
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.small import small
from instruct_imagen.recipes.upscaler import UPSCALE


def small_upscaler() -> TrainConfig:
    """64 → 256 px, folded to 64×64×48; 29M parameters, attention to text and context at 16×16.

    Four times the side and not eight, as the starter's: at 512 pixels the drawings of the world
    alone would fill four times the memory.

    `draft` is left out, since it names a folder that is there once `small` is trained and exported:
    name it, so that the upscaler learns to mend what that very model draws.
    """
    return replace(
        small(),
        name="small_upscaler",
        stages=(Stage(name="upscale", images=2_000_000, ratios=UPSCALE),),
        size=256,
        low_size=64,
        low_noise=0.2,
        space_to_depth=4,
        channels=(64, 128, 288),
        level_layers=(1, 1, 2),
        attention_levels=1,
        cooldown=1_000_000,
        timestep_shift=1.0,
        batch_size=64,
        checkpoint_every=50_000,
        sheet_every=100_000,
        out="out/small_upscaler",
    )
