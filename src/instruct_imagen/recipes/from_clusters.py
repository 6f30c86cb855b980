"""The starter whose stage 1 is trained on the clusters of a corpus, not on the world's concepts.

instruct-imagen clusters write out/clusters out/stage1 --size 32
instruct-imagen train from_clusters
"""

from __future__ import annotations

from dataclasses import replace

from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.recipes.starter import starter

SHARDS = "out/stage1"


def from_clusters() -> TrainConfig:
    """`starter` with the shards of `instruct-imagen clusters write` in its stage ``retrieval``."""
    found = with_clusters(clusters_alone(starter()))
    return replace(found, name="from_clusters", out="out/from_clusters")


def clusters_alone(usual: TrainConfig) -> TrainConfig:
    """A config whose stage 1 has clusters and nothing to reproduce, which shards have not."""
    stages = [
        replace(stage, ratios={"retrieval": 1.0}) if stage.name == "retrieval" else stage
        for stage in usual.stages
    ]
    return replace(usual, stages=tuple(stages))


def with_clusters(usual: TrainConfig) -> TrainConfig:
    """A config whose stage 1 draws from shards, and every other from the world."""
    return replace(usual, shards=(SHARDS,), shard_stages=("retrieval",))
