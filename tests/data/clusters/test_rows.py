"""Rows, their tables and tallies."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruct_imagen.data.clusters.rows import (
    LINES,
    SCHEMA,
    ClusterError,
    Row,
    Tally,
    printable,
    rows_of,
    tally,
    to_table,
)
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.records import Place

TEXT = st.text("ab é狗\ufffd\x00🐕", max_size=8)
WHOLE = st.integers(0, 2**31 - 1)
ROWS = st.builds(
    Row,
    key=TEXT,
    caption=TEXT,
    width=WHOLE,
    height=WHOLE,
    original_width=WHOLE,
    original_height=WHOLE,
    sha256=TEXT,
    url=TEXT,
    page=TEXT,
    place=st.builds(Place, file=TEXT, offset=WHOLE, row=st.integers(-1, 2**40), column=TEXT),
    size=WHOLE,
)


@settings(max_examples=25)
@given(st.lists(ROWS, max_size=3))
def test_rows_survive_their_table(rows):
    table = to_table(rows)
    assert table.schema == SCHEMA
    assert rows_of(table) == tuple(rows)
    wider = table.append_column("more", pa.array(range(len(rows)), pa.int64()))
    assert rows_of(wider) == tuple(rows)


def test_a_table_without_a_column_is_refused():
    with pytest.raises(ClusterError, match=r"lacks url: read the corpus anew"):
        rows_of(to_table([]).drop_columns(["url"]))


def test_tallies_add_up_and_keep_some_lines():
    problems = [EntryError(f"{n}: bad", "odd" if n % 2 else "even") for n in range(LINES + 11)]
    found = tally(problems)
    assert found.counts == {"even": 56, "odd": 55} and found.total == LINES + 11
    assert found.lines == tuple(f"{n}: bad" for n in range(LINES))
    both = tally(problems[:2]) + Tally(counts={"odd": 3, "third": 1}, lines=("x",))
    assert both.counts == {"even": 1, "odd": 4, "third": 1}
    assert both.lines == ("0: bad", "1: bad", "x")


def test_no_line_holds_half_a_surrogate_pair():
    assert printable("a\ud800b") == "a\\ud800b" and printable("né 🐕") == "né 🐕"
    assert tally([EntryError("\udcff.jpg: no image")]).lines == ("\\udcff.jpg: no image",)
