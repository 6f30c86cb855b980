"""The arms of the paper's claims at equal budgets, as small as shows a difference.

runs/claims.sh
instruct-imagen train claims-instruct
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.no_retrieval import without_retrieval
from instruct_imagen.recipes.single_task import of_one_task
from instruct_imagen.recipes.starter import LAYOUTS, PRETRAIN, SUBJECTS, starter

SINGLE_TASKS = {
    "text_to_image": {"text_to_image": 0.75, "text_to_image_art": 0.25},
    "depth_to_image": {"depth_to_image": 1.0},
    "mask_to_image": {"mask_to_image": 1.0},
    "edge_to_image": {"edge_to_image": 1.0},
    "styled": {"styled": 1.0},
    "subject": {"subject": 1.0},
    "face": {"face": 0.5, "face_hq": 0.5},
    "style_transfer": {"style_transfer": 1.0},
}
"""Row of [Hu24] Table 4 → mixture of the model that is trained for it alone."""

STAGES = (
    Stage(name="pretrain", images=1_024, ratios=PRETRAIN),
    Stage(name="retrieval", images=4_096, ratios={"retrieval": 0.5, "reproduce": 0.5}),
    Stage(name="layouts", images=5_120, ratios=LAYOUTS),
    Stage(name="subjects", images=3_072, ratios=SUBJECTS),
    Stage(name="instruct", images=7_168, ratios=PAPER_RATIOS),
)
"""Those of `starter`, 40,960 images in all."""

VARIANTS = (
    "instruct",
    "multi_task",
    "no_retrieval",
    "stage_1",
    *(f"single-{row}" for row in SINGLE_TASKS),
)


def claims(arm: str) -> TrainConfig:
    """An arm: what is trained so, every other setting being the starter's.

    All but ``stage_1``, which ends where stage 2 would begin, see as many images, and their rate
    falls to 0 over the same last third. The two arms of the claim on masked editing are the recipe
    ``masked_edit`` with `init` of ``instruct`` and of ``stage_1`` (runs/claims.sh).
    """
    usual = replace(
        starter(),
        stages=STAGES,
        concepts=24,
        people=10,
        places=0,
        turned=0,
        tinted=0,
        decay_after=0,
        cooldown=STAGES[-1].images,
        sheet_every=0,
    )
    if arm == "multi_task":
        usual = replace(usual, instruction=False)
    elif arm == "no_retrieval":
        usual = without_retrieval(usual)
    elif arm == "stage_1":
        ends = (*STAGES[:2], *(replace(stage, images=0) for stage in STAGES[2:]))
        usual = replace(usual, stages=ends, cooldown=0)
    elif arm != "instruct":
        usual = of_one_task(usual, SINGLE_TASKS[arm.removeprefix("single-")])
    return replace(usual, name=f"claims-{arm}", out=f"out/claims/{arm}")
