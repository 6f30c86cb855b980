"""The page that extrapolates shows what its command prints of the committed measurements."""

from __future__ import annotations

import pytest

from benchmarks.extrapolate import (
    MARKS,
    MOST_QUERIES,
    PAGE,
    QUERY_ROWS,
    Growth,
    Measured,
    page,
    said,
    written,
)
from instruct_imagen.data.clusters import engine

CORPORA, CORES = [100e6, 5e9], [16, 256, 4096]


def test_the_page_shows_the_committed_measurements() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(text.count(mark) == 1 for mark in MARKS)
    assert written(text, page(Measured.read(), CORPORA, CORES)) == text, (
        "python benchmarks/extrapolate.py --write"
    )


def test_its_limits_are_those_of_the_code() -> None:
    assert (QUERY_ROWS, MOST_QUERIES) == (engine.AT_ONCE, engine.MOST_PASSES)


def test_seconds_grow_as_a_power_of_rows() -> None:
    growth = Growth(seconds=8.0, rows=1000, exponent=1.5)
    assert growth.at(4000) == pytest.approx(64.0)


def test_a_step_in_parts_takes_all_cores_and_one_by_domain_as_long_as_its_largest() -> None:
    found = Measured.read()
    total, longest = found.seconds("pixels", 1e8)
    assert longest == 0
    assert total == pytest.approx(found.work("pixels") / found.images * 1e8)
    total, longest = found.seconds("gather", 1e8)
    assert longest == pytest.approx(total * found.shares[0])
    assert found.hours("gather", 1e8, 10**9) == pytest.approx(longest / 3600)


def test_two_figures_are_said() -> None:
    assert [said(value) for value in (0.0123, 3.14, 98.7, 12345.0)] == [
        "0.01",
        "3.1",
        "99",
        "12,000",
    ]
