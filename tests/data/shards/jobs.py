"""A small job on our own drawings, and builds of it that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
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


class Killer:
    """Kills builds, each in a process of its own, forked from one that has imported all."""

    def __init__(self) -> None:
        root = Path(__file__).parents[3]
        path = f"{root / 'src'}:{root}"
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.data.shards.jobs"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, folder: Path, workers: int, place: str, number: int) -> int:
        """What `killed_build` ends with; negative for a signal."""
        print(
            json.dumps([str(folder), workers, place, number]), file=self._server.stdin, flush=True
        )
        return int(self._server.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._server.stdin.close()
        self._server.wait()


def serve() -> None:
    """Forks a build for each line of the input, and tells how it ended."""
    for line in sys.stdin:
        folder, workers, place, number = json.loads(line)
        pid = os.fork()
        if pid == 0:
            killed_build(Path(folder), workers, place, number)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
