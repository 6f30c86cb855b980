"""Training on stored examples: which shards a recipe may train on, and its stages' streams."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from instruct_imagen.data.mixture import Mixture
from instruct_imagen.data.shards.index import ShardIndex, index_shards
from instruct_imagen.data.shards.mixture import StoredMixture
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.recipes.config import (
    RecipeError,
    TrainConfig,
    draws_from_shards,
    heldout_ratios,
)

if TYPE_CHECKING:
    from instruct_imagen.data.tasks.base import Task
    from instruct_imagen.data.world.vocabulary import Vocabulary


def open_shards(config: TrainConfig) -> tuple[ShardIndex, ...]:
    """The folders of shards that a recipe trains on; none where it draws from the world.

    Raises:
        RecipeError: They do not fit the recipe, or hold what is for evaluation alone.
        ShardError: A folder is not finished, or damaged.
    """
    found = tuple(index_shards(folder) for folder in config.shards)
    seen: dict[str, ShardIndex] = {}
    for shards in found:
        same = seen.setdefault(shards.sha256, shards)
        if same is not shards:
            raise RecipeError(
                f"shards={shards.folder} holds the same as {same.folder}: name one of them"
            )
        for problem in _problems(config, shards):
            raise RecipeError(f"shards={shards.folder} {problem}")
    held = heldout_ratios(config.stages) or any(_drawn_combinations(config, one) for one in found)
    if found and config.heldout_tasks and not held:
        raise RecipeError(
            "heldout_tasks=true changes nothing, as no stage draws such a task: leave it out"
        )
    return found


def check_stages(config: TrainConfig, vocabulary: Vocabulary, shards: Sequence[ShardIndex]) -> None:
    """Raises unless shards have the tasks of all stages that draw from them.

    Raises:
        ShardError: They lack one.
    """
    for number, stage in enumerate(config.stages):
        if stage.images and draws_from_shards(config, stage):
            stage_mixture(config, number, all_tasks(), vocabulary, shards)  # names what is lacking


def _problems(config: TrainConfig, shards: ShardIndex) -> list[str]:
    """Why a recipe cannot train on some shards, one line each."""
    settings = shards.manifest.settings
    found = []
    if settings.get("size") != config.size:
        found.append(
            f"has pictures of {settings.get('size')} pixels, the recipe size={config.size}: build "
            "them at that size, or change it"
        )
    if shards.markers > config.max_markers:
        found.append(
            f"has references up to [ref#{shards.markers}]: set max_markers={shards.markers}"
        )
    if not config.heldout_tasks:
        found += [
            f"holds as {name} the combination {', '.join(sorted(combinations))}, which is held out "
            f"so that models can be judged by it, and stage {stage} draws {name}: train on other "
            "shards, or set heldout_tasks=true for a model that is to be used"
            for stage, name, combinations in _drawn_combinations(config, shards)
        ]
    if config.world and "corpus" in settings:
        found.append(
            f"holds {settings['corpus']}, and world={config.world} knows only its own words: leave "
            "out world"
        )
    return found


def _drawn_combinations(
    config: TrainConfig, shards: ShardIndex
) -> list[tuple[str, str, frozenset[str]]]:
    """Stage, task and combinations of what is held out and drawn, whatever the task is called.

    What no stage draws may lie there.
    """
    return [
        (stage.name, name, shards.combinations[name])
        for stage in config.stages
        if stage.images and draws_from_shards(config, stage)
        for name, ratio in stage.ratios.items()
        if ratio > 0 and shards.combinations.get(name)
    ]


def fingerprint(shards: Sequence[ShardIndex]) -> str:
    """Of all their bytes, in order; empty without any."""
    if not shards:
        return ""
    return hashlib.sha256(" ".join(one.sha256 for one in shards).encode()).hexdigest()


def described(shards: Sequence[ShardIndex]) -> str:
    """What was trained on, for a card: numbers, names and licences, no places."""
    parts = []
    for one in shards:
        settings = one.manifest.settings
        licences = sorted({source.get("licence", "") for source in one.manifest.sources.values()})
        what = settings.get("corpus") or f"the starter world (recipe {settings.get('recipe')})"
        parts.append(f"{len(one):,} stored examples of {what} ({'; '.join(licences)})")
    return ", ".join(parts)


def stage_mixture(
    config: TrainConfig,
    stage: int,
    tasks: Mapping[str, Callable[[], Task]],
    vocabulary: Vocabulary,
    shards: Sequence[ShardIndex],
) -> Mixture | StoredMixture:
    """The stream of a stage's examples: of the shards where it draws from any, else of the world.

    A task that neither the shards have nor the world could draw is left out, as it is of a world.
    """
    ratios, seed = config.stages[stage].ratios, _seed(config, stage)
    if draws_from_shards(config, config.stages[stage]):
        stored = {name for one in shards for name in one.names}
        kept = {
            name: ratio
            for name, ratio in ratios.items()
            if name in stored or name not in tasks or drawable(tasks[name](), vocabulary)
        }
        return StoredMixture(shards, kept, seed)
    return Mixture(tasks, ratios, vocabulary, seed, config.targets)


def _seed(config: TrainConfig, stage: int) -> int:
    return config.seed * 16 + stage
