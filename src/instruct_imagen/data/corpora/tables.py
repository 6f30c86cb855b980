"""Rows of parquet files and of the Arrow files that Hugging Face ``datasets`` saves.

Rows are read a few at a time and only the columns that are asked for. Of a parquet file no more
than one row group is in memory, and of that only a page a column where its writer cut pages. Older
writers put all images of a group into one page or dictionary, and a group may be a whole file.
Arrow files are mapped: what is in memory of them is what the system caches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instruct_imagen.data.corpora.base import CorpusError, EntryError, Reader, part_range
from instruct_imagen.data.corpora.folders import SPLITS, files_below, inside, json_of
from instruct_imagen.data.corpora.records import StoredImage

SUFFIXES = (".parquet", ".arrow")
BATCH_ROWS = 8
"""Rows in memory at once; a row of MagicBrush has about 3 MB of images."""

_BUFFER = 2**16  # bytes; with a buffer, pages are read one by one, not a whole row group's


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table.

    Attributes:
        place: ``"data/train-00000-of-00002.parquet/17"``: its file and its number in it, from 0.
        values: By column, as Python values.
    """

    place: str
    values: Mapping[str, Any]


class Tables:
    """The rows of several files of one schema, in the order given.

    Attributes:
        schema: Of the first file.
        features: What Hugging Face ``datasets`` says of the columns; empty if nothing does.
    """

    def __init__(self, folder: Path, files: Sequence[Path], columns: Sequence[str] | None) -> None:
        """Reads the footers, no rows.

        Args:
            folder: Of the corpus; places are relative to it.
            files: At least one.
            columns: Those that `Row.values` has; None for all of the first file's.

        Raises:
            CorpusError: A file cannot be read or lacks a column.
        """
        self._folder = folder
        self._files = [(path, *_schema_and_rows(path)) for path in files]
        self.schema = self._files[0][1]
        self.features = _features(self.schema, files[0].parent, folder)
        self._columns = list(self.schema.names if columns is None else columns)
        self._size = sum(rows for _, _, rows in self._files)
        for path, schema, _ in self._files:
            lacking = [name for name in self._columns if name not in schema.names]
            if lacking:
                raise CorpusError(
                    f"{path} has no column {' and no '.join(lacking)}; its columns are "
                    f"{', '.join(schema.names)}"
                )

    def class_names(self, column: str) -> tuple[str, ...]:
        """The names that the numbers of a column stand for; empty if none are known."""
        return tuple(self.features.get(column, {}).get("names") or ())

    def size(self, part: int, parts: int) -> int:
        """How many rows a part has."""
        return len(part_range(self._size, part, parts))

    def entries(self, part: int, parts: int, start: int) -> Iterator[Row | EntryError]:
        """The rows of a part from number `start` on; row groups before it are not read.

        Where a file breaks, an error stands for each row that was wanted of it, so that all others
        keep their numbers.
        """
        wanted = part_range(self._size, part, parts)[start:]
        first = 0
        for path, _, rows in self._files:
            low, high = max(wanted.start - first, 0), min(wanted.stop - first, rows)
            first += rows
            if low >= high:
                continue
            name = path.relative_to(self._folder).as_posix()
            number = low
            try:
                for values in _rows(path, self._columns, low, high):
                    yield Row(place=f"{name}/{number}", values=values)
                    number += 1
            except (pa.ArrowException, OSError) as error:
                cause = " ".join(str(error).split())
                for lost in range(number, high):
                    yield EntryError(f"{name}/{lost}: {cause}")


def table_files(folder: Path) -> list[tuple[str, Path]]:
    """Tables below a folder, by their relative paths, each with the name of its split.

    A split is in the name of the file (``train-00000-of-00002.parquet``) or of a folder on its way;
    empty if in neither. What ``datasets`` keeps of its own work (``cache-*.arrow``) is no data.
    """
    return [
        (_split(Path(name)), folder / name)
        for name in files_below(folder, *SUFFIXES)
        if not name.rpartition("/")[2].startswith("cache-")
    ]


def image_of(value: object, place: str, folder: Path, reader: Reader) -> StoredImage:
    """The image in a cell: bytes, or ``{bytes, path}`` as Hugging Face ``datasets`` writes it.

    Raises:
        EntryError: The cell is empty, of another kind, or its image cannot be used.
    """
    data, path = value, None
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
    if isinstance(data, bytes):
        return reader.stored(data, place)
    if isinstance(path, str) and path:
        return reader.image(inside(folder, path))
    raise EntryError(f"{place}: no image")


def text_of(value: object) -> str:
    """The text in a cell, in one line; the first one of a list; empty if there is none."""
    if isinstance(value, list):
        return next((text for text in map(text_of, value) if text), "")
    return " ".join(value.split()) if isinstance(value, str) else ""


def _split(relative: Path) -> str:
    for part in (relative.stem, *reversed(relative.parts[:-1])):
        for word in (part, part.replace("_", "-").partition("-")[0]):
            if word.lower() in SPLITS:
                return SPLITS[word.lower()]
    return ""


def _schema_and_rows(path: Path) -> tuple[pa.Schema, int]:
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                return file.schema_arrow, file.metadata.num_rows
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            return reader.schema, sum(batch.num_rows for batch in reader)
    except (pa.ArrowException, OSError) as error:
        cause = " ".join(str(error).split())
        raise CorpusError(f"{path} is no whole table ({cause}): download it anew") from error


def _rows(path: Path, columns: list[str], low: int, high: int) -> Iterator[dict[str, Any]]:
    """Rows `low` to `high` of a file, the last one excluded."""
    batches = _parquet if path.suffix.lower() == ".parquet" else _arrow
    for first, batch in batches(path, columns, low, high):
        begin, end = max(low - first, 0), min(high - first, batch.num_rows)
        for number in range(begin, end, BATCH_ROWS):
            yield from batch.slice(number, min(BATCH_ROWS, end - number)).to_pylist()


def _parquet(
    path: Path, columns: list[str], low: int, high: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Batches with the number of their first row, of all row groups that hold a wanted row."""
    with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if first < high and first + rows > low:
                number = first
                for batch in file.iter_batches(
                    BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False
                ):
                    if number >= high:
                        return
                    yield number, batch
                    number += batch.num_rows
            first += rows


def _arrow(
    path: Path, columns: list[str], low: int, high: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """As `_parquet`; batches that are passed over stay on disk."""
    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        first = 0
        for batch in reader:
            if first >= high:
                return
            if first + batch.num_rows > low:
                yield first, batch.select(columns)
            first += batch.num_rows


def _features(schema: pa.Schema, beside: Path, folder: Path) -> Mapping[str, Any]:
    """Column -> what ``datasets`` says of it, from the schema or the JSON files that it writes."""
    stored = (schema.metadata or {}).get(b"huggingface")
    found: Any = None
    if stored is not None:
        try:
            found = json.loads(stored)["info"]["features"]
        except (ValueError, KeyError, TypeError):
            found = None  # another writer's note: the JSON files may still say it
    if found is None and (beside / "dataset_info.json").is_file():
        found = json_of(beside / "dataset_info.json")
        found = found.get("features") if isinstance(found, dict) else None
    if found is None and (folder / "dataset_infos.json").is_file():
        configs = json_of(folder / "dataset_infos.json")
        configs = list(configs.values()) if isinstance(configs, dict) else []
        found = configs[0].get("features") if len(configs) == 1 else None
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, dict)}
