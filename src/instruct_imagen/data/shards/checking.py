"""Looks at every byte, image and text of shards, and counts what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.tars import Sample, Tars
from instruct_imagen.data.shards.layout import (
    EXTENSIONS,
    ShardEntry,
    ShardError,
    StoredExample,
    example_of,
    read_manifest,
)
from instruct_imagen.data.shards.reading import check_shard
from instruct_imagen.images import ImageError
from instruct_imagen.instruction import markers_in

SHOWN = 10
"""Faults that a `Report` names."""


@dataclass(kw_only=True)
class TaskCounts:
    """What was found of one task.

    Attributes:
        references: Number of references → examples that have so many.
        words: Words of the caption → captions that have so many; 0 for no caption.
    """

    references: Counter[int] = field(default_factory=Counter)
    words: Counter[int] = field(default_factory=Counter)

    @property
    def examples(self) -> int:
        """How many there are."""
        return self.references.total()


@dataclass(kw_only=True)
class Report:
    """What a folder of shards holds.

    Attributes:
        shards: Of the manifest.
        examples: That could be read.
        tasks: Counts by task.
        faults: How many there are.
        first: The first `SHOWN` of them, each as one line.
    """

    shards: int = 0
    examples: int = 0
    tasks: dict[str, TaskCounts] = field(default_factory=dict)
    faults: int = 0
    first: list[str] = field(default_factory=list)

    def fault(self, line: str) -> None:
        """Counts a fault."""
        self.faults += 1
        if len(self.first) < SHOWN:
            self.first.append(line)


def check_shards(folder: Path) -> Report:
    """Reads all shards: hashes, members, texts; decodes every image.

    Raises:
        ShardError: The folder is not finished.
    """
    manifest = read_manifest(folder)
    report = Report(shards=len(manifest.shards))
    first = 0
    for shard in manifest.shards:
        try:
            check_shard(folder, shard)
        except ShardError as error:
            report.fault(str(error))
        if (folder / shard.file).is_file():
            _look_into(folder, shard, first, report)
        first += shard.examples
    known = {shard.file for shard in manifest.shards}
    for path in sorted(folder.glob("*.tar")):
        if path.name not in known:
            report.fault(f"{path} is not in the manifest")
    report.tasks = dict(sorted(report.tasks.items()))
    return report


def _look_into(folder: Path, shard: ShardEntry, first: int, report: Report) -> None:
    """Every example of a shard that should begin with the index `first`."""
    seen = 0
    for entry in Tars(folder, [folder / shard.file], EXTENSIONS).entries(0, 1, 0):
        if isinstance(entry, EntryError):
            report.fault(str(entry))
            continue
        seen += 1
        try:
            example = example_of(entry)
        except ShardError as error:
            report.fault(str(error))
            continue
        if example.index != first + seen - 1:
            report.fault(f"{entry.place}: the index {first + seen - 1} belongs here")
        for line in faults_of(example, entry):
            report.fault(line)
        report.examples += 1
        counts = report.tasks.setdefault(example.task, TaskCounts())
        counts.references[len(example.references)] += 1
        counts.words[len(example.caption.split())] += 1
    if seen != shard.examples:
        report.fault(f"{shard.file} has {seen} examples, the manifest says {shard.examples}")


def faults_of(example: StoredExample, sample: Sample) -> Iterator[str]:
    """What is wrong with an example whose members are all there, one line each."""
    place = sample.place
    if not example.text.strip() and not example.references:
        yield f"{place}: it has neither text nor references"
    there = {reference.marker for reference in example.references}
    for marker in markers_in(example.text):
        if marker not in there:
            yield f"{place}: the text names [ref#{marker}], and no reference has that marker"
    used = {reference.image.name.rpartition(".ref")[2] for reference in example.references}
    for name in sorted(sample.files):
        if name.startswith("ref") and name.removeprefix("ref") not in used:
            yield f"{place}.{name} belongs to no reference"
    for image in (*(one.image for one in example.references), example.target):
        try:
            size = image.load().size
        except ImageError as error:
            yield str(error)
            continue
        if size != (example.size, example.size):
            yield f"{image.name}: {size[0]} × {size[1]} pixels, the example says {example.size}"
