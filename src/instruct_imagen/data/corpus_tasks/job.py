"""Shards of a corpus: what they are a function of, and the examples that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from instruct_imagen.data.annotators.base import Annotator
from instruct_imagen.data.annotators.registry import annotator
from instruct_imagen.data.corpora.base import Corpus, Listing, Reading
from instruct_imagen.data.corpora.records import Record, StoredImage
from instruct_imagen.data.corpora.registry import all_corpora, open_corpus
from instruct_imagen.data.corpus_tasks.base import CorpusTaskError, Maker, Tools, stored
from instruct_imagen.data.corpus_tasks.plan import Plan, digest_of, plan_of
from instruct_imagen.data.corpus_tasks.registry import maker_of
from instruct_imagen.data.one_thread import one_thread
from instruct_imagen.data.shards.layout import ShardError, StoredExample, examples_hash
from instruct_imagen.data.world.scenes import scene_rng

ROLES = {"canny": "edge", "edge": "edge", "sketch": "sketch", "depth": "depth", "mask": "mask"}
"""Kinds of annotators -> what a task uses them as."""

_PROBE = 16  # examples that tell whether the code and the annotators are still the same
_NEAR = 256  # entries that are read over rather than opened anew


@dataclass(frozen=True, kw_only=True)
class CorpusJob:
    """What the examples are a function of; `corpus_job` makes one.

    Attributes:
        corpus: Name of the data set.
        folder: Where it lies; shards do not depend on it.
        options: Of the data set, e.g. ``{"split": "train"}``.
        task: The one that is made.
        annotators: By role, as in `Tools`.
        plan: What it gives.
        size: Side of the pictures in pixels.
        seed: Of order, words and references.
        examples: How many, at least 1; beyond one pass, targets come again with other words.
        shard: Examples a shard, at least 1; the last one may have fewer.
    """

    corpus: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    task: str
    annotators: Mapping[str, Annotator] = field(default_factory=dict)
    plan: Plan
    size: int
    seed: int
    examples: int
    shard: int

    def __post_init__(self) -> None:
        for name in ("size", "examples", "shard"):
            if getattr(self, name) < 1:
                raise ShardError(f"{name}={getattr(self, name)} must be 1 or more")

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, without the networks that annotators have loaded here."""
        fresh = {role: replace(one) for role, one in self.annotators.items()}
        return {**vars(self), "annotators": fresh}

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
            "corpus": self.corpus,
            "options": dict(self.options),
            "ratios": {self.task: 1.0},
            "annotators": {role: one.fingerprint for role, one in self.annotators.items()},
            "size": self.size,
            "seed": self.seed,
            "examples": self.examples,
            "shard": self.shard,
            "content": self.plan.sha256,
            "first_examples": examples_hash(first),
        }

    def sources(self) -> dict[str, dict[str, str]]:
        """See `shards.building.Job`; names the folder without its place on this machine."""
        about = all_corpora()[self.corpus].about
        return {
            self.corpus: {
                "title": about.title,
                "source": about.source,
                "licence": about.licence,
                "folder": self.folder.resolve().name,
                "sha256": self.plan.sha256,
            }
        }

    def remarks(self) -> tuple[str, ...]:
        """See `shards.building.Job`; what was read of the corpus is in the plan."""
        return ()


def corpus_job(
    corpus: str,
    folder: Path,
    task: str,
    *,
    options: Mapping[str, str] | None = None,
    annotators: Mapping[str, Annotator] | None = None,
    size: int,
    seed: int = 0,
    examples: int = 0,
    shard: int = 1000,
) -> CorpusJob:
    """Reads a corpus from end to end and says what is to be made of it.

    Args:
        corpus: Name of the data set.
        folder: Where it lies.
        task: What is made of it.
        options: Of the data set.
        annotators: That the user chose, by role.
        size: Side of the pictures in pixels.
        seed: Of order, words and references.
        examples: How many; 0 for one pass, in which each target comes once.
        shard: Examples a shard.

    Raises:
        CorpusError: The data set is unknown, not there, or too much of it is broken.
        CorpusTaskError: The task is not made of it, an annotator is missing or not used, or nothing
            of the data set can be used.
    """
    options, chosen = dict(options or {}), dict(annotators or {})
    opened = open_corpus(corpus, folder, Reading(decode=True), **options)
    maker = maker_of(type(opened), task)
    tools = tools_of(maker, chosen)
    plan = plan_of(opened, maker)
    return CorpusJob(
        corpus=corpus,
        folder=Path(folder),
        options=options,
        task=task,
        annotators=tools,
        plan=plan,
        size=size,
        seed=seed,
        examples=examples or len(plan),
        shard=shard,
    )


