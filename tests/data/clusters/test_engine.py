"""Parts are made by Daft: here, by several processes, on a Ray of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from instruct_imagen.data.clusters.engine import first_of_each, run_parts
from instruct_imagen.data.clusters.rows import ClusterError
from tests.data.clusters.steps import Squares, content, write_source

ROOT = Path(__file__).parents[3]


def run_steps(source: Path, folder: Path, parts: list[str], **environment: str) -> str:
    """The step by two processes, in a process of its own; what that prints."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.data.clusters.steps",
            str(source),
            str(folder),
            "0",
            "2",
            *parts,
        ],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environment},
        timeout=300,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_the_same_files_from_one_process_from_two_and_from_ray(
    tmp_path: Path, ray_folder: str
) -> None:
    source = tmp_path / "source"
    parts = write_source(source, 6)
    assert sorted(run_parts(Squares(source, tmp_path / "one"), parts)) == parts
    run_steps(source, tmp_path / "two", parts)
    told = run_steps(source, tmp_path / "ray", parts, DAFT_RUNNER="ray", RAY_TMPDIR=ray_folder)
    if not torch.cuda.is_available():
        assert "device=cuda, but the Ray cluster has no GPU: add a machine with one" in told
    assert content(tmp_path / "one") == content(tmp_path / "two") == content(tmp_path / "ray")
    assert len(content(tmp_path / "one")) == 18


def test_the_first_part_that_cannot_be_made_ends_the_step(tmp_path: Path) -> None:
    source = tmp_path / "source"
    parts = write_source(source, 4)
    (source / "00002.txt").write_text("1 -5 2")
    with pytest.raises(ClusterError, match=r"^00002.txt: -5 is negative: take it out$"):
        list(run_parts(Squares(source, tmp_path / "out"), parts))
    assert {"00000.json", "00001.json"} <= content(tmp_path / "out").keys()
    assert "00002.json" not in content(tmp_path / "out")
    (source / "00002.txt").write_text("1 5 2")
    assert list(run_parts(Squares(source, tmp_path / "out"), parts)) == parts
    assert (tmp_path / "out" / "00002.sum").read_text() == "30"


def test_no_parts_are_no_work(tmp_path: Path) -> None:
    assert list(run_parts(Squares(tmp_path, tmp_path / "out"), [])) == []


def test_the_first_of_each_is_kept_and_what_has_no_value_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row": [4, 5, 6], "sha": ["a", "b", ""]}), tmp_path / "1.parquet")
    pq.write_table(
        pa.table({"row": [0, 1, 2, 3], "sha": ["c", "b", None, "c"]}), tmp_path / "0.parquet"
    )
    tables = [tmp_path / "1.parquet", tmp_path / "0.parquet"]
    assert first_of_each(tables, "sha", "row").tolist() == [0, 1, 2, 4, 6]


@pytest.mark.parametrize("seed", range(3))
def test_the_first_of_each_is_the_first_however_the_corpus_is_divided(
    seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(seed)
    values = [f"{value:04x}" for value in (1601 * rng.integers(0, 40, 90)).tolist()]
    cuts = sorted(rng.choice(89, 3, replace=False).tolist())
    tables = []
    for start, stop in pairwise([0, *cuts, 90]):
        tables.append(tmp_path / f"{start:02d}.parquet")
        part = {"row": list(range(start, stop)), "sha": pa.array(values[start:stop], pa.string())}
        pq.write_table(pa.table(part), tables[-1])
    expected = [row for row, value in enumerate(values) if value not in values[:row]]
    assert first_of_each(tables[::-1], "sha", "row").tolist() == expected
    assert first_of_each(tables, "sha", "row", at_once=7).tolist() == expected
