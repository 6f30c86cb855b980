"""The starter: a model for two CPU cores, trained from scratch on the starter world.

instruct-imagen train starter minutes=60
"""

from __future__ import annotations

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.world.vocabulary import CATEGORIES
from instruct_imagen.recipes.config import Stage, TrainConfig

# People differ in details that 32 pixels do not show.
_LEFT_OUT = "People & Body"


# Photographs and drawings: in a world that has no photographs, both draw what there is.
PRETRAIN = {"text_to_image": 0.5, "text_to_image_art": 0.5}

# Two warm-ups before the paper's mixture, where each layout condition is 7% of the examples: too
# few for the first hours of a laptop. First what a reference can show most directly, then
# subjects, which have to be found in it (docs/log.md).
LAYOUTS = {
    "reproduce": 0.05,
    "text_to_image": 0.05,
    "edge_to_image": 0.15,
    "mask_to_image": 0.15,
    "depth_to_image": 0.10,
    "subject": 0.25,
    "styled": 0.10,
    "style_transfer": 0.15,
}
SUBJECTS = {
    "text_to_image": 0.05,
    "edge_to_image": 0.10,
    "mask_to_image": 0.10,
    "depth_to_image": 0.05,
    "subject_in_place": 0.20,
    "subject": 0.25,
    "styled": 0.10,
    "style_transfer": 0.15,
}


def starter() -> TrainConfig:
    """32 px, folded to 16×16×12; 9.0M parameters, 1.3 GFLOP a forward.

    Stage 1 is mixed with `reproduce`, which teaches the context path quickly, and two warm-ups
    stand before stage 2 (docs/log.md).
    """
    return TrainConfig(
        name="starter",
        stages=(
            Stage(name="pretrain", images=8_000, ratios=PRETRAIN),
            Stage(name="retrieval", images=24_000, ratios={"retrieval": 0.5, "reproduce": 0.5}),
            Stage(name="layouts", images=29_120, ratios=LAYOUTS),
            Stage(name="subjects", images=219_296, ratios=SUBJECTS),
            Stage(name="instruct", images=4_000_000, ratios=PAPER_RATIOS),
        ),
        size=32,
        space_to_depth=2,
        channels=(64, 192),
        layers=1,
        head_dim=32,
        min_styles=8,
        concepts=400,
        categories=tuple(name for name in CATEGORIES if name != _LEFT_OUT),
        most_assets=2,  # of four, each has eight pixels
        places=0.25,
        turned=0.1,
        tinted=0.1,
        batch_size=32,
        noises=2,
        optimizer="muon",
        learning_rate=2.5e-3,
        warmup_steps=100,
        decay_after=100_000,
        ema_decay=0.999,
        timestep_shift=1.5,
        precision="bf16",
        checkpoint_every=10_000,
        sheet_every=20_000,
        out="out/starter",
    )
