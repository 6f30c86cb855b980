"""Neighbours of synthetic embeddings: vectors a second of a core, and how time grows with N.

The vectors are a tree of topics with a falling spectrum, as embeddings of pictures have; they lie
in a file that is mapped, as those of a build. What is counted is processor time of one thread,
because other work may share the machine. Each size is planned and searched `--turns` times, and
medians are printed with their range; recall is measured by each plan on 500 rows of that size. A
build searches 50,000 rows at a time, which are fewer a cell: one such part is measured, too.
Rivals take turns with us in each of five rounds. Of every rival the whole job is reckoned, too:
building its index and asking it for the neighbours of all vectors at the median rate.

python benchmarks/neighbours.py [--sizes 10000 30000 …] [--rivals-at 30000 …] [--turns 3]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import faiss
import numpy as np

from instruct_imagen.data.clusters.neighbours import Plan, plan_search, search, shared
from instruct_imagen.data.clusters.steps.search import ROWS

DIMENSIONS, COUNT, ROUNDS, QUERIES = 768, 10, 5, 500
SIZES = (10_000, 30_000, 100_000, 300_000)
TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def embeddings(file: Path, count: int, decay: float, seed: int = 0) -> np.ndarray:
    """(count, DIMENSIONS) float16 of length 1, in a new file that is mapped.

    A concept has 40 vectors on average, many have fewer and some far more; eight concepts make
    a topic, eight topics the next. The k-th direction has a spread of k ** -decay everywhere.
    """
    rng = np.random.default_rng(seed)
    spread = np.arange(1, DIMENSIONS + 1, dtype=np.float32) ** np.float32(-decay)
    spread /= np.sqrt((spread**2).mean())
    sizes = [max(1, count // 40)]
    while sizes[0] > 12:
        sizes.insert(0, sizes[0] // 8)
    centres = np.zeros((1, DIMENSIONS), np.float32)
    for size in sizes:
        steps = rng.standard_normal((size, DIMENSIONS), dtype=np.float32) * spread
        centres = centres[rng.integers(0, len(centres), size)] + steps / np.sqrt(len(sizes))
    weights = rng.gamma(1.0, size=len(centres))
    concept = rng.choice(len(centres), count, p=weights / weights.sum())
    shape = (count, DIMENSIONS)
    vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, count, 8192):
        inside = concept[start : start + 8192]
        noise = rng.standard_normal((len(inside), DIMENSIONS), dtype=np.float32) * spread
        part = centres[inside] + np.float32(0.7) * noise
        vectors[start : start + 8192] = part / np.linalg.norm(part, axis=1, keepdims=True)
    vectors.flush()
    del vectors
    return np.load(file, mmap_mode="r")


class Tuned(NamedTuple):
    """With what a rival's index is asked, and the recall it has then."""

    said: str
    recall: float


