"""Arrays that are written block after block, or not begun."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data.clusters.appended import appended
from instruct_imagen.data.clusters.rows import ClusterError


def test_blocks_become_the_file_that_numpy_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {"a": rng.random((7, 3), np.float32), "b": rng.integers(0, 9, 7)}
    of = {name: (tmp_path / name, array.dtype, array.shape) for name, array in parts.items()}
    with appended(of) as files:
        for rows in (slice(0, 2), slice(2, 2), slice(2, 7)):
            for name, array in parts.items():
                files.add(name, array[rows])
    for name, array in parts.items():
        np.save(tmp_path / "plain.npy", array)
        assert (tmp_path / name).read_bytes() == (tmp_path / "plain.npy").read_bytes()


def test_room_is_asked_for_behind_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = os.posix_fallocate

    def noted(handle: int, start: int, size: int) -> None:
        asked.append((start, size, os.fstat(handle).st_size))
        real(handle, start, size)

    monkeypatch.setattr(os, "posix_fallocate", noted)
    of = {
        "a": (tmp_path / "a", np.dtype(np.int64), (3, 2)),
        "none": (tmp_path / "none", np.dtype(np.int64), (0, 2)),
    }
    with appended(of) as files:
        assert (tmp_path / "a").stat().st_size == asked[0][0] + 48  # all of it, before any row
        files.add("a", np.ones((3, 2), np.int64))
    # Where the C library does it itself, it reads none of the bytes from the file's end on.
    assert [(start >= end, size) for start, size, end in asked] == [(True, 48)]
    assert np.load(tmp_path / "a").sum() == 6 and np.load(tmp_path / "none").shape == (0, 2)


def test_a_number_of_rows_that_was_not_said_is_refused(tmp_path: Path) -> None:
    of = {"a": (tmp_path / "a", np.dtype(np.int64), (3,))}
    with pytest.raises(ValueError, match="1 rows more"), appended(of) as files:
        files.add("a", np.arange(4))
    with pytest.raises(ValueError, match="fewer rows"), appended(of) as files:
        files.add("a", np.arange(2))


def test_a_disk_without_room_is_named_with_what_is_missing(tmp_path: Path) -> None:
    of = {"a": (tmp_path / "a", np.dtype(np.uint8), (2**62,))}
    line = r"disk of .* no room for the 4,611,[\d,]+ bytes .* are free, 4,611,[\d,]+ are missing"
    with pytest.raises(ClusterError, match=line), appended(of):
        raise AssertionError
    assert (tmp_path / "a").stat().st_size == 0


def test_room_that_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    program = """
import sys; from pathlib import Path; import numpy as np
from instruct_imagen.data.clusters.appended import appended
try:
    with appended({"a": (Path(sys.argv[1]), np.dtype(np.uint8), (10**6,))}): pass
except ValueError as error: print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], text=True, capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5)), check=True,
    )  # fmt: skip
    assert "no room for the 1,000,000 bytes of this step (File too large)" in done.stdout
