"""Neighbours of synthetic embeddings: vectors a second of a core, and how time grows with N.

The vectors are a tree of topics with a falling spectrum, as embeddings of pictures have. What is
counted is processor time of one thread, because other work may share the machine; rivals take
turns within each round, and medians of the rounds are printed with their range.

python benchmarks/neighbours.py [--sizes 10000 30000 …] [--rivals-at 30000 …] [--decay 0.5]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import resource
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median

import faiss
import numpy as np

from instruct_imagen.data.clusters.neighbours import Plan, plan_search, search, shared

DIMENSIONS, COUNT, ROUNDS, QUERIES = 768, 10, 5, 500
SIZES = (10_000, 30_000, 100_000, 300_000)
TRIED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def embeddings(count: int, decay: float, seed: int = 0) -> np.ndarray:
    """(count, DIMENSIONS) float16 of length 1.

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
    vectors = np.empty((count, DIMENSIONS), np.float16)
    for start in range(0, count, 8192):
        inside = concept[start : start + 8192]
        noise = rng.standard_normal((len(inside), DIMENSIONS), dtype=np.float32) * spread
        part = centres[inside] + np.float32(0.7) * noise
        vectors[start : start + 8192] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def said(rates: list[float]) -> str:
    """Median and range."""
    return f"{median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def tuned(index: faiss.IndexIVF, queries: np.ndarray, truth: np.ndarray, goal: float) -> float:
    """Sets the fewest probes that reach a recall; the recall."""
    for probes in TRIED:
        index.nprobe = probes
        found = without_self(index, queries)
        recall = float(shared(truth, found).mean())
        if recall >= goal:
            break
    return recall


def without_self(index: faiss.Index, queries: np.ndarray) -> np.ndarray:
    """Ids of the neighbours but the first, which is the query itself."""
    return index.search(queries, COUNT + 1)[1][:, 1:]


def compare(vectors: np.ndarray, plan: Plan) -> dict[str, object]:
    """Our search against faiss's flat index and its inverted lists, at the recall of ours."""
    floats = vectors.astype(np.float32)
    faiss.normalize_L2(floats)
    chosen = np.sort(np.random.default_rng(5).choice(len(floats), QUERIES, replace=False))
    flat = faiss.IndexFlatIP(DIMENSIONS)
    flat.add(floats)
    truth = without_self(flat, floats[chosen])
    rivals: dict[str, faiss.Index] = {"flat": flat}
    about: dict[str, object] = {}
    for name, lists in (("4 √N", round(4 * len(floats) ** 0.5)), ("N / 256", len(floats) // 256)):
        index = faiss.index_factory(DIMENSIONS, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        took = seconds(lambda index=index: (index.train(floats), index.add(floats)))
        recall = tuned(index, floats[chosen], truth, plan.recall)
        name = f"IVFFlat, {name} = {lists} lists, {index.nprobe} probes"
        rivals[name] = index
        about[name] = {"recall": recall, "building s": took}
        print(f"  {name}: recall {recall:.4f}, built in {took:.1f} s", flush=True)
    rates: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}
    edges = np.linspace(0, len(vectors), ROUNDS + 1).astype(int).tolist()
    for start, stop in pairwise(edges):
        took = seconds(lambda start=start, stop=stop: search(plan, range(start, stop)))
        rates["ours"].append((stop - start) / took)
        queries = floats[start : start + QUERIES]
        for name, index in rivals.items():
            took = seconds(lambda index=index, queries=queries: without_self(index, queries))
            rates[name].append(len(queries) / took)
    for name, found in rates.items():
        print(f"  {name}: {said(found)} vectors/s", flush=True)
    return {"rates": rates, "rivals": about}


def main() -> None:
    """Prints a block for each size, then the exponent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rivals-at", type=int, nargs="*", default=(30_000,))
    parser.add_argument("--decay", type=float, default=0.5)
    parser.add_argument("--out", type=Path, help="JSON file")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    results = []
    for size in options.sizes:
        vectors = embeddings(size, options.decay)
        plans: list[Plan] = []
        planned = seconds(
            lambda vectors=vectors, plans=plans: plans.append(
                plan_search(vectors, COUNT, method="cells")
            )
        )
        plan = plans[0]
        print(f"{size:,} vectors: {plan.method}, {plan.reason}", flush=True)
        searched = seconds(lambda plan=plan: search(plan))
        total = planned + searched
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"  plan {planned:.2f} s, search {searched:.2f} s: {size / total:,.0f} vectors/s in all"
            f", {size / searched:,.0f} of the search; peak memory so far {peak:.2f} GiB",
            flush=True,
        )
        about = {"size": size, "plan s": planned, "search s": searched, "recall": plan.recall,
                 "method": plan.method, "probes": plan.probes, "peak GiB": peak}  # fmt: skip
        if size in options.rivals_at and plan.method == "cells":
            about |= compare(vectors, plan)
        results.append(about)
    if len(results) > 1:
        times = np.log([one["plan s"] + one["search s"] for one in results])
        exponent = float(np.polyfit(np.log([one["size"] for one in results]), times, 1)[0])
        print(f"time grows as N ** {exponent:.3f}")
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
