"""Reads shards as a stream of examples, in parts, from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from instruct_imagen.data.corpora.base import part_range
from instruct_imagen.data.corpora.tars import Sample
from instruct_imagen.data.shards.layout import (
    Manifest,
    ShardEntry,
    ShardError,
    StoredExample,
    example_of,
    read_manifest,
    sha256_of,
)
from instruct_imagen.data.shards.ustar import Member, content, members


class ShardReader(Iterator[StoredExample]):
    """The examples of a part, one at a time; one of them is in memory.

    Attributes:
        manifest: Of the folder.
        indices: Of the examples of this part.
        position: How many of them are passed over or given; `read_shards` goes on from there.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, indices: range, start: int, verify: bool
    ) -> None:
        self.manifest, self.indices, self.position = manifest, indices, start
        self._folder, self._verify = folder, verify
        self._stream = self._examples(start)

    def __next__(self) -> StoredExample:
        example = next(self._stream)
        self.position += 1
        return example

    def _examples(self, start: int) -> Iterator[StoredExample]:
        first = 0
        wanted = self.indices[start:]
        for shard in self.manifest.shards:
            here = range(max(wanted.start, first), min(wanted.stop, first + shard.examples))
            if here:
                if self._verify:
                    check_shard(self._folder, shard)
                yield from _of_shard(self._folder, shard, first, here)
            first += shard.examples


def read_shards(
    folder: Path | str,
    *,
    rank: int = 0,
    ranks: int = 1,
    worker: int = 0,
    workers: int = 1,
    start: int = 0,
    verify: bool = False,
) -> ShardReader:
    """Opens a folder that `tasks build` made.

    All parts together give every example once; a part is a run of neighbours, as long as any
    other, give or take one. The stream is shuffled as it is: see `data.mixture`.

    Args:
        folder: Of the shards.
        rank: Which process of a training reads, from 0.
        ranks: How many there are.
        worker: Which worker of that process reads, from 0.
        workers: How many each process has.
        start: Examples of this part that are passed over, as `ShardReader.position` counts them;
            of those in the same shard, headers are read.
        verify: Whether each shard's SHA-256 is compared before it is read, which reads it twice.

    Raises:
        ShardError: The folder is not finished, or there is no such part. When read: a shard is
            missing, damaged or holds what does not belong there; the message names it.
    """
    folder = Path(folder)
    for name, number, count in (("rank", rank, ranks), ("worker", worker, workers)):
        if not 0 <= number < count:
            raise ShardError(f"{name} must be from 0 to {name}s - 1, not {number} of {count}")
    if start < 0:
        raise ShardError(f"start must be at least 0, not {start}")
    manifest = read_manifest(folder)
    indices = part_range(manifest.examples, rank * workers + worker, ranks * workers)
    return ShardReader(folder, manifest, indices, start, verify)


def check_shard(folder: Path, shard: ShardEntry) -> None:
    """Raises a `ShardError` unless a shard has the bytes that were written."""
    path = folder / shard.file
    _check_there(path)
    if sha256_of(path) != shard.sha256:
        raise ShardError(
            f"{path} is damaged, its SHA-256 is not the manifest's: `tasks build` with the same "
            "settings makes it again"
        )


def _check_there(path: Path) -> None:
    """Raises a `ShardError` unless a shard is a file."""
    if not path.is_file():
        raise ShardError(f"{path} is missing: `tasks build` with the same settings makes it again")


def _of_shard(folder: Path, shard: ShardEntry, first: int, here: range) -> Iterator[StoredExample]:
    """Some examples of a shard whose first one has the index `first`."""
    path = folder / shard.file
    _check_there(path)
    index = first
    with path.open("rb") as file:
        for key, group in groupby(members(file, path), key=_key):
            if index in here:
                files = {one.name[len(key) + 1 :]: content(file, one, path) for one in group}
                example = example_of(Sample(place=f"{path.stem}/{key}", files=files))
                if example.index != index:
                    raise ShardError(
                        f"{path} has the example {example.index} where {index} belongs"
                    )
                yield example
            index += 1
            if index == here.stop:
                return
    raise ShardError(f"{path} ends before the example {index}: build it again")


def _key(member: Member) -> str:
    return member.name.partition(".")[0]
