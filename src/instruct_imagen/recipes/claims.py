"""The arms of the paper's claims at equal budgets in a small world, as small as shows a difference.

runs/claims.sh
instruct-imagen train claims-instruct
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.from_clusters import clusters_alone, with_clusters
from instruct_imagen.recipes.masked_edit import masked_edit
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
    Stage(name="pretrain", images=2_816, ratios=PRETRAIN),
    Stage(name="retrieval", images=11_456, ratios={"retrieval": 0.5, "reproduce": 0.5}),
    Stage(name="layouts", images=14_336, ratios=LAYOUTS),
    Stage(name="subjects", images=8_576, ratios=SUBJECTS),
    Stage(name="instruct", images=20_032, ratios=PAPER_RATIOS),
)
"""Those of `starter`, 57,216 images in all."""

SMALL: Mapping[str, Any] = {
    "concepts": 24,
    "people": 10,
    "places": 0,
    "turned": 0,
    "tinted": 0,
    "channels": (32, 96),
    "batch_size": 16,
    "noises": 4,
    "sheet_every": 0,
}
"""What differs from the starter: the world of the suites of few concepts, and a network of 2.4M
parameters that takes many small steps (docs/log.md)."""

TUNED = ("masked_edit", "instruction_edit")
"""Arms that fine-tune another on a task of that name."""

VARIANTS = (
    "instruct",
    "multi_task",
    "no_retrieval",
    "stage_1",
    "names",
    "clusters",
    *TUNED,
    *(f"single-{row}" for row in SINGLE_TASKS),
)


def claims(arm: str) -> TrainConfig:
    """An arm: what is trained so, every other setting being the starter's or of `SMALL`.

    All but two see as many images, and their rate falls to 0 over the same last third. ``stage_1``
    ends where stage 2 would begin. ``names`` and ``clusters`` have clusters alone in stage 1, of
    concept names and of a corpus (`shards`). ``masked_edit`` fine-tunes what `init` names, here the
    first arm where runs/claims.sh puts it: the claim compares that with the same from ``stage_1``.
    ``instruction_edit`` is the same without a mask, to choose `editing.THRESHOLD` by.
    """
    if arm in TUNED:
        usual = replace(
            masked_edit(),
            **SMALL,
            init="out/claims/seed0/instruct/model",
            stages=(Stage(name="instruct", images=18_432, ratios={arm: 1.0}),),
        )
        return replace(usual, name=f"claims-{arm}", out=f"out/claims/{arm}")
    usual = replace(starter(), **SMALL, stages=STAGES, decay_after=0, cooldown=STAGES[-1].images)
    if arm == "multi_task":
        usual = replace(usual, instruction=False)
    elif arm == "no_retrieval":
        usual = without_retrieval(usual)
    elif arm == "stage_1":
        ends = (*STAGES[:2], *(replace(stage, images=0) for stage in STAGES[2:]))
        usual = replace(usual, stages=ends, cooldown=0)
    elif arm in ("names", "clusters"):
        usual = clusters_alone(usual)
        if arm == "clusters":
            usual = with_clusters(usual)
    elif arm != "instruct":
        usual = of_one_task(usual, SINGLE_TASKS[arm.removeprefix("single-")])
    return replace(usual, name=f"claims-{arm}", out=f"out/claims/{arm}")
