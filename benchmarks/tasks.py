"""Examples per second of each task, of the reader of shards, and what a million would take.

Draws, renders, encodes and writes examples of each task in turns of one thread, and prints medians
with quartiles of the seconds that the processor worked; waiting for a disk is not in them. Then
reads the same shards with our reader and with the plain `webdataset` package, in turns. Then builds
two small sets with the command, from whose difference a million is reckoned, in seconds of a core,
too. Writes out/tasks.json.

`webdataset` is no dependency: ``pip install --target FOLDER --no-deps webdataset braceexpand`` and
name the folder in ``PYTHONPATH``; without it, its side is left out. (Its other needs, numpy and
PyYAML, are here.)
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
os.environ["WDS_SECURE"] = "1"  # names of shards are no commands

import argparse
import importlib.util
import io
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image

from instruct_imagen.data.example import Picture, PictureKind
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.job import ShardJob, stored_examples
from instruct_imagen.data.shards.layout import encode_picture, sha256_of, write_tar
from instruct_imagen.data.shards.reading import read_shards
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.build import build_world
from instruct_imagen.training.card import code_commit, machine_name

BATCH = 64
MILLION = 1_000_000
PARTS = ("draw", "render", "encode", "write")


def busy(action: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of this process, and what the action gave."""
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


