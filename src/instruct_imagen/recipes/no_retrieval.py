"""What stage 1 is worth: the starter without retrieval-augmented training ([Hu24] Table 3).

instruct-imagen train no_retrieval
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.recipes.starter import starter


def no_retrieval() -> TrainConfig:
    """`starter` without its stage ``retrieval``."""
    return replace(without_retrieval(starter()), name="no_retrieval", out="out/no_retrieval")


def without_retrieval(usual: TrainConfig) -> TrainConfig:
    """A config without its stage ``retrieval``, whose images go to ``pretrain``.

    So both see as many images, and every later image at the same learning rate.
    """
    pretrain, retrieval, *later = usual.stages
    longer = replace(pretrain, images=pretrain.images + retrieval.images)
    return replace(usual, stages=(longer, *later))
