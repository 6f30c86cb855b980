"""Steps that hold a whole domain or corpus: processor seconds and memory a row, synthetic rows.

Near-duplicate candidates, equal addresses and clusters are made of neighbours of all rows of a
domain at once, so their largest domain is what bounds a corpus. Rows are in groups of 25; the ten
neighbours of each are of its group, with random similarities; hashes are random, but for a tenth
that differ in two bits from another row's; every fiftieth row has the address of another one. What
is repeated is asked of tables of 10,000 rows, in one query up to a million rows. Each
step of each size runs in a process of its own. What is counted is processor time of one thread and
the largest own memory above that before the step began, looked at a hundred times a second.

python benchmarks/held_whole.py [--sizes 100000 300000 1000000] [--json FILE]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from instruct_imagen.data.clusters.cutting import cut
from instruct_imagen.data.clusters.engine import first_of_each
from instruct_imagen.data.clusters.near_duplicates import candidate_pairs, metadata_pairs
from instruct_imagen.data.clusters.steps.base import write_table

GROUP, COUNT = 25, 10
STEPS = ("candidates", "addresses", "cut", "repeats")
TABLE = 10_000  # rows of a part of the corpus


def neighbours(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (rows, COUNT) int64 inside groups, none its own, and similarities, best first."""
    first = np.arange(rows)[:, None] // GROUP * GROUP
    steps = 1 + np.argsort(rng.random((rows, GROUP - 1), np.float32), axis=1)[:, :COUNT]
    ids = first + (np.arange(rows)[:, None] - first + steps) % GROUP
    alike = np.sort(rng.random((rows, COUNT), np.float32), axis=1)[:, ::-1]
    return ids, np.ascontiguousarray(alike)


def own_memory() -> int:
    """Bytes of this process that no file holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def measure(step: str, rows: int) -> dict[str, float]:
    """Seconds and bytes of a step, with what it is given (neighbours are read by the step)."""
    rng = np.random.default_rng(0)
    before = own_memory()
    place = tempfile.TemporaryDirectory()
    if step == "repeats":
        tables = []
        for start in range(0, rows, TABLE):
            numbers = np.arange(start, min(start + TABLE, rows))
            hashes = [hashlib.sha256(b"%d" % number).hexdigest() for number in numbers]
            tables.append(Path(place.name) / f"{start}.parquet")
            write_table(pa.table({"sha256": hashes, "id": numbers}), tables[-1])
        first_of_each(tables[:1], "sha256", "id")  # what is loaded once and for all
        before = own_memory()
        work = lambda: first_of_each(tables, "sha256", "id")  # noqa: E731
    elif step == "addresses":
        values = rng.integers(1, 2**63, rows, np.uint64)
        values[::50] = values[1::50][: len(values[::50])]
        work = lambda: metadata_pairs({"url": values})  # noqa: E731
    else:
        ids, alike = neighbours(rng, rows)
        if step == "candidates":
            del alike
            hashes = rng.integers(0, 2**63, (rows, 2), np.uint64)
            hashes[::10] = hashes[1::10][: len(hashes[::10])] ^ np.uint64(5)
            work = lambda: candidate_pairs(ids, hashes, 8)  # noqa: E731
        else:
            others = np.arange(0, rows - rows % 7, 7)
            same = np.stack([others, ids[others, 0]], axis=1)
            work = lambda: cut(ids, alike, same, least=0.3)  # noqa: E731
    largest, end = own_memory(), threading.Event()

    def look() -> None:
        nonlocal largest
        while not end.wait(0.01):
            largest = max(largest, own_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    start = time.process_time()
    work()
    taken = time.process_time() - start
    end.set()
    watcher.join()
    place.cleanup()
    return {"rows": rows, "seconds": taken, "bytes a row": (largest - before) / rows}


def main() -> None:
    """Prints a line for each step and size, and how time grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=(100_000, 300_000, 1_000_000))
    parser.add_argument("--json", type=Path, help="JSON file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child[0], int(given.child[1]))))
        return
    results: dict[str, dict[str, object]] = {}
    for step in STEPS:
        found = []
        for rows in given.sizes:
            command = [sys.executable, __file__, "--child", step, str(rows)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout))
            print(
                f"{step}, {rows:,} rows: {found[-1]['seconds']:.2f} s, "
                f"{found[-1]['bytes a row']:.0f} bytes a row",
                flush=True,
            )
        results[step] = {"sizes": found}
        if len(found) > 1:
            times = np.log([one["seconds"] for one in found])
            exponent = float(np.polyfit(np.log(given.sizes), times, 1)[0])
            results[step]["exponent"] = exponent
            print(f"{step}: time grows as N ** {exponent:.3f}")
    if given.json:
        from instruct_imagen.training.card import code_commit, machine_name

        about = {"commit": code_commit(), "machine": machine_name("cpu")}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({**about, "steps": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
