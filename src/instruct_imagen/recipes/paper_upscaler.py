"""The paper's super-resolution model ([Hu24] A.2.1, Table 5), which sees references here.

instruct-imagen train paper_upscaler --dry-run
instruct-imagen train paper_upscaler drop_context=1      # of text alone, as the paper's
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.paper import paper
from instruct_imagen.recipes.upscaler import UPSCALE


def paper_upscaler() -> TrainConfig:
    """128 → 1024 px, folded to 512×512×12: levels of 512, 256, 128 and 64.

    Table 5 has 2, 4, 8 and 8 blocks on the way down, of Imagen's own kind. diffusers' blocks on the
    way up are one more a level and take in every skip; with 5 at the last level the network has
    587M parameters (stated: 581M), and 634M with what references need. How long the paper's was
    trained is not stated: as long as stage 2 here.
    """
    usual = paper()
    return replace(
        usual,
        name="paper_upscaler",
        stages=(Stage(name="upscale", images=usual.stages[-1].images, ratios=UPSCALE),),
        size=1024,
        low_size=128,
        channels=(128, 256, 512, 1024),
        level_layers=(2, 4, 8, 5),
        out="out/paper_upscaler",
    )
