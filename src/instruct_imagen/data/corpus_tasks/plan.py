"""What a corpus gives to a task: one reading of all of it, before shards are built.

The number of an example must not depend on who makes it, and what a corpus has to pass over shows
only when it is read. So it is read once from end to end, each image decoded, and what can be used
is noted: 12 bytes an example and, where a task needs groups, 16 more a picture (24 while it is
read).
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from instruct_imagen.data.corpora.base import Corpus, Listing
from instruct_imagen.data.corpora.records import Record, StoredImage
from instruct_imagen.data.corpus_tasks.base import CorpusTaskError, Maker


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Pictures that may refer to each other.

    Attributes:
        positions: (N,) int64, of their records in the corpus.
        digests: (N,) uint64, beginnings of the hashes of their files.
    """

    positions: np.ndarray
    digests: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is made of a corpus in one pass over it.

    Attributes:
        positions: (N,) int64, of the record of each example in the corpus.
        targets: (N,) int32, which of its pictures is the target.
        groups: By name; none where the task needs none.
        shuffled: Whether any record can be read at once, so that examples come in random order;
            else they come in the order of the corpus.
        records: That were read.
        unused: Of them, those that give no example.
        problems: That the corpus passed over.
        sha256: Of all keys, texts and files that were read, in their order.
    """

    positions: np.ndarray
    targets: np.ndarray
    groups: Mapping[str, Group]
    shuffled: bool
    records: int
    unused: int
    problems: int
    sha256: str

    def __len__(self) -> int:
        """Count the examples of a pass."""
        return len(self.positions)

    def at(self, index: int, seed: int) -> tuple[int, int]:
        """Record and target of the example at an index; passes follow each other."""
        number, place = divmod(index, len(self))
        if self.shuffled:
            place = int(_order(len(self), seed, number)[place])
        return int(self.positions[place]), int(self.targets[place])


@lru_cache(maxsize=2)
def _order(count: int, seed: int, number: int) -> np.ndarray:
    """The order of a pass."""
    return np.random.default_rng((seed, number)).permutation(count)


def digest_of(image: StoredImage) -> int:
    """The first 64 bits of a file's hash."""
    return int(image.sha256[:16], 16)


def plan_of(corpus: Corpus[Any], maker: Maker[Any]) -> Plan:
    """Reads a corpus, which should decode, and notes what a maker can use.

    Raises:
        CorpusError: More of it is broken than is tolerated.
        CorpusTaskError: Nothing of it can be used.
    """
    content = hashlib.sha256()
    positions, targets, names = array("q"), array("i"), []
    members: defaultdict[str, tuple[array[int], array[int]]] = defaultdict(
        lambda: (array("q"), array("Q"))
    )
    records = 0
    stream = corpus.records()
    for record in stream:
        records += 1
        position = stream.position - 1
        _note(content, record)
        group = maker.group(record)
        if group is not None:
            members[group[0]][0].append(position)
            members[group[0]][1].append(digest_of(group[1]))
        for target in maker.targets(record):
            positions.append(position)
            targets.append(target)
            if group is not None:
                names.append(group[0])
    groups = {
        name: Group(positions=np.array(where, np.int64), digests=np.array(digests, np.uint64))
        for name, (where, digests) in members.items()
    }
    usable = np.ones(len(positions), bool)
    if groups:
        rich = {name for name, group in groups.items() if len(np.unique(group.digests)) > 1}
        usable = np.array([name in rich for name in names], bool)
    if not usable.any():
        raise CorpusTaskError(
            f"{corpus.name} in {corpus.folder} gives no {maker.task}: of its {records} records "
            f"each has {maker.lack}"
        )
    chosen = np.array(positions, np.int64)[usable]
    return Plan(
        positions=chosen,
        targets=np.array(targets, np.int32)[usable],
        groups=groups,
        shuffled=isinstance(corpus.source, Listing),
        records=records,
        unused=records - len(np.unique(chosen)),
        problems=stream.problems.count,
        sha256=content.hexdigest(),
    )


def _note(content: hashlib._Hash, record: Record) -> None:
    """What a record holds: its key, all its texts and its files."""
    content.update(f"{record!r}\n".encode())
    for picture in record.pictures:
        content.update(picture.sha256.encode())
