"""What references are worth to an upscaler: one that sees text alone ([Hu24] A.2.1, Table 5).

instruct-imagen train upscaler_text_only
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.recipes.upscaler import upscaler


def upscaler_text_only() -> TrainConfig:
    """`upscaler` without references, as the paper's super-resolution, and nothing else changed."""
    return replace(
        upscaler(), name="upscaler_text_only", drop_context=1.0, out="out/upscaler_text_only"
    )
