"""The multi-task baseline: all tasks of the starter, from raw inputs ([Hu24] §5, Table 4).

instruct-imagen train multi_task
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.recipes.starter import starter


def multi_task() -> TrainConfig:
    """`starter` without instruction text and markers, and nothing else changed."""
    return replace(starter(), name="multi_task", instruction=False, out="out/multi_task")
