"""A small job on our own drawings, and builds of it that are killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from instruct_imagen.data.shards import building
from instruct_imagen.data.shards.job import ShardJob
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary

EXAMPLES, SHARD, SHARDS = 40, 9, 5


def small_job(**changes: Any) -> ShardJob:
    """40 examples of every task in 5 shards, the last of which has 4."""
    job = ShardJob(
        recipe="small",
        tasks=dict(all_tasks()),
        ratios=dict.fromkeys(all_tasks(), 1.0),
        vocabulary=fallback_vocabulary(),
        atlas=fallback_atlas(),
        size=16,
        seed=3,
        examples=EXAMPLES,
        shard=SHARD,
    )
    return replace(job, **changes)


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def killed_build(folder: Path, workers: int, place: str, number: int) -> None:
    """Builds and is killed when it comes to a place for the `number`-th time.

    Args:
        folder: Of the shards.
        workers: Must be 1 for all places but ``report``: others are processes of their own.
        place: ``example``: in the middle of a tar; ``tar``: a tar is written and has no name;
            ``note``: its hash lies there, it has no name; ``report``: between shards; ``manifest``:
            it lies there, and what it replaces does too.
        number: From 1.
    """
    left = number

    def after(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            result = function(*arguments, **options)
            if kind == place:
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result

        return called

    def opened(job: ShardJob) -> building.Examples:
        made = own(job)
        return lambda indices: (passed(example) for example in made(indices))

    passed = after("example", lambda example: example)
    own = ShardJob.opened
    ShardJob.opened = opened
    building.write_tar = after("tar", building.write_tar)
    building.write_manifest = after("manifest", building.write_manifest)
    # The settings are written by the same function as the notes, and before them.
    if place == "note":
        left += 1
    building.write_whole = after("note", building.write_whole)
    job = small_job()
    building.build_shards(folder, job, workers=workers, report=after("report", lambda made: None))


if __name__ == "__main__":
    killed_build(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
