"""The starter trained on: the shipped weights, the paper's mixture, a new stream of examples.

instruct-imagen train continued
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter


def continued() -> TrainConfig:
    """Stage 2 of `starter` from its shipped weights.

    Begins at the rate where their training stood, which then falls to 0: at a constant one 130,000
    more images changed nothing that could be measured (docs/log.md).
    """
    return replace(
        starter(),
        name="continued",
        init="starter",
        stages=(Stage(name="instruct", images=400_000, ratios=PAPER_RATIOS),),
        seed=1,
        learning_rate=1.4e-3,
        decay_after=0,
        cooldown=300_000,
        out="out/continued",
    )
