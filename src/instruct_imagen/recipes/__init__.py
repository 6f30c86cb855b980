"""Recipes: functions that return a whole, frozen training config. A new recipe is one new file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from instruct_imagen.recipes.config import RecipeError, Stage, TrainConfig, override, resolved

__all__ = ["RecipeError", "Stage", "TrainConfig", "override", "recipe", "recipe_names", "resolved"]


def recipe_names() -> tuple[str, ...]:
    """Names of all recipes: each is a module of this folder with a function of its own name."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if name != "config"))


def recipe(name: str) -> TrainConfig:
    """The config of a recipe.

    Raises:
        RecipeError: There is none of that name.
    """
    if name not in recipe_names():
        raise RecipeError(f"unknown recipe '{name}': use one of {', '.join(recipe_names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    function: Callable[[], TrainConfig] = getattr(module, name)
    return function()
