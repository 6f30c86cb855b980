"""Experiment trackers: TensorBoard and whatever else accelerate knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from instruct_imagen.recipes.config import RecipeError


@contextmanager
def tracked(
    names: Sequence[str], folder: Path, settings: Mapping[str, Any]
) -> Iterator[list[GeneralTracker]]:
    """`start_trackers`, closed however the run ends."""
    trackers = start_trackers(names, folder, settings)
    try:
        yield trackers
    finally:
        for tracker in trackers:
            tracker.finish()


def start_trackers(
    names: Sequence[str], folder: Path, settings: Mapping[str, Any]
) -> list[GeneralTracker]:
    """Starts trackers of a run, in the process that writes.

    Args:
        names: ``tensorboard`` (files in the run's folder), ``wandb``, ``mlflow``, …
        folder: Of the run; its name is the run's.
        settings: The resolved config.

    Raises:
        RecipeError: A tracker that accelerate does not know, or that cannot be started here.
    """
    if names:
        PartialState(cpu=True)  # its trackers ask for one; that of several processes stays as it is
    started = []
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise RecipeError(f"trackers={name} is not known: use some of {known}")
        kind = LOGGER_TYPE_TO_CLASS[name]
        try:
            if kind.requires_logging_directory:
                tracker = kind(name, logging_dir=folder)
            else:
                tracker = kind(folder.name)
                tracker.store_init_configuration(dict(settings))
            tracker.start()
        except Exception as error:  # each service has errors of its own
            raise RecipeError(
                f"trackers={name} cannot be started ({error}): install and set it up, or leave it "
                "out (trackers= for none)"
            ) from error
        started.append(tracker)
    return started
