"""Clusters as shards that stage 1 is trained on.

Every pair of a cluster is once the text and target of an example, whose context are three of the
other four ([Hu24] §3.2): a cluster gives five examples. They are those of the world's own clusters
(`by_concept`), so that a run can have either: task ``retrieval``, markers 1 to 3, no roles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from PIL import Image

from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE, CONTEXT_SIZE, TASK_NAME
from instruct_imagen.data.clusters.reading import Loader, WebCorpus, loader
from instruct_imagen.data.clusters.rows import ClusterError, rows_of
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.records import StoredImage
from instruct_imagen.data.corpus_tasks.base import Draft, Shown, in_sentence, stored
from instruct_imagen.data.shards.layout import ShardError, StoredExample, examples_hash, sha256_of
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.images import to_square

Fit = Literal["crop", "pad"]

_BLOCK = 2**26  # bytes of pictures that are held at once

_PROBE = 10  # examples that tell whether the code is still the same


@dataclass(frozen=True, kw_only=True)
class ClusterJob:
    """What the shards of clusters are a function of; see `shards.building.Job`.

    Attributes:
        members: Arrow file of the step that found the clusters: their rows, five of a cluster after
            each other, best clusters first.
        clusters: How many of them, from the first on.
        corpus: Where the images are.
        licence: What the user knows of their rights; goes into the manifest.
        size: Side of the pictures in pixels.
        fit: ``crop`` keeps the largest centred square, ``pad`` the whole image on white.
        seed: Of which pair comes when, and what is its context.
        shard: Examples a shard, at least 1; the last one may have fewer.
    """

    members: Path
    clusters: int
    corpus: WebCorpus
    licence: str
    size: int
    fit: Fit = "crop"
    seed: int = 0
    shard: int = 1000

    def __post_init__(self) -> None:
        for name in ("clusters", "size", "shard"):
            if getattr(self, name) < 1:
                raise ShardError(f"{name}={getattr(self, name)} must be 1 or more")

    @property
    def examples(self) -> int:
        """Five of each cluster."""
        return self.clusters * CLUSTER_SIZE

    @property
    def shards(self) -> int:
        """See `shards.building.Job`."""
        return -(-self.examples // self.shard)

    def range_of(self, number: int) -> range:
        """See `shards.building.Job`."""
        return range(number * self.shard, min((number + 1) * self.shard, self.examples))

    def opened(self) -> Callable[[range], Iterator[StoredExample]]:
        """See `shards.building.Job`."""
        return _Examples(self)

    def settings(self) -> dict[str, Any]:
        """See `shards.building.Job`."""
        first = self.opened()(range(min(_PROBE, self.examples)))
        return {
            "corpus": self.corpus.kind,
            "options": dict(self.corpus.options),
            "ratios": {TASK_NAME: 1.0},
            "size": self.size,
            "fit": self.fit,
            "seed": self.seed,
            "examples": self.examples,
            "shard": self.shard,
            "content": sha256_of(self.members),
            "first_examples": examples_hash(first),
        }

    def sources(self) -> dict[str, dict[str, str]]:
        """See `shards.building.Job`; names the folder without its place on this machine."""
        return {
            self.corpus.kind: {
                "title": "clusters of five of a corpus of captioned images",
                "licence": self.licence,
                "folder": self.corpus.folder.resolve().name,
                "sha256": sha256_of(self.members),
            }
        }

    def remarks(self) -> tuple[str, ...]:
        """See `shards.building.Job`."""
        return ()


def order_of(index: int, examples: int, seed: int) -> tuple[int, int]:
    """Which cluster, and which of its pairs is the target, of the example at an index.

    Each pair of each cluster comes once. Neighbours in the stream are of different clusters, as
    an order that keeps a cluster's five together would make batches of few subjects: the step from
    one to the next is a number without common divisor with the count.
    """
    step = _coprime(examples)
    place = (index * step + seed) % examples
    return place // CLUSTER_SIZE, place % CLUSTER_SIZE


def _coprime(count: int) -> int:
    """A step of about 0.618 of the count that reaches every number before it comes again."""
    step = max(1, int(count * 0.6180339887498949))
    while gcd(step, count) != 1:
        step += 1
    return step


class _Examples:
    """Makes the examples of a job, in one process; images are read where the corpus has them."""

    def __init__(self, job: ClusterJob) -> None:
        self._job = job
        self._table = read_members(job.members)
        self._load: Loader = loader(job.corpus)
        if self._table.num_rows < job.examples:
            raise ClusterError(
                f"{job.members} has {self._table.num_rows // CLUSTER_SIZE} clusters, not "
                f"{job.clusters}: ask for as many or fewer"
            )

    def __call__(self, indices: range) -> Iterator[StoredExample]:
        """The examples at some indices."""
        # Rows of a cluster lie anywhere, and a table's are decoded a group at a time: so the
        # pictures of many examples are read together, in the order in which they lie there.
        many = max(1, _BLOCK // ((1 + CONTEXT_SIZE) * 3 * self._job.size**2))
        for start in range(indices.start, indices.stop, many):
            stop = min(start + many, indices.stop)
            some = [self._drawn(index) for index in range(start, stop)]
            pictures = self._pictures({place for _, places in some for place in places})
            for index, places in some:
                yield self._example(index, places, pictures)

    def _drawn(self, index: int) -> tuple[int, list[int]]:
        """An index with the rows of its pictures: the target first, then the context."""
        job = self._job
        cluster, member = order_of(index, job.examples, job.seed)
        rng = scene_rng(job.seed, index)
        others = [place for place in range(CLUSTER_SIZE) if place != member]
        context = [others[k] for k in rng.permutation(len(others))[:CONTEXT_SIZE]]
        return index, [cluster * CLUSTER_SIZE + place for place in (member, *context)]

    def _example(
        self, index: int, places: list[int], pictures: Mapping[int, tuple[str, Image.Image]]
    ) -> StoredExample:
        (text, target), *context = (pictures[place] for place in places)
        draft = Draft(
            text=text,
            caption=text,
            references=tuple(
                Shown(marker=k, text=words, role=None, image=picture)
                for k, (words, picture) in enumerate(context, start=1)
            ),
            target=target,
        )
        return stored(TASK_NAME, index, draft, self._job.size)

    def _pictures(self, places: Set[int]) -> dict[int, tuple[str, Image.Image]]:
        """Caption and square picture of each row."""
        numbers = sorted(places)
        rows = dict(zip(numbers, rows_of(self._table.take(numbers)), strict=True))

        def lies(number: int) -> tuple[str, str, int, int]:
            place = rows[number].place
            return place.file, place.column, place.row, place.offset

        found = {}
        order = sorted(numbers, key=lies)
        loaded = self._load([rows[number] for number in order])
        for number, data in zip(order, loaded, strict=True):
            row = rows[number]
            if isinstance(data, EntryError):
                raise ShardError(str(data))
            image = StoredImage(data=data, name=row.key).load()
            square = to_square(image, self._job.size, self._job.fit)
            found[number] = in_sentence(row.caption), square
        return found


def read_members(path: Path) -> pa.Table:
    """The rows of clusters, mapped and not read: see `ClusterJob.members`.

    Raises:
        ClusterError: It is no such file.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ClusterError(f"{path} is no table of clusters ({error}): build them again") from None
    if table.num_rows % CLUSTER_SIZE:
        raise ClusterError(f"{path} holds {table.num_rows} rows, no multiple of {CLUSTER_SIZE}")
    return table


def write_members(path: Path, table: pa.Table) -> None:
    """The file that `read_members` maps."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
