"""Recipes: functions that return a whole, frozen training config. A new recipe is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import partial

from instruct_imagen.recipes.config import RecipeError, Stage, TrainConfig, override, resolved

__all__ = ["RecipeError", "Stage", "TrainConfig", "override", "recipe", "recipe_names", "resolved"]


def recipe_names() -> tuple[str, ...]:
    """Names of all recipes: each is a module of this folder with a function of its own name.

    A module with ``VARIANTS`` has one recipe for each of them, e.g.
    ``single_task-edge_to_image``: the function takes the variant.
    """
    return tuple(sorted(_recipes()))


def recipe(name: str) -> TrainConfig:
    """The config of a recipe.

    Raises:
        RecipeError: There is none of that name.
    """
    found = _recipes()
    if name not in found:
        raise RecipeError(f"unknown recipe '{name}': use one of {', '.join(sorted(found))}")
    return found[name]()


def _recipes() -> dict[str, Callable[[], TrainConfig]]:
    """The function of each name."""
    found: dict[str, Callable[[], TrainConfig]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name == "config":
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        function = getattr(module, info.name)
        variants = getattr(module, "VARIANTS", None)
        if variants is None:
            found[info.name] = function
        else:
            found |= {f"{info.name}-{one}": partial(function, one) for one in variants}
    return found
