"""The starter taught a subject of one's own from a folder of about twenty images.

instruct-imagen train my_subject folder=my_images subject='clay dog'
instruct-imagen train my_subject folder=my_images subject='clay dog' lora=8 learning_rate=1e-2
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter

# Half of the examples stay those of the paper's mixture, so that the rest is not forgotten
# (prior preservation, Ruiz et al. 2023 §3.2).
HALF = {**PAPER_RATIOS, "my_subject": sum(PAPER_RATIOS.values())}


def my_subject() -> TrainConfig:
    """From the shipped weights; `folder` and `subject` must be given.

    Adapters (`lora`) need about ten times this rate.
    """
    return replace(
        starter(),
        name="my_subject",
        init="starter",
        stages=(Stage(name="instruct", images=1_536, ratios=HALF),),
        seed=3,
        learning_rate=1e-3,
        warmup_steps=5,
        decay_after=0,
        cooldown=768,
        ema_decay=0.9,
        checkpoint_every=768,
        sheet_every=0,
        out="out/my_subject",
    )
