"""The starter taught to look at style images: a warm-up of its own, then the paper's mixture.

instruct-imagen train styles
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.continued import continued

# Most of what only a style image tells; enough of the rest that nothing of it is lost.
STYLES = {
    "styled": 0.35,
    "style_transfer": 0.30,
    "subject": 0.10,
    "text_to_image": 0.05,
    "text_to_image_art": 0.05,
    "edge_to_image": 0.05,
    "mask_to_image": 0.05,
    "depth_to_image": 0.05,
}


def styles() -> TrainConfig:
    """From the shipped weights, which ignore 15 of 16 style images.

    Noise levels are shifted up: how a picture is to be drawn is only open while little of it is
    seen, so elsewhere a style image has nothing to say.
    """
    return replace(
        continued(),
        name="styles",
        stages=(
            Stage(name="styles", images=48_000, ratios=STYLES),
            Stage(name="instruct", images=64_000, ratios=PAPER_RATIOS),
        ),
        seed=2,
        timestep_shift=3.0,
        cooldown=64_000,
        out="out/styles",
    )
