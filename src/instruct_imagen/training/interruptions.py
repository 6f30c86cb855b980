"""What may end a run from outside: signals, and the death of another process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch.distributed as dist

from instruct_imagen.training.processes import Processes

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class LostProcessError(RuntimeError):
    """Another process of the run is gone; the message says how to go on."""


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Signals that ask to stop are noted in the list; a second one acts as it would have before."""
    received: list[int] = []
    previous: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    previous.update({number: signal.signal(number, note) for number in _SIGNALS})
    try:
        yield received
    finally:
        restore()


@contextmanager
def peers(processes: Processes, folder: Path, images: Callable[[], int]) -> Iterator[None]:
    """Says what to do when another process is gone.

    Args:
        processes: Of the run.
        folder: Of the run, where its checkpoints are.
        images: How many the run has seen.

    Raises:
        LostProcessError: Another process died within the block.
    """
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        if processes.count == 1 or not lost:
            raise
        raise LostProcessError(
            f"process {processes.rank} of {processes.count} lost another one after "
            f"{images():,} images ({error}): see its own message, then start the run again, with "
            f"any number of processes; it goes on from its last checkpoint in {folder}"
        ) from error
