"""Suites by name: the frozen ones of the starter world, and folders of real images."""

from __future__ import annotations

from pathlib import Path

from instruct_imagen.evaluation.suites.base import StoredSuite
from instruct_imagen.evaluation.suites.composition import SUITES
from instruct_imagen.evaluation.suites.folder import SUITE_FILE, FolderSuite
from instruct_imagen.evaluation.suites.world import ALL, frozen_manifest, world_suite


def suite_names() -> tuple[str, ...]:
    """The frozen suites of the starter world, without `ALL`."""
    return tuple(frozen_manifest()["suites"])


def names_of_all() -> tuple[str, ...]:
    """The suites that `ALL` stands for: not those of few concepts or of edits alone."""
    return tuple(SUITES)


def open_suite(name: str) -> StoredSuite:
    """A suite by its name, ``all``, or the path of a folder with ``suite.json`` (or of that file).

    A name goes before a folder that is called the same: write ``./name`` for that.

    Raises:
        EvaluationError: There is no such suite, or it is not what was frozen.
    """
    if Path(name).name == SUITE_FILE:
        return FolderSuite.open(Path(name).parent)
    if name not in (*suite_names(), ALL) and ("/" in name or Path(name).is_dir()):
        return FolderSuite.open(Path(name))
    return world_suite(name)
