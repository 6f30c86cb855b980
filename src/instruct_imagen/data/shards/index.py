"""Where each example of a folder of shards lies, so that any of them can be read at once.

Found once, by a reading that compares the shards' hashes, and kept as ``index.npz`` beside the
manifest that it belongs to: 18 bytes an example, and of each task which combinations of the
hold-out it has.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from instruct_imagen.data.corpora.tars import Sample
from instruct_imagen.data.shards.layout import (
    MANIFEST,
    Manifest,
    ShardEntry,
    ShardError,
    StoredExample,
    draft_of,
    example_of,
    key_of,
    read_manifest,
)
from instruct_imagen.data.shards.reading import check_shard
from instruct_imagen.data.shards.ustar import content, members
from instruct_imagen.data.tasks.combinations import combination_of_roles

INDEX = "index.npz"

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardIndex:
    """A folder of shards whose examples can be read in any order.

    Attributes:
        folder: Where it lies.
        manifest: What it is.
        sha256: Of the manifest's file, which names the hashes of all shards.
        names: Of the tasks, sorted.
        tasks: (N,) int16, which of `names` an example belongs to.
        starts: (N,) int64, where it begins in its shard.
        stops: (N,) int64, where it ends.
        markers: Highest k of ``[ref#k]`` of all references; 0 without any.
        combinations: Of each of `names`, the combinations of the hold-out among its examples; see
            `data.tasks.combinations`.
    """

    folder: Path
    manifest: Manifest
    sha256: str
    names: tuple[str, ...]
    tasks: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    markers: int
    combinations: Mapping[str, frozenset[str]]

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.tasks)

    def of_task(self, name: str) -> np.ndarray:
        """(M,) int64, numbers of a task's examples, ascending."""
        if name not in self.names:
            return np.empty(0, np.int64)
        return np.flatnonzero(self.tasks == self.names.index(name))

    def read(self, number: int) -> StoredExample:
        """An example by its number, from 0.

        Raises:
            ShardError: Its shard has changed since it was indexed.
        """
        path = self.folder / self._shard_of(number).file
        start, stop = int(self.starts[number]), int(self.stops[number])
        try:
            with path.open("rb") as file:
                file.seek(start)
                own = io.BytesIO(file.read(stop - start))
        except OSError as error:
            raise ShardError(f"{path}: {error.strerror or error}") from error
        files, keys = {}, set()
        for member in members(own, path):
            key, _, file = member.name.partition(".")
            files[file] = content(own, member, path)
            keys.add(key)
        if keys != {key_of(number)}:
            raise ShardError(
                f"{path} has the example {' and '.join(sorted(keys)) or 'nothing'} where "
                f"{key_of(number)} belongs: delete {self.folder / INDEX}, and it is found anew"
            )
        return example_of(Sample(place=f"{path.stem}/{key_of(number)}", files=files))

    def _shard_of(self, number: int) -> ShardEntry:
        """The shard that an example is in."""
        if not 0 <= number < len(self):
            raise IndexError(f"example {number} of {len(self)}")
        return self.manifest.shards[int(np.searchsorted(self._ends, number, side="right"))]

    @cached_property
    def _ends(self) -> np.ndarray:
        """(S,) int64, of each shard the number after that of its last example."""
        return np.cumsum([shard.examples for shard in self.manifest.shards])


def index_shards(folder: Path | str) -> ShardIndex:
    """Opens a folder that `tasks build` made, and finds its examples if nobody has yet.

    Raises:
        ShardError: It is not finished, or a shard is missing, damaged or of another length.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    for shard in manifest.shards:
        path = folder / shard.file
        if not path.is_file() or path.stat().st_size != shard.bytes:
            check_shard(folder, shard)  # names it
    kept = _kept(folder / INDEX, sha256, manifest.examples)
    if kept is None:
        kept = _found(folder, manifest)
        _keep(folder / INDEX, sha256, kept)
    return ShardIndex(
        folder=folder,
        manifest=manifest,
        sha256=sha256,
        names=tuple(kept["names"].tolist()),
        tasks=kept["tasks"],
        starts=kept["starts"],
        stops=kept["stops"],
        markers=int(kept["markers"]),
        combinations={
            name: frozenset(found.split())
            for name, found in zip(
                kept["names"].tolist(), kept["combinations"].tolist(), strict=True
            )
        },
    )


_FIELDS = ("names", "tasks", "starts", "stops", "markers", "combinations")


def _kept(path: Path, sha256: str, examples: int) -> dict[str, np.ndarray] | None:
    """What an earlier reading found; None if there is none, or of other shards."""
    try:
        with np.load(path, allow_pickle=False) as found:
            if str(found["manifest"]) != sha256 or len(found["tasks"]) != examples:
                return None
            return {name: found[name] for name in _FIELDS}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None  # not there yet, or damaged: it is found anew


def _keep(path: Path, sha256: str, found: dict[str, np.ndarray]) -> None:
    """Writes the index; where the folder cannot be written, the next run finds it anew."""
    draft = draft_of(path)
    with contextlib.suppress(OSError):
        try:
            with draft.open("wb") as file:
                np.savez(file, manifest=np.array(sha256), **found)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def _found(folder: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """Reads all shards, and of each example what is not a picture."""
    tasks: list[str] = []
    starts: list[int] = []
    stops: list[int] = []
    markers = 0
    combinations: defaultdict[str, set[str]] = defaultdict(set)
    for shard in manifest.shards:
        check_shard(folder, shard)
        before = len(tasks)
        path = folder / shard.file
        with path.open("rb") as file:
            for member in members(file, path):
                if member.name.endswith(".json"):
                    about = json.loads(content(file, member, path))
                    tasks.append(about["task"])
                    starts.append(member.start - _BLOCK)  # with its header
                    stops.append(0)
                    shown = [(one["marker"], one["role"]) for one in about["references"]]
                    markers = max(markers, *(marker for marker, _ in shown), 0)
                    if combination := combination_of_roles(shown):
                        combinations[about["task"]].add(combination)
                stops[-1] = member.start + -(-member.size // _BLOCK) * _BLOCK
        if len(tasks) - before != shard.examples:
            raise ShardError(
                f"{path} has {len(tasks) - before} examples, its manifest says "
                f"{shard.examples}: build it again"
            )
    names = sorted(set(tasks))
    numbers = {name: number for number, name in enumerate(names)}
    return {
        "names": np.array(names),
        "tasks": np.array([numbers[task] for task in tasks], np.int16),
        "starts": np.array(starts, np.int64),
        "stops": np.array(stops, np.int64),
        "markers": np.array(markers),
        "combinations": np.array([" ".join(sorted(combinations[name])) for name in names]),
    }
