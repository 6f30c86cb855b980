"""Builds clusters of a corpus, step by step; what is done is not done again."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from instruct_imagen.data.clusters.engine import elsewhere, run_parts
from instruct_imagen.data.clusters.ledger import total, unwritable
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.steps.base import Step
from instruct_imagen.data.one_thread import one_thread

LOCK = ".lock"

Report = Callable[[Step, int, int], None]
"""Is told of a step, how many of its parts are done, and how many it has."""


def build(
    root: Path,
    steps: Sequence[Step],
    *,
    workers: int = 1,
    report: Report = lambda step, done, parts: None,
) -> dict[str, dict[str, int]]:
    """Makes the parts of steps that are not done.

    Args:
        root: Folder of the build; made if it is not there.
        steps: In their order; each one's inputs are of those before it.
        workers: Processes; their number changes no byte.
        report: Is told how far it is.

    Returns:
        Step → what its parts counted.

    Raises:
        ClusterError: A step cannot be done, another build is at work there, or the folder cannot
            be written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(root, error) from None
    counts = {}
    with _alone(root):
        for step in steps:
            counts[step.name] = run_step(step, workers=workers, report=report)
    return counts


def run_step(step: Step, *, workers: int, report: Report) -> dict[str, int]:
    """Makes the parts of a step that are not done; what all of its parts counted.

    Raises:
        ClusterError: See `build`.
    """
    parts, missing = step.parts(), step.missing()
    done = len(parts) - len(missing)
    report(step, done, len(parts))
    step.folder.clear()
    if missing and not elsewhere() and (workers == 1 or len(missing) == 1):
        # Without other processes: a single part needs none, and errors keep their traces.
        make = step.opened()
        for part in missing:
            with one_thread():
                make(part)
            done += 1
            report(step, done, len(parts))
    else:
        for _ in run_parts(step, missing, workers=workers):
            done += 1
            report(step, done, len(parts))
    step.folder.prune(parts)
    return total(step.records())


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keeps other builds out of a folder; the system frees it however the process ends."""
    # A file and not the folder: shared disks lock what is open for writing alone.
    handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ClusterError(
                f"another process builds clusters in {root}: wait for it to end, or name another "
                "folder"
            ) from None
        yield
    finally:
        os.close(handle)
