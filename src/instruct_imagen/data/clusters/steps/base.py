"""What all steps have in common: a folder, parts, inputs, and a function that makes a part."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instruct_imagen.data.clusters.engine import PartFunction
from instruct_imagen.data.clusters.ledger import Draft, PartRecord, StepFolder
from instruct_imagen.data.clusters.rows import ClusterError, Row, rows_of, to_table

WHOLE = "all"
"""Name of the one part of a step that looks at the whole corpus."""

ID = "id"
"""Column of a row's number in the corpus: part · `PART_IDS` + its place in the part."""

PART_IDS = 2**32


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """One step of a build; small, so that it can be sent to other processes.

    Attributes:
        root: Folder of the build; each step has a folder of its own in it.
    """

    name: ClassVar[str]
    """Of the step and of its folder."""

    version: ClassVar[int] = 1
    """Of the code: raised when it makes other files of the same inputs and settings."""

    root: Path

    @abstractmethod
    def parts(self) -> Sequence[str]:
        """Names of its parts; steps before it are done."""

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """What its results depend on besides its inputs, as plain JSON types."""

    @abstractmethod
    def inputs(self, part: str) -> Mapping[str, str]:
        """What a part is made of; see `PartRecord`."""

    @abstractmethod
    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Writes the files of a part and counts."""

    def tools(self) -> Any:
        """What is loaded once a process, e.g. a network."""
        return None

    @property
    def gpus(self) -> int:
        """That a process needs which makes its parts."""
        return 0

    @cached_property
    def folder(self) -> StepFolder:
        """What it has left. Other processes get it with the step, and need no network to ask it."""
        return StepFolder(self.root / self.name, {**self.settings(), "version": self.version})

    def opened(self) -> PartFunction:
        """See `engine.Work`; tools are loaded when a part first needs them."""
        folder, loaded = self.folder, []

        def make(part: str) -> None:
            inputs = self.inputs(part)
            if folder.kept(part, inputs) is not None:
                return
            if not loaded:
                loaded.append(self.tools())
            with folder.making(part, inputs) as draft:
                self.make(part, draft, loaded[0])

        return make

    def missing(self) -> list[str]:
        """Parts that are not done."""
        folder = self.folder
        return [part for part in self.parts() if folder.kept(part, self.inputs(part)) is None]

    def records(self) -> list[PartRecord]:
        """What its parts have left.

        Raises:
            ClusterError: One is not done.
        """
        folder, found = self.folder, []
        for part in self.parts():
            record = folder.record(part)
            if record is None:
                raise ClusterError(f"step {self.name} is not done: build again, it goes on")
            found.append(record)
        return found

    def record(self, part: str) -> PartRecord:
        """What one part has left.

        Raises:
            ClusterError: It is not done.
        """
        record = self.folder.record(part)
        if record is None:
            raise ClusterError(f"step {self.name} is not done: build again, it goes on")
        return record

    def path(self, name: str) -> Path:
        """Of one of its files."""
        return self.root / self.name / name


def gpus_of(*models: Any) -> int:
    """That a process needs in which these run: one if any of them is on a GPU."""
    return int(any(str(getattr(one, "device", "")).startswith("cuda") for one in models))


def rows_and_ids(path: Path) -> tuple[tuple[Row, ...], dict[str, int]]:
    """The rows of a step's table, and key → number in the corpus."""
    table = pq.read_table(path)
    rows = rows_of(table)
    return rows, dict(zip((row.key for row in rows), table[ID].to_pylist(), strict=True))


def write_rows(rows: Sequence[Row], ids: Mapping[str, int], path: Path) -> None:
    """A table that `rows_and_ids` reads."""
    numbers = pa.array([ids[row.key] for row in rows], pa.int64())
    write_table(to_table(rows).append_column(ID, numbers), path)


def write_left_out(pairs: Sequence[tuple[str, str]], path: Path) -> None:
    """Keys of rows that were left out, each with the reason."""
    keys, reasons = ([pair[place] for pair in pairs] for place in (0, 1))
    write_table(
        pa.table({"key": pa.array(keys, pa.string()), "reason": pa.array(reasons, pa.string())}),
        path,
    )


def write_array(array: np.ndarray, path: Path) -> None:
    """An ``.npy`` file under whatever name."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)  # numpy's own way does not say that a disk is full


def write_table(table: pa.Table, path: Path) -> None:
    """A parquet file whose bytes follow from the table."""
    pq.write_table(table, path, compression="zstd", compression_level=3)


def table_of(part: str) -> str:
    """Name of a part's table."""
    return f"{part}.parquet"
