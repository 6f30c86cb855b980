"""Reads the bytes of images again, where an earlier reading found them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa

from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.folders import inside
from instruct_imagen.data.corpora.records import Place
from instruct_imagen.data.corpora.stored_rows import cells

GONE = "file has changed"
"""Reason of the problems that are found here."""


def bytes_at(folder: Path, places: Sequence[tuple[Place, int]]) -> Iterator[bytes | EntryError]:
    """The encoded images at some places, in their order, one in memory at a time.

    Neighbours in a file are read in one go: a file is opened once for all places in it that follow
    each other with ascending rows or offsets.

    Args:
        folder: Of the corpus.
        places: Each with the number of its bytes.

    Returns:
        One for each. An error stands for what is not there any more, or not of that many bytes.
    """
    for file, some in groupby(places, key=lambda one: one[0].file):
        try:
            path = inside(folder, file)
        except EntryError as error:
            yield from (error for _ in some)
            continue
        yield from _of_file(path, file, list(some))


def _of_file(path: Path, name: str, some: list[tuple[Place, int]]) -> Iterator[bytes | EntryError]:
    given = 0
    try:
        found = _cells(path, some) if some[0][0].row >= 0 else _pieces(path, some)
        for data, (place, count) in zip(found, some, strict=True):
            given += 1
            if data is None or len(data) != count:
                where = f"row {place.row}" if place.row >= 0 else f"byte {place.offset}"
                yield EntryError(
                    f"{name}, {where}: there are no longer {count} bytes of an image: leave the "
                    "files alone while they are worked on",
                    GONE,
                )
            else:
                yield data
    except (OSError, pa.ArrowException, IndexError, KeyError) as error:
        cause = " ".join(str(getattr(error, "strerror", None) or error).split())
        yield from (EntryError(f"{name}: {cause}", GONE) for _ in some[given:])


def _pieces(path: Path, some: list[tuple[Place, int]]) -> Iterator[bytes]:
    with open(path, "rb") as file:
        for place, count in some:
            file.seek(place.offset)
            yield file.read(count)


def _cells(path: Path, some: list[tuple[Place, int]]) -> Iterator[bytes | None]:
    start = 0
    while start < len(some):  # runs of ascending rows of one column
        stop = start + 1
        while (
            stop < len(some)
            and some[stop][0].row >= some[stop - 1][0].row
            and some[stop][0].column == some[start][0].column
        ):
            stop += 1
        rows = [place.row for place, _ in some[start:stop]]
        for value in cells(path, some[start][0].column, rows):
            data = value.get("bytes") if isinstance(value, Mapping) else value
            yield data if isinstance(data, bytes) else None
        start = stop
