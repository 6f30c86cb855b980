"""The starter fine-tuned on masked editing, the paper's test of adaptation ([Hu24] Table 2).

instruct-imagen train masked_edit
instruct-imagen train masked_edit init=out/stage1_model out=out/masked_edit_stage1
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import starter


def masked_edit() -> TrainConfig:
    """From the shipped weights, on masked editing alone.

    The paper fine-tunes its instruction-tuned model and its stage-1 model on MagicBrush, about 9K
    examples, for 10K steps. The second is this recipe with `init` of an exported run that ended
    after ``retrieval`` (docs/change_one_thing.md).

    Where the paper sees its examples again and again, the world's stream never repeats one, and
    nothing limits it to a fixed set: these are 9,216 different examples in one pass, each with two
    draws of noise, in 576 steps.
    """
    return replace(
        starter(),
        name="masked_edit",
        init="starter",
        stages=(Stage(name="instruct", images=18_432, ratios={"masked_edit": 1.0}),),
        seed=4,
        learning_rate=1e-3,
        warmup_steps=10,
        decay_after=0,
        cooldown=9_216,
        ema_decay=0.99,
        checkpoint_every=9_216,
        sheet_every=0,
        out="out/masked_edit",
    )
