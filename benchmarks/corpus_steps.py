"""Images per second of the cluster builder's first steps, on one core, on real photo stamps.

Reads Tux Paint's stamps (Debian's tuxpaint-stamps-default) from tars, as img2dataset would have
written them, and runs each step on the same rows in turns of one thread; prints medians with
quartiles, and writes out/corpus_steps.json. Seconds are those that the processor worked for this
process, so other work beside it matters little, and waiting for a disk not at all.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from corpus_material import stamps, write_tars

from instruct_imagen.data.clusters.domains import (
    CAPTION_SCALE,
    DomainSettings,
    prompts_of,
    sort_part,
)
from instruct_imagen.data.clusters.embedding import embed_part, embed_texts
from instruct_imagen.data.clusters.encoders import DTYPES, Lite0, fast_dtype
from instruct_imagen.data.clusters.filtering import FilterSettings, by_pixels, by_words
from instruct_imagen.data.clusters.picture_quality import SimpleQuality
from instruct_imagen.data.clusters.reading import loader, open_web_corpus, read_part
from instruct_imagen.data.clusters.sentences import Sentences
from instruct_imagen.data.clusters.vector_store import VectorStore
from instruct_imagen.training.card import code_commit, machine_name


def steps(folder: Path, count: int) -> tuple[dict[str, Callable[[], object]], int]:
    """What is measured, by name, and of how many images."""
    write_tars(folder / "tars", islice(stamps(), count))
    corpus = open_web_corpus(folder / "tars")
    load, settings = loader(corpus), FilterSettings(min_side=1, max_aspect=100)
    rows = [row for part in range(corpus.parts) for row in read_part(corpus, part).rows]
    pictures = {dtype: Lite0(dtype=dtype) for dtype in DTYPES}
    words = {dtype: Sentences(dtype=dtype) for dtype in DTYPES}
    captions = [row.caption for row in rows]
    store, full = VectorStore(folder / "store"), Lite0()
    embed_part(rows, load, full, None, store)
    sort = DomainSettings()
    prompts = prompts_of(sort, words["float32"], CAPTION_SCALE)
    said = embed_texts(captions, words["float32"])
    found: dict[str, Callable[[], object]] = {
        "read": lambda: [read_part(corpus, part) for part in range(corpus.parts)],
        "filter by words": lambda: by_words(rows, settings),
        "filter by pixels": lambda: by_pixels(rows, load, settings, SimpleQuality()),
    }
    for dtype in DTYPES:
        found[f"embed pictures, {dtype}"] = lambda dtype=dtype: embed_part(
            rows, load, pictures[dtype]
        )
    found["embed pictures, stored"] = lambda: embed_part(rows, load, full, None, store)
    for dtype in DTYPES:
        found[f"embed captions, {dtype}"] = lambda dtype=dtype: embed_texts(captions, words[dtype])
    found["sort into domains"] = lambda: sort_part(said, prompts, sort)
    return found, len(rows)


def main() -> None:
    """Measures, then prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--count", type=int, default=256, help="images of a turn")
    arguments.add_argument("--turns", type=int, default=5, help="of each step")
    arguments.add_argument("--out", type=Path, default=Path("out/corpus_steps.json"))
    chosen = arguments.parse_args()
    if chosen.turns < 2:
        arguments.error("--turns must be at least 2: a spread needs two figures")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        own, count = steps(Path(name), chosen.count)
        rates: dict[str, list[float]] = {step: [] for step in own}
        for turn in range(chosen.turns + 1):  # the first one warms up
            for step, run in own.items():
                start = time.process_time()
                run()
                taken = time.process_time() - start
                if turn:
                    rates[step].append(count / taken)
    found = {step: statistics.quantiles(values, n=4) for step, values in rates.items()}
    print(f"{count} stamps, one core of {machine_name('cpu')}; {fast_dtype('cpu')} is fast here")
    for step, (low, middle, high) in found.items():
        print(f"{step:28s}{middle:12,.0f} images/s [{low:,.0f}, {high:,.0f}]")
    facts = {"commit": code_commit(), "machine": machine_name("cpu"), "images": count}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({**facts, "images_per_s": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
