"""A small step for tests: each part squares the numbers of a file, slowly if asked."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from instruct_imagen.data.clusters.engine import PartFunction, elsewhere, run_parts
from instruct_imagen.data.clusters.ledger import StepFolder
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.shards.layout import sha256_of


@dataclass(frozen=True)
class Squares:
    """Numbers in ``<source>/<part>.txt`` → their squares and their sum, two files.

    Attributes:
        source: Folder of the inputs.
        folder: Of the step.
        pause: Seconds between the two files, in which a process can be ended.
    """

    source: Path
    folder: Path
    pause: float = 0.0

    def opened(self) -> PartFunction:
        step = StepFolder(self.folder, {"power": 2})

        def make(part: str) -> None:
            path = self.source / f"{part}.txt"
            inputs = {path.name: sha256_of(path)}
            if step.kept(part, inputs):
                return
            numbers = [int(word) for word in path.read_text().split()]
            if any(number < 0 for number in numbers):
                raise ClusterError(f"{path.name}: {min(numbers)} is negative: take it out")
            with step.making(part, inputs) as draft:
                draft.path(f"{part}.squares").write_text(" ".join(str(n * n) for n in numbers))
                time.sleep(self.pause)
                draft.path(f"{part}.sum").write_text(str(sum(n * n for n in numbers)))
                draft.count("numbers", len(numbers))

        return make


def write_source(folder: Path, parts: int) -> list[str]:
    """Inputs of some parts; their names."""
    folder.mkdir()
    names = [f"{number:05d}" for number in range(parts)]
    for number, name in enumerate(names):
        (folder / f"{name}.txt").write_text(" ".join(str(number + k) for k in range(50)))
    return names


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name; drafts too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


if __name__ == "__main__":  # python steps.py SOURCE FOLDER PAUSE WORKERS PART…
    source, folder, pause, workers, *parts = sys.argv[1:]
    work = Squares(Path(source), Path(folder), float(pause))
    if elsewhere():
        try:
            list(run_parts(work, parts[:1], gpus=1))
        except ClusterError as error:
            print(error)
    done = list(run_parts(work, parts, workers=int(workers)))
    StepFolder(Path(folder), {"power": 2}).prune(parts)
    print(json.dumps(done))
