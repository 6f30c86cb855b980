"""What a step of the cluster builder takes and gives: the rows of one part, and what was left out.

Rows are frozen dataclasses, as steps look at one row at a time and their rules read like sentences;
`to_table` and `rows_of` turn a whole part into an Arrow table and back, which is what an engine
writes to files. A row holds no pixels: `place` tells where its bytes are found again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa

from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.records import Place

LINES = 100
"""Lines of a tally that are kept; all are counted."""

T = TypeVar("T")


class ClusterError(ValueError):
    """Clusters that cannot be built; one line that names the cause and the cure."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A captioned image of the corpus.

    Attributes:
        key: The same on every reading of the same files; no other row of the corpus has it.
        caption: In one line, not empty.
        width: Pixels, as the file's header says.
        height: Pixels.
        original_width: Before whoever made the corpus resized it; 0 if not known.
        original_height: See `original_width`.
        sha256: Of the encoded image, hexadecimal.
        url: Where the image came from; empty if not known.
        page: The address of the page that showed it; empty if not known.
        place: Where its bytes are, in the corpus.
        size: How many bytes they are.
    """

    key: str
    caption: str
    width: int
    height: int
    original_width: int = 0
    original_height: int = 0
    sha256: str
    url: str = ""
    page: str = ""
    place: Place
    size: int


SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("caption", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("original_width", pa.int32()),
        ("original_height", pa.int32()),
        ("sha256", pa.string()),
        ("url", pa.string()),
        ("page", pa.string()),
        ("file", pa.string()),
        ("offset", pa.int64()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("size", pa.int64()),
    ]
)
"""Of a table of rows."""

_PLACE = ("file", "offset", "row", "column")


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table of `SCHEMA`, in their order."""
    columns = {
        name: [getattr(row.place if name in _PLACE else row, name) for row in rows]
        for name in SCHEMA.names
    }
    return pa.table(columns, schema=SCHEMA)


def rows_of(table: pa.Table) -> tuple[Row, ...]:
    """The rows of a table, in their order; further columns are passed over.

    Raises:
        ClusterError: It lacks a column of `SCHEMA`.
    """
    lacking = [name for name in SCHEMA.names if name not in table.column_names]
    if lacking:
        raise ClusterError(f"a table of rows lacks {', '.join(lacking)}: read the corpus anew")
    found = []
    for values in table.select(SCHEMA.names).cast(SCHEMA).to_pylist():
        place = Place(**{name: values.pop(name) for name in _PLACE})
        found.append(Row(place=place, **values))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a step left out.

    Attributes:
        counts: Reason -> how many.
        lines: The first ones, each as one line that names it.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Of all reasons."""
        return sum(self.counts.values())

    def __add__(self, other: Tally) -> Tally:
        """Both, first this one's lines."""
        counts = Counter(self.counts)
        counts.update(other.counts)
        return Tally(counts=dict(sorted(counts.items())), lines=(self.lines + other.lines)[:LINES])


def printable(text: str) -> str:
    """Text without halves of surrogate pairs, which no file or terminal takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def tally(problems: Iterable[EntryError]) -> Tally:
    """The tally of some problems."""
    counts: Counter[str] = Counter()
    lines: list[str] = []
    for problem in problems:
        counts[problem.reason] += 1
        if len(lines) < LINES:
            lines.append(printable(str(problem)))
    return Tally(counts=dict(sorted(counts.items())), lines=tuple(lines))
