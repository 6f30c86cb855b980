"""The starter's upscaler: it sees the references too, at its own resolution.

instruct-imagen train upscaler minutes=60
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter

# Tasks whose references show what the target shows weigh most: from them details can be taken.
UPSCALE = {
    "text_to_image": 0.10,
    "reproduce": 0.03,
    "retrieval": 0.05,
    "subject": 0.27,
    "subject_in_place": 0.10,
    "styled": 0.07,
    "style_transfer": 0.08,
    "edge_to_image": 0.03,
    "mask_to_image": 0.03,
    "depth_to_image": 0.03,
    "face": 0.11,
    "instruction_edit": 0.03,
    "masked_edit": 0.04,
    "reference_edit": 0.03,
}


def upscaler() -> TrainConfig:
    """32 → 256 px, folded to 64×64×48; attention to text and context at 16×16.

    The width is at the low levels, as in the Efficient U-Net (Saharia et al. 2022, B.1): what is
    folded has 64 channels at 64×64, so that a forward costs eight times the base model's,
    for 64 times its pixels. A reference's context is 16×16 tokens, one for each 16×16 pixels.
    """
    return replace(
        starter(),
        name="upscaler",
        # The same tasks twice: drafts come in the last stage only, once it can enlarge.
        stages=(
            Stage(name="see", images=10_000, ratios=UPSCALE),
            Stage(name="upscale", images=32_000, ratios=UPSCALE),
        ),
        size=256,
        low_size=32,
        low_noise=0.2,
        space_to_depth=4,
        channels=(64, 96, 192),
        attention_levels=1,
        decay_after=0,
        cooldown=24_000,
        timestep_shift=1.0,
        learning_rate=2e-3,
        batch_size=8,  # 256 pixels are worth as much as 64 small pictures; steps are dear
        draft="starter",
        checkpoint_every=2_000,
        sheet_every=8_000,
        out="out/upscaler",
    )
