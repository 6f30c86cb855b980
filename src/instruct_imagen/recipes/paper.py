"""The paper's base model and its training, as far as they are stated ([Hu24] A.2, Table 5).

instruct-imagen train paper --dry-run
"""

from __future__ import annotations

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes.config import Stage, TrainConfig
from instruct_imagen.recipes.starter import PRETRAIN

_BATCH = 512


def paper() -> TrainConfig:
    """128 px, folded to 64×64×12: levels of 64, 32 and 16 with 512, 1024 and 2048 channels.

    Table 5 has 8 blocks a level, of Imagen's own kind. diffusers' blocks on the way up take in
    every skip on the way down, and there is one more of them a level: with 6 the network has 2.45B
    parameters, 2.67B with context (stated: 2.51B and 2.76B); with 8 it had 3.16B and 3.45B.

    The paper begins stage 1 from a trained Imagen. Name yours with `init`; without one, `pretrain`
    is ours, as long as stage 1.
    """
    return TrainConfig(
        name="paper",
        stages=(
            Stage(name="pretrain", images=500_000 * _BATCH, ratios=PRETRAIN),
            Stage(name="retrieval", images=500_000 * _BATCH, ratios={"retrieval": 1.0}),
            Stage(name="instruct", images=400_000 * _BATCH, ratios=PAPER_RATIOS),
        ),
        size=128,
        space_to_depth=2,
        channels=(512, 1024, 2048),
        layers=6,
        head_dim=64,
        attention_levels=1,
        blocks="added_kv",
        text_encoder="google/t5-v1_1-xxl",
        text_dim=4096,
        batch_size=_BATCH,
        optimizer="adafactor",
        learning_rate=1e-4,
        warmup_steps=10_000,
        ema_decay=0.9999,
        precision="bf16",
        gradient_checkpointing=True,
        workers=4,
        checkpoint_every=1_000 * _BATCH,
        sheet_every=5_000 * _BATCH,
        out="out/paper",
        device="cuda",
    )
