"""Rows of parquet files, of the Arrow files that Hugging Face ``datasets`` saves, and of CSV files.

Rows are read a few at a time and only the columns that are asked for. Of a parquet file no more
than one row group is in memory, and of that only a page a column where its writer cut pages. Older
writers put all images of a group into one page or dictionary, and a group may be a whole file.
Arrow files are mapped: what is in memory of them is what the system caches. CSV: see `separated`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from instruct_imagen.data.corpora.base import CorpusError, EntryError, Reader, part_range
from instruct_imagen.data.corpora.folders import (
    NO_IMAGE,
    SPLITS,
    files_below,
    inside,
    json_of,
)
from instruct_imagen.data.corpora.records import Place, StoredImage
from instruct_imagen.data.corpora.stored_rows import rows_between, schema_and_rows

SUFFIXES = (".parquet", ".arrow")


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
        self._files = [(path, *schema_and_rows(path)) for path in files]
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

    @property
    def files(self) -> tuple[tuple[Path, int], ...]:
        """The files, and how many rows each has."""
        return tuple((path, rows) for path, _, rows in self._files)

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
                for values in rows_between(path, self._columns, low, high):
                    place = f"{name}/{number}"
                    if isinstance(values, EntryError):
                        yield EntryError(f"{place}: {values}", values.reason)
                    else:
                        yield Row(place=place, values=values)
                    number += 1
            except (pa.ArrowException, OSError) as error:
                cause = " ".join(str(error).split())
                for lost in range(number, high):
                    yield EntryError(f"{name}/{lost}: {cause}", "table breaks off")


def table_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[tuple[str, Path]]:
    """Tables below a folder, by their relative paths, each with the name of its split.

    A split is in the name of the file (``train-00000-of-00002.parquet``) or of a folder on its way;
    empty if in neither. What ``datasets`` keeps of its own work (``cache-*.arrow``) is no data.
    """
    return [
        (_split(Path(name)), folder / name)
        for name in files_below(folder, *suffixes)
        if not name.rpartition("/")[2].startswith("cache-")
    ]


def image_of(
    value: object, place: str, folder: Path, reader: Reader, column: str = ""
) -> StoredImage:
    """The image in a cell: bytes, a path, or ``{bytes, path}`` as ``datasets`` writes it.

    Args:
        value: Of the cell.
        place: Of the row, see `Row`.
        folder: Of the corpus. A path that is a text is one below the table's folder, else below
            this one.
        reader: Checks the image.
        column: Of the cell, for the image's `Place`; without it the image has none.

    Raises:
        EntryError: The cell is empty, of another kind, or its image cannot be used.
    """
    data, path = value, None
    if isinstance(value, Mapping):
        data, path = value.get("bytes"), value.get("path")
    if isinstance(data, bytes):
        file, _, row = place.rpartition("/")
        known = Place(file=file, row=int(row), column=column) if column else None
        return reader.stored(data, place, known)
    if isinstance(data, str) and data:
        return reader.image(named_file(data, folder, place))
    if isinstance(path, str) and path:
        return reader.image(inside(folder, path))
    raise EntryError(f"{place}: no image", NO_IMAGE)


def named_file(name: str, folder: Path, place: str) -> Path:
    """The file that a path in a row names; an absolute one must lead into the data set's folder.

    Args:
        name: The path, below the table's folder or else below `folder`.
        folder: Of the corpus.
        place: Of the row, see `Row`.

    Raises:
        EntryError: It leads elsewhere.
    """
    beside = (folder / place).parent.parent
    if PurePath(name).is_absolute() and Path(name).is_relative_to(folder.resolve()):
        return folder / Path(name).relative_to(folder.resolve())
    near = inside(beside, name)
    return near if near.is_file() else inside(folder, name)


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
