"""Where the work of a build is done: on this machine, or on a cluster, by Daft.

The only module that knows Daft. Daft runs in this process by default; ``DAFT_RUNNER=ray`` (with
``RAY_ADDRESS`` for a cluster that is there) moves all of it to Ray, with the same results: a part
is a function of its inputs, and writes its own files, which all machines must see under one path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow.parquet as pq

from instruct_imagen.data.annotators.base import AnnotatorError
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.corpora.base import CorpusError
from instruct_imagen.data.one_thread import one_thread
from instruct_imagen.images import ImageError

AT_ONCE = 2**20
"""Rows of a query, each of some 350 bytes."""

MOST_PASSES = 256
"""Queries of one column: there are so many ranges of hashes."""

_PARTITIONS = 16
"""Of parts, for each process of a cluster: so the slowest one is not waited for long."""

PartFunction = Callable[[str], None]
"""Makes the part of a name: reads its inputs, writes its files and its manifest."""


class Work(Protocol):
    """What a step does with its parts. It can be sent to other processes and machines."""

    def opened(self) -> PartFunction:
        """What makes parts, once for each process: here models are loaded."""
        ...


def run_parts(
    work: Work, parts: Sequence[str], *, workers: int = 1, gpus: int = 0
) -> Iterator[str]:
    """Has all parts made, by so many processes; yields the name of each when it is done.

    Args:
        work: What makes them.
        parts: Their names, in the order in which they are begun.
        workers: Processes, each of which makes one part at a time. No result depends on it.
        gpus: That each of them needs. A cluster then gives every one its own; here they share.

    Raises:
        ClusterError: A part cannot be made (the first one that could not; those that are done stay
            done), Daft is not installed, or the cluster has no GPU and one is needed.
    """
    if not parts:
        return
    daft = _daft()
    gpus = gpus if elsewhere() else 0
    if gpus and not _cluster_gpus():
        raise ClusterError(
            "device=cuda, but the Ray cluster has no GPU: add a machine with one, or use cpu"
        )

    @daft.cls(max_concurrency=workers, use_process=True, gpus=gpus)
    class Worker:
        def __init__(self, given: Work) -> None:
            self.make = given.opened()

        @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)
        def done(self, names: Any) -> list[str]:
            with one_thread():
                return [_outcome(self.make, name) for name in names.to_pylist()]

    table = daft.from_pydict({"part": list(parts)})
    if elsewhere():
        # A partition is one machine's work, however many there are.
        table = table.into_partitions(min(len(parts), workers * _PARTITIONS))
    rows = table.with_column("outcome", Worker(work).done(daft.col("part"))).iter_rows()
    for row in rows:
        if error := json.loads(row["outcome"]).get("error"):
            raise ClusterError(error)
        yield row["part"]


def first_of_each(
    tables: Sequence[Path], column: str, order: str, *, at_once: int = AT_ONCE
) -> np.ndarray:
    """Values of `order` in the rows that are the first to have their value of `column`.

    Args:
        tables: Parquet files.
        column: Of hashes, hexadecimal; rows where it is empty or missing are all kept.
        order: A column of unique values, which says what comes first.
        at_once: Rows that are in memory, about; where there are more, the tables are read several
            times, for the hashes of one range after the other. No result depends on it.

    Returns:
        The values of `order` of the rows that are kept, in order, as one array.
    """
    daft = _daft()
    rows = daft.read_parquet([str(path) for path in tables]).select(column, order)
    empty = daft.col(column).is_null() | (daft.col(column) == "")
    total = sum(pq.read_metadata(path).num_rows for path in tables)
    passes = min(max(1, -(-total // at_once)), MOST_PASSES)
    bounds = [f"{256 * number // passes:02x}" for number in range(1, passes)]
    found = [rows.where(empty).select(order)]
    for low, high in pairwise([None, *bounds, None]):
        some = rows.where(~empty)
        some = some if low is None else some.where(daft.col(column) >= low)
        some = some if high is None else some.where(daft.col(column) < high)
        found.append(some.groupby(column).agg(daft.col(order).min()).select(order))
    return np.sort(np.concatenate([one.to_arrow()[order].to_numpy() for one in found]))


def sharing(
    tables: Sequence[Path], column: str, order: str, most: int, *, at_once: int = AT_ONCE
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows have a text that more than `most` rows have.

    Args:
        tables: Parquet files.
        column: Of texts, which are equal if they are but for case and spaces; told by 64 bits.
        order: A column of unique values, which says what comes first.
        most: See above, 1 or more.
        at_once: See `first_of_each`.

    Returns:
        Their values of `order`, ascending, and which text each has, by numbers from 0 in the order
        of the texts' first rows: (M,) and (M,) int64.
    """
    daft = _daft()
    text = daft.col(column).normalize(lowercase=True, white_space=True)
    rows = daft.read_parquet([str(path) for path in tables])
    rows = rows.select(text.hash().alias("text"), order)
    total = sum(pq.read_metadata(path).num_rows for path in tables)
    passes = min(max(1, -(-total // at_once)), MOST_PASSES)
    bounds = [2**64 * number // passes for number in range(1, passes)]
    ids, texts = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for low, high in pairwise([None, *bounds, None]):
        some = rows if low is None else rows.where(daft.col("text") >= daft.lit(np.uint64(low)))
        some = some if high is None else some.where(daft.col("text") < daft.lit(np.uint64(high)))
        table = some.to_arrow()
        found = table["text"].to_numpy()
        _, places, sizes = np.unique(found, return_inverse=True, return_counts=True)
        many = sizes[places] > most
        ids.append(table[order].to_numpy()[many])
        texts.append(found[many])
    every, shared = np.concatenate(ids), np.concatenate(texts)
    ascending = np.argsort(every, kind="stable")
    every, shared = every[ascending], shared[ascending]
    _, first, groups = np.unique(shared, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), np.int64)
    ranks[np.argsort(first)] = np.arange(len(first))
    return every, ranks[groups]


def elsewhere() -> bool:
    """Whether parts are made by a cluster."""
    return os.environ.get("DAFT_RUNNER", "").lower() == "ray"


def _cluster_gpus() -> float:
    """GPUs of the Ray cluster that Daft uses, or begins on this machine."""
    import ray

    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    return float(ray.cluster_resources().get("GPU", 0))


def _outcome(make: PartFunction, part: str) -> str:
    """What happened, as JSON; what a user can mend is no traceback of another process."""
    try:
        make(part)
    except (ClusterError, CorpusError, ImageError, AnnotatorError, OSError) as error:
        return json.dumps({"error": str(error)})
    return "{}"


def _daft() -> Any:
    try:
        import daft
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"clusters need {error.name}: pip install 'instruct-imagen[clusters]'"
        ) from error
    # Its bars are of batches and rows; ours are of parts and images.
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    return daft