def tools_of(maker: Maker[Any], chosen: Mapping[str, Annotator]) -> dict[str, Annotator]:
    """The annotators of a maker: those that the user chose, and its own.

    Raises:
        CorpusTaskError: One must be named, or is not used.
    """
    for role in chosen:
        if role not in maker.needs and role not in maker.may:
            uses = ", ".join((*maker.needs, *maker.may))
            raise CorpusTaskError(
                f"{maker.task} uses no {role}: "
                + (f"it uses {uses}" if uses else "it needs no annotator")
            )
    found = dict(chosen)
    for role, usual in maker.needs.items():
        if role in found:
            continue
        if not usual:
            raise CorpusTaskError(
                f"{maker.task} needs a network that finds {role}: name one with --annotator "
                f"{role},model=…, see instruct-imagen annotate --help"
            )
        found[role] = annotator(usual)
    return dict(sorted(found.items()))


class _Examples:
    """Makes the examples of a job, in one process, from a corpus that stays open."""

    def __init__(self, job: CorpusJob) -> None:
        self._job = job
        self._corpus: Corpus[Any] = open_corpus(job.corpus, job.folder, **job.options)
        self._maker = maker_of(type(self._corpus), job.task)
        self._tools = Tools(size=job.size, annotators=job.annotators, others=self._other)
        self._stream = self._corpus.records()
        self._last: tuple[int, Record | None] = (-1, None)

    def __call__(self, indices: range) -> Iterator[StoredExample]:
        """The examples at some indices."""
        job = self._job
        for index in indices:
            position, target = job.plan.at(index, job.seed)
            record = self._record(position)
            if target not in self._maker.targets(record):
                raise self._changed(position)
            rng = scene_rng(job.seed, index)
            with one_thread():
                draft = self._maker.draft(rng, record, target, self._tools)
            yield stored(job.task, index, draft, job.size)

    def _record(self, position: int) -> Record:
        """The record of an entry that the plan has read."""
        if self._last[0] == position and self._last[1] is not None:
            return self._last[1]
        ahead = position - self._stream.position
        if not 0 <= ahead <= (0 if isinstance(self._corpus.source, Listing) else _NEAR):
            self._stream = self._corpus.records(position)
        record = None
        while self._stream.position <= position:
            record = next(self._stream, None)
            if record is None:
                break
        if record is None or self._stream.position != position + 1:
            raise self._changed(position)
        self._last = position, record
        return record

    def _other(self, rng: np.random.Generator, record: Record) -> StoredImage:
        """Another picture of the record's group."""
        own = self._maker.group(record)
        assert own is not None  # asked for by makers with groups alone
        group = self._job.plan.groups[own[0]]
        places = np.flatnonzero(group.digests != np.uint64(digest_of(own[1])))
        position = int(group.positions[places[int(rng.random() * len(places))]])
        # Not by the stream, which goes on behind the target.
        found = next(self._corpus.records(position), None)
        shown = self._maker.group(found) if found is not None else None
        if shown is None or shown[0] != own[0] or shown[1].data == own[1].data:
            raise self._changed(position)
        return shown[1]

    def _changed(self, position: int) -> ShardError:
        """The error for an entry that is not what the plan has read; to be raised."""
        return ShardError(
            f"{self._job.folder}: entry {position} of {self._job.corpus} has changed since the "
            "build began: leave the files alone while shards are built"
        )


__all__ = ["ROLES", "CorpusJob", "CorpusTaskError", "corpus_job", "tools_of"]