def own_memory(name: str = "RssAnon") -> int:
    """Bytes of this process that no file holds, or another line of its status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def watched(found: dict[str, float]) -> Iterator[None]:
    """Puts the largest `own_memory` that was seen into `found`, looking twenty times a second."""
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.05):
            found["own"] = max(found.get("own", 0), own_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()
    found["own"] = max(found.get("own", 0), own_memory())


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def said(rates: list[float]) -> str:
    """Median and range."""
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def tuned(index: faiss.Index, queries: np.ndarray, truth: np.ndarray, goal: float) -> Tuned:
    """Sets the fewest probes (of a graph: the smallest list of candidates) that reach a recall."""
    graph = isinstance(index, faiss.IndexHNSW)
    for tried in TRIED:
        if graph:
            index.hnsw.efSearch = max(tried, COUNT + 1)
        else:
            index.nprobe = tried
        recall = float(shared(truth, without_self(index, queries)).mean())
        if recall >= goal:
            break
    said = f"list of {index.hnsw.efSearch}" if graph else f"{index.nprobe} probes"
    return Tuned(said=said, recall=recall)


def without_self(index: faiss.Index, queries: np.ndarray) -> np.ndarray:
    """Ids of the neighbours but the first, which is the query itself."""
    return index.search(queries, COUNT + 1)[1][:, 1:]


def compare(vectors: np.ndarray, plan: Plan, planned: float) -> dict[str, object]:
    """Our search against faiss's flat index, inverted lists and graph, at the recall of ours.

    Args:
        vectors: (N, DIMENSIONS) float16.
        plan: Of these vectors.
        planned: Seconds that the plan took.
    """
    floats = vectors.astype(np.float32)
    faiss.normalize_L2(floats)
    total = len(floats)
    chosen = np.sort(np.random.default_rng(5).choice(total, QUERIES, replace=False))
    flat = faiss.IndexFlatIP(DIMENSIONS)
    built = {"flat": seconds(lambda: flat.add(floats))}
    truth = without_self(flat, floats[chosen])
    rivals: dict[str, faiss.Index] = {"flat": flat}
    recalls = {"flat": 1.0, "ours": plan.recall}
    kinds = [f"IVF{lists},Flat" for lists in (round(4 * total**0.5), total // 256)] + ["HNSW32"]
    for kind in kinds:
        index = faiss.index_factory(DIMENSIONS, kind, faiss.METRIC_INNER_PRODUCT)
        took = seconds(lambda index=index: (index.train(floats), index.add(floats)))
        found = tuned(index, floats[chosen], truth, plan.recall)
        name = f"{kind}, {found.said}"
        rivals[name], built[name], recalls[name] = index, took, found.recall
        print(f"  {name}: recall {found.recall:.4f}, built in {took:.1f} s", flush=True)
    built["ours"] = planned
    rates: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}
    edges = np.linspace(0, total, ROUNDS + 1).astype(int).tolist()
    for start, stop in pairwise(edges):
        took = seconds(lambda start=start, stop=stop: search(plan, range(start, stop)))
        rates["ours"].append((stop - start) / took)
        queries = floats[start : start + QUERIES]
        for name, index in rivals.items():
            took = seconds(lambda index=index, queries=queries: without_self(index, queries))
            rates[name].append(len(queries) / took)
    whole = {}
    for name, found in rates.items():
        whole[name] = total / (built[name] + total / median(found))
        print(
            f"  {name}: {said(found)} vectors/s of the search, {whole[name]:,.0f} of the whole job",
            flush=True,
        )
    return {"rates": rates, "built s": built, "recalls": recalls, "whole job, vectors/s": whole}


def measure(vectors: np.ndarray, turns: int) -> tuple[dict[str, object], Plan]:
    """Plans and searches all vectors some times: seconds of each, recall, memory; the last plan."""
    total = len(vectors)
    taken: dict[str, list[float]] = {"plan s": [], "search s": []}
    seen: dict[str, float] = {}
    before = own_memory()
    for _ in range(turns):
        plans: list[Plan] = []
        with watched(seen):
            taken["plan s"].append(
                seconds(
                    lambda plans=plans: plans.append(plan_search(vectors, COUNT, method="cells"))
                )
            )
            taken["search s"].append(seconds(lambda plans=plans: search(plans[0])))
        plan = plans[0]
    whole = [sum(both) for both in zip(*taken.values(), strict=True)]
    middle = max(0, total // 2 - ROWS // 2)
    some = plan.order()[middle : middle + ROWS]
    with watched(seen):
        parts = seconds(lambda: search(plan, some)) * total / len(some)
    about = {"size": total, **taken, "in parts s": parts, "recall": plan.recall,
             "method": plan.method, "probes": plan.probes, "reason": plan.reason,
             "own MiB more": (seen["own"] - before) / 2**20}  # fmt: skip
    print(
        f"{total:,} vectors: {plan.method}, {plan.reason}\n"
        f"  plan {median(taken['plan s']):.2f} s, search {median(taken['search s']):.2f} s: "
        f"{said([total / one for one in whole])} vectors/s in all; own memory "
        f"{about['own MiB more']:,.0f} MiB, file {vectors.nbytes / 2**20:,.0f} MiB\n"
        f"  searched {len(some):,} rows at a time, as a build does: {parts:.2f} s",
        flush=True,
    )
    return about, plan


def main() -> None:
    """Prints a block for each size, then the exponent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rivals-at", type=int, nargs="*", default=(30_000,))
    parser.add_argument("--decay", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    results = []
    with tempfile.TemporaryDirectory() as place:
        for size in options.sizes:
            file = Path(place) / f"{size}.npy"
            vectors = embeddings(file, size, options.decay)
            about, plan = measure(vectors, options.turns)
            if size in options.rivals_at and plan.method == "cells":
                about |= compare(vectors, plan, median(about["plan s"]))
            results.append(about)
            file.unlink()
    exponent = None
    if len(results) > 1:
        sizes = np.log([one["size"] for one in results])
        for what in (("plan s",), ("search s",), ("plan s", "search s")):
            times = [sum(median(one[part]) for part in what) for one in results]
            exponent = float(np.polyfit(sizes, np.log(times), 1)[0])
            print(f"{' and '.join(part[:-2] for part in what)}: time grows as N ** {exponent:.3f}")
        times = [median(one["plan s"]) + one["in parts s"] for one in results]
        in_parts = float(np.polyfit(sizes, np.log(times), 1)[0])
        print(f"plan and search of {ROWS:,} rows at a time: time grows as N ** {in_parts:.3f}")
    if options.out:
        from instruct_imagen.training.card import code_commit, machine_name

        about = {"commit": code_commit(), "machine": machine_name("cpu"), "dimensions": DIMENSIONS,
                 "count": COUNT, "decay": options.decay, "exponent": exponent}  # fmt: skip
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({**about, "sizes": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
