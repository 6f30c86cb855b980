"""Finds the tasks: each module of this folder that defines ``TASK`` brings one.

A new task is one new file (and one test, and its templates beside it); nothing is edited here.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import lru_cache
from types import MappingProxyType

from instruct_imagen.data import tasks as package
from instruct_imagen.data.tasks.base import Task


@lru_cache(maxsize=1)
def all_tasks() -> MappingProxyType[str, type[Task]]:
    """Every task by name, in the order of the names.

    Returns:
        Read-only mapping from ``Task.name`` to its class.

    Raises:
        ValueError: Two modules bring a task of the same name.
    """
    found: dict[str, type[Task]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        task = getattr(module, "TASK", None)
        if task is None:
            continue
        if task.name in found:
            raise ValueError(
                f"task {task.name!r} is defined in {found[task.name].__module__} and in "
                f"{task.__module__}; rename one"
            )
        found[task.name] = task
    return MappingProxyType(dict(sorted(found.items())))


def training_tasks() -> MappingProxyType[str, type[Task]]:
    """Those of `all_tasks` that make no combination of the hold-out."""
    found = {name: task for name, task in all_tasks().items() if not is_heldout(task)}
    return MappingProxyType(found)


def is_heldout(task: object) -> bool:
    """Whether a task, or what makes it, is there to evaluate alone."""
    return getattr(task, "heldout", False)
