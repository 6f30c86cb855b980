"""Blocks of rows of parquet, Arrow and CSV files, read as they are asked for; see `tables`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from instruct_imagen.data.corpora.base import CorpusError, EntryError, no_right
from instruct_imagen.data.corpora.separated import SEPARATED, columns_and_rows, separated_rows

BATCH_ROWS = 8
"""Rows in memory at once; a row of MagicBrush has about 3 MB of images."""

_BUFFER = 2**16  # bytes; with a buffer, pages are read one by one, not a whole row group's


def schema_and_rows(path: Path) -> tuple[pa.Schema, int]:
    """The columns of a file, and how many rows it has.

    Raises:
        CorpusError: It cannot be read.
    """
    if path.suffix.lower() in SEPARATED:
        names, rows = columns_and_rows(path)
        return pa.schema([(name, pa.string()) for name in names]), rows
    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                return file.schema_arrow, file.metadata.num_rows
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            return reader.schema, sum(batch.num_rows for batch in reader)
    except PermissionError as error:
        raise CorpusError(no_right(path)) from error
    except (pa.ArrowException, OSError) as error:
        cause = " ".join(str(error).split())
        raise CorpusError(f"{path} is no whole table ({cause}): download it anew") from error


def rows_between(
    path: Path, columns: list[str], low: int, high: int
) -> Iterator[Mapping[str, Any] | EntryError]:
    """Rows `low` to `high` of a file, the last one excluded; an error stands for one that is none.

    Raises:
        pa.ArrowException, OSError: The file breaks off.
    """
    if path.suffix.lower() in SEPARATED:
        yield from separated_rows(path, columns, low, high)
        return
    batches = _parquet if path.suffix.lower() == ".parquet" else _arrow
    for first, batch in batches(path, columns, low, high):
        begin, end = max(low - first, 0), min(high - first, batch.num_rows)
        for number in range(begin, end, BATCH_ROWS):
            yield from batch.slice(number, min(BATCH_ROWS, end - number)).to_pylist()


def plain_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """The texts and numbers of all rows of a parquet file, as Python values.

    Raises:
        CorpusError: It cannot be read.
    """
    schema, rows = schema_and_rows(path)
    columns = [field.name for field in schema if is_plain(field.type)]
    try:
        yield from rows_between(path, columns, 0, rows)
    except PermissionError as error:
        raise CorpusError(no_right(path)) from error
    except (pa.ArrowException, OSError) as error:
        cause = " ".join(str(error).split())
        raise CorpusError(f"{path} is no whole table ({cause}): download it anew") from error


def cells(path: Path, column: str, rows: Iterable[int]) -> Iterator[Any]:
    """Values of one column at some rows, ascending; of the file, no other blocks are decoded.

    Raises:
        pa.ArrowException, OSError: The file cannot be read.
        IndexError: It has no such row.
    """
    left = list(rows)
    for first, count in _blocks(path):
        mine = [row for row in left if row < first + count]
        if not mine:
            continue
        left = left[len(mine) :]
        found = rows_between(path, [column], mine[0], mine[-1] + 1)
        for number, values in zip(range(mine[0], mine[-1] + 1), found, strict=True):
            while mine and mine[0] == number:
                yield values[column]
                mine.pop(0)
    if left:
        raise IndexError(f"{path} has no row {left[0]}")


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column holds texts or numbers."""
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )


def _blocks(path: Path) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each row group or record batch."""
    first = 0
    if path.suffix.lower() == ".parquet":
        with pq.ParquetFile(path) as file:
            counts = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    else:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            counts = [batch.num_rows for batch in reader]
    for count in counts:
        yield first, count
        first += count


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
