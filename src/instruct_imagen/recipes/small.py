"""The small model: for one GPU and a day, of a size that can still be shipped.

RECIPE=small runs/starter_gpu.sh 30
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import LAYOUTS, PRETRAIN, SUBJECTS, starter


def small() -> TrainConfig:
    """64 px, folded to 32×32×12; 31M parameters, 8 GFLOP a forward; attention at 16×16 and 8×8.

    The path of `starter`, ten times as long.
    """
    return replace(
        starter(),
        name="small",
        stages=(
            Stage(name="pretrain", images=200_000, ratios=PRETRAIN),
            Stage(name="retrieval", images=800_000, ratios={"retrieval": 0.5, "reproduce": 0.5}),
            Stage(name="layouts", images=500_000, ratios=LAYOUTS),
            Stage(name="subjects", images=2_500_000, ratios=SUBJECTS),
            Stage(name="instruct", images=8_000_000, ratios=PAPER_RATIOS),
        ),
        size=64,
        most_assets=4,
        channels=(96, 192, 320),
        attention_levels=2,
        batch_size=256,
        decay_after=0,
        cooldown=4_000_000,
        checkpoint_every=250_000,
        sheet_every=500_000,
        out="out/small",
        device="cuda",
    )
