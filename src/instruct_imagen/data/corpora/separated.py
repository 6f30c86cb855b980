"""Rows of CSV and TSV files: UTF-8 text, the first line names the columns.

Only reading tells where a row begins, as texts in quotes may have line breaks. A part that begins
far behind in a long file reads over what is before it: for millions of rows use parquet.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from instruct_imagen.data.corpora.base import CorpusError, EntryError

SEPARATED = (".csv", ".tsv")
LONGEST = 4 * 2**20
"""Characters of a cell; a row with a longer one, as where a quote is not closed, is a problem."""


def columns_and_rows(path: Path) -> tuple[list[str], int]:
    """The names of the columns, and how many rows follow.

    Raises:
        CorpusError: It cannot be read, or its first line names no columns.
    """
    rows = _lines(path)
    try:
        names = next(rows, None)
        if not isinstance(names, list) or not all(names) or len(set(names)) < len(names):
            raise CorpusError(
                f"{path} does not begin with a line of column names, each another: add one"
            )
        return names, sum(1 for _ in rows)
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error


def separated_rows(
    path: Path, columns: Sequence[str], low: int, high: int
) -> Iterator[Mapping[str, str] | EntryError]:
    """Rows `low` to `high`, the last one excluded; an error stands for one that is none.

    Bytes that are no UTF-8 become U+FFFD.

    Raises:
        OSError: The file cannot be read.
    """
    rows = _lines(path)
    names = next(rows, None)
    assert isinstance(names, list)  # it has been opened
    for row in islice(rows, low, high):
        if isinstance(row, EntryError):
            yield row
        elif len(row) != len(names):
            yield EntryError(f"{len(row)} cells, the file has {len(names)} columns", "broken row")
        else:
            found = dict(zip(names, row, strict=True))
            yield {name: found[name] for name in columns}


def _lines(path: Path) -> Iterator[list[str] | EntryError]:
    """The cells of all rows that are not empty, the names first."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))  # of this process; never lowered
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:  # the reader goes on with the next line
                yield EntryError(str(error), "broken row")
                continue
            if row:
                yield row
