"""Corpora are streams: how much memory reading takes does not depend on their length."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from instruct_imagen.data.corpora import open_corpus
from tests.data.corpora.layouts import cell, encoded, table, tar, write

SHORT, LONG = 500, 3000
PAYLOAD = 20_000
"""Bytes of an image: all of `LONG` are 60 MB."""

INDEX_BYTES = 400
"""An entry of a folder or a tar may take: its name, and nothing of its image."""

GROUP = 250
"""Images of a row group: 5 MB."""


def padded(number: int) -> bytes:
    """A PNG with noise behind its end, which decoders pass over and tables cannot compress."""
    return encoded(number) + np.random.default_rng(number).bytes(PAYLOAD)


def one_tar(folder: Path, count: int) -> None:
    content = {}
    for number in range(count):
        content |= {f"{number}.png": padded(number), f"{number}.txt": b"a picture"}
    tar(folder / "0.tar", content)


def parquet(
    folder: Path, count: int, suffix: str = "parquet", use_dictionary: bool = False
) -> None:
    for shard in range(0, count, GROUP):
        rows = [
            {"image": cell(padded(number)), "text": "a picture"}
            for number in range(shard, shard + GROUP)
        ]
        path = folder / f"{shard:05d}.{suffix}"
        # Pages of 1 MB, as by the writers that Hugging Face uses today.
        options = {
            "use_dictionary": use_dictionary,
            "write_batch_size": 1024 if use_dictionary else 8,
        }
        table(path, rows, group=GROUP, **options)


def dictionary(folder: Path, count: int) -> None:
    parquet(folder, count, use_dictionary=True)


def arrow(folder: Path, count: int) -> None:
    parquet(folder, count, "arrow")


def files(folder: Path, count: int) -> None:
    for number in range(count):
        write(folder / f"{number:06d}.png", padded(number))
        write(folder / f"{number:06d}.txt", "a picture")


def peak_of(name: str, folder: Path, count: int) -> int:
    """Bytes that opening and reading took at most, Python's and Arrow's together."""
    before, arrows, read = pa.total_allocated_bytes(), 0, 0
    tracemalloc.start()
    try:
        for record in open_corpus(name, folder):
            read += len(record.image.data) > PAYLOAD
            arrows = max(arrows, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count
    return peak + arrows


@pytest.mark.parametrize(
    ("name", "write_corpus", "most", "index"),
    [
        ("captioned_tars", one_tar, 80, INDEX_BYTES),
        ("captioned_table", parquet, GROUP // 2, 0),
        ("captioned_table", arrow, 40, 0),
        # The dictionary of a row group, compressed and not: pyarrow reads no part of it.
        ("captioned_table", dictionary, 3 * GROUP, 0),
        ("captioned_folder", files, 80, INDEX_BYTES),
    ],
    ids=["tar", "parquet", "arrow", "dictionary", "files"],
)
def test_the_peak_is_flat(
    name: str, write_corpus: Callable[[Path, int], None], most: int, index: int, tmp_path: Path
) -> None:
    peaks = []
    for count in (SHORT, LONG):
        folder = tmp_path / str(count)
        write_corpus(folder, count)
        # Twice: imports, and now and then a table of the interpreter that grows, are not ours.
        peaks.append(min(peak_of(name, folder, count) for _ in range(2)))
    short, long = peaks
    assert long < most * PAYLOAD, peaks
    assert long - short < 5 * PAYLOAD + index * (LONG - SHORT), peaks