def quartiles(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": middle, "low": low, "high": high}


def turn(name: str, number: int, vocabulary: Vocabulary, atlas: Atlas, size: int, out: Path):
    """Milliseconds an example of each part for one batch of a task, and its bytes in a tar."""
    task, first = all_tasks()[name](), number * BATCH
    drawn, examples = busy(
        lambda: [task.example(scene_rng(0, first + i), vocabulary) for i in range(BATCH)]
    )
    pictures = [
        picture
        for example in examples
        for picture in (*(one.picture for one in example.references), example.target)
    ]
    rendered, pixels = busy(lambda: render_pictures(pictures, atlas, size).numpy())
    greys = [picture.kind != "image" for picture in pictures]
    encoded, _ = busy(
        lambda: [encode_picture(p, grey=g) for p, g in zip(pixels, greys, strict=True)]
    )
    stored = stored_examples(examples, first, atlas, size)

    def write() -> None:
        write_tar(out, stored)
        sha256_of(out)

    written, _ = busy(write)
    taken = (drawn, rendered, encoded, written)
    return [seconds / BATCH * 1e3 for seconds in taken], out.stat().st_size / BATCH


def tasks(turns: int, vocabulary: Vocabulary, atlas: Atlas, size: int) -> dict[str, Any]:
    """All tasks in turns, after one to warm up."""
    times: dict[str, dict[str, list[float]]] = {
        name: {part: [] for part in (*PARTS, "all", "bytes")}
        for name, task in all_tasks().items()
        if drawable(task(), vocabulary)
    }
    with tempfile.TemporaryDirectory() as folder:
        for number in range(turns + 1):
            for name, row in times.items():
                taken, size_of = turn(
                    name, number, vocabulary, atlas, size, Path(folder) / "one.tar"
                )
                if number:
                    for part, value in zip(PARTS, taken, strict=True):
                        row[part].append(value)
                    row["all"].append(sum(taken))
                    row["bytes"].append(size_of)
    return {
        name: {part: quartiles(values) for part, values in row.items()}
        for name, row in times.items()
    }


def encodings(count: int, vocabulary: Vocabulary, atlas: Atlas, size: int) -> dict[str, Any]:
    """Bytes and milliseconds of a picture of each kind: PNG of two levels, and JPEG."""
    rows = {}
    for kind in get_args(PictureKind):
        scenes = [sample_scene(scene_rng(0, index), vocabulary) for index in range(count)]
        pictures = [Picture(scene=scene, kind=kind) for scene in scenes]
        pixels = render_pictures(pictures, atlas, size).numpy()

        def usual(one: np.ndarray, grey: bool = kind != "image") -> bytes:
            buffer = io.BytesIO()
            shown = one[0] if grey else np.ascontiguousarray(one.transpose(1, 2, 0))
            Image.fromarray(shown).save(buffer, "PNG")
            return buffer.getvalue()

        ways: dict[str, Callable[[np.ndarray], bytes]] = {
            "PNG 1": lambda one, grey=kind != "image": encode_picture(one, grey=grey),
            "PNG 6": usual,
            "JPEG 95": lambda one: encode_picture(one, lossy=True),
        }
        for name, way in ways.items():
            way(pixels[0])
            taken, files = busy(lambda way=way, pixels=pixels: [way(one) for one in pixels])
            mean = sum(map(len, files)) / count
            rows[f"{kind}, {name}"] = {"bytes": mean, "ms": taken / count * 1e3}
    return rows


def ours(folder: Path, decode: bool) -> int:
    """Reads all examples with our reader."""
    count = 0
    for example in read_shards(folder):
        if decode:
            for image in (*(one.image for one in example.references), example.target):
                image.load()
        count += 1
    return count


def plain(folder: Path, decode: bool) -> int:
    """Reads all examples with webdataset: bytes, or its own decoding to PIL."""
    import webdataset

    files = sorted(str(path) for path in folder.glob("*.tar"))
    stream = webdataset.WebDataset(files, shardshuffle=False)
    return sum(1 for _ in (stream.decode("pil") if decode else stream))


def loaders(turns: int, job: ShardJob, folder: Path) -> dict[str, Any]:
    """Examples/s of each side, encoded and decoded, in turns after one to warm up."""
    build_shards(folder, job)
    sides: dict[str, Callable[[], int]] = {}
    for decode in (False, True):
        kind = "decoded" if decode else "encoded"
        sides[f"ours, {kind}"] = lambda d=decode: ours(folder, d)
        if importlib.util.find_spec("webdataset"):
            sides[f"webdataset, {kind}"] = lambda d=decode: plain(folder, d)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(turns + 1):
        for name, read in sides.items():
            taken, count = busy(read)
            if count != job.examples:
                raise SystemExit(f"{name} gave {count} of {job.examples} examples")
            if number:
                rates[name].append(count / taken)
    return {name: quartiles(values) for name, values in rates.items()}


def children_s() -> float:
    """Processor seconds of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def builds(counts: tuple[int, int], size: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Two builds by the command for one and two workers, and a million reckoned from them."""
    for workers in (1, 2):
        walls, cores, sizes = [], [], []
        for count in counts:
            out = folder / f"{workers}-{count}"
            script = [sys.executable, "-m", "instruct_imagen.cli", "tasks", "build", str(out)]
            given = ["--examples", str(count), "--size", str(size), "--workers", str(workers)]
            start, before = time.perf_counter(), children_s()
            subprocess.run([*script, *given, "--shard", "250"], check=True, capture_output=True)
            walls.append(time.perf_counter() - start)
            cores.append(children_s() - before)
            sizes.append(sum(path.stat().st_size for path in out.iterdir()))
        more = counts[1] - counts[0]
        each, bytes_each = (cores[1] - cores[0]) / more, (sizes[1] - sizes[0]) / more
        yield {
            "workers": workers,
            "wall_s": walls,
            "processor_s": cores,
            "examples_per_core_s": 1 / each,
            "million_core_hours": (cores[0] + each * (MILLION - counts[0])) / 3600,
            "million_gb": bytes_each * MILLION / 1e9,
            # Of the largest process so far; those with one worker came first.
            "largest_process_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        }


def show(figures: dict[str, Any]) -> None:
    """Prints the tables."""
    print(f"{'ms an example':18s}" + "".join(f"{part:>9s}" for part in PARTS), end="")
    print(f"{'examples/s':>12s}{'quartiles':>16s}{'bytes':>8s}")
    for name, row in figures["tasks"].items():
        print(f"{name:18s}" + "".join(f"{row[part]['median']:9.3f}" for part in PARTS), end="")
        low, middle, high = (1e3 / row["all"][key] for key in ("high", "median", "low"))
        print(f"{middle:12.0f}{f'[{low:.0f}, {high:.0f}]':>16s}{row['bytes']['median']:8.0f}")
    for name, row in figures["encodings"].items():
        print(f"{name:18s}{row['bytes']:8.0f} bytes{row['ms']:9.3f} ms")
    for name, row in figures["loaders"].items():
        print(f"{name:22s}{row['median']:8.0f} examples/s [{row['low']:.0f}, {row['high']:.0f}]")
    for row in figures["builds"]:
        print(
            f"{row['workers']} workers: {row['examples_per_core_s']:.0f} examples/s a core; a "
            f"million takes {row['million_core_hours']:.2f} hours of a core and "
            f"{row['million_gb']:.1f} GB; the largest process {row['largest_process_mb']:.0f} MB"
        )
    print(f"{figures['machine']}, commit {figures['commit']}")


def main() -> None:
    """Measures everything."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=6)
    arguments.add_argument("--size", type=int, default=64)
    arguments.add_argument("--examples", type=int, nargs=2, default=(500, 2500), help="of builds")
    arguments.add_argument("--out", type=Path, default=Path("out/tasks.json"))
    chosen = arguments.parse_args()
    if chosen.turns < 2 or chosen.examples[0] >= chosen.examples[1]:
        arguments.error("--turns must be at least 2, and the second of --examples the larger one")
    vocabulary, atlas = build_world(override(recipe("starter"), [f"size={chosen.size}"]))
    figures: dict[str, Any] = {"commit": code_commit(), "machine": machine_name("cpu")}
    figures["tasks"] = tasks(chosen.turns, vocabulary, atlas, chosen.size)
    figures["encodings"] = encodings(256, vocabulary, atlas, chosen.size)
    job = ShardJob(
        recipe="starter",
        tasks=dict(all_tasks()),
        ratios=PAPER_RATIOS,
        vocabulary=vocabulary,
        atlas=atlas,
        size=chosen.size,
        seed=0,
        examples=1000,
        shard=250,
    )
    with tempfile.TemporaryDirectory() as name:
        figures["loaders"] = loaders(chosen.turns, job, Path(name) / "read")
        figures["builds"] = list(builds(tuple(chosen.examples), chosen.size, Path(name)))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


if __name__ == "__main__":
    main()
