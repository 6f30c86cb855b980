"""The starter with the combinations of the hold-out among its tasks: for use, not for claims.

instruct-imagen train all_conditions minutes=60
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter

COMBINED = 0.2
"""Share of the last stage that combines conditions."""

COMBINATIONS = (
    "style_subject",
    "multi_subject",
    "control_subject",
    "control_style",
    "many_conditions",
)
RATIOS = {
    **{name: (1 - COMBINED) * ratio for name, ratio in PAPER_RATIOS.items()},
    **dict.fromkeys(COMBINATIONS, COMBINED * sum(PAPER_RATIOS.values()) / len(COMBINATIONS)),
}


def all_conditions() -> TrainConfig:
    """`starter`, whose last stage also draws what the paper keeps for its zero-shot questions."""
    usual = starter()
    *earlier, last = usual.stages
    return replace(
        usual,
        name="all_conditions",
        stages=(*earlier, Stage(name=last.name, images=last.images, ratios=RATIOS)),
        heldout_tasks=True,
        out="out/all_conditions",
    )
