"""Memory of a build of clusters of a corpus, and of one ten times as large: what grows, how much.

Makes corpora of noise, builds clusters of each in a process of its own, and prints peaks by step:
resident memory (with the pages of mapped files, which the system takes back where it needs them),
and the process' own, sampled. What was the peak before is forgotten when a step begins. Writes
out/corpus_memory.json.

python benchmarks/corpus_memory.py [--images 1000] [--side 640] [--part 500]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

THINGS = ("dog", "boat", "church", "apple", "lorry", "rose", "guitar", "mountain")
MIB = 2**20


def write_corpus(folder: Path, images: int, side: int, part: int) -> int:
    """Tars of so many images; returns the bytes of them all."""
    folder.mkdir()
    total = 0
    for start in range(0, images, part):
        with tarfile.open(folder / f"{start // part:05d}.tar", "w") as tar:
            for number in range(start, min(start + part, images)):
                rng = np.random.default_rng(number)
                thing = int(rng.integers(len(THINGS)))
                base = np.random.default_rng([1, thing]).integers(0, 256, (12, 12, 3))
                noise = rng.integers(-90, 91, (12, 12, 3))
                small = Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8))
                file = io.BytesIO()
                small.resize((side, side), Image.Resampling.NEAREST).save(file, "JPEG", quality=60)
                text = f"the {THINGS[thing]} of number {number}".encode()
                for end, data in (("jpg", file.getvalue()), ("txt", text)):
                    member = tarfile.TarInfo(f"{number:08d}.{end}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                total += len(file.getvalue())
    return total


def _status(name: str) -> int:
    """A line of this process' status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def _sampled(found: dict[str, int]) -> Iterator[None]:
    """Keeps the largest own memory that was seen."""
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.01):
            found["own"] = max(found.get("own", 0), _status("RssAnon"))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()


def build_and_measure(corpus: Path, out: Path) -> dict[str, object]:
    """Peaks of each step of a build, in this process."""
    import torch

    from instruct_imagen.data.clusters.building import run_step
    from instruct_imagen.data.clusters.filtering import FilterSettings
    from instruct_imagen.data.clusters.reading import open_web_corpus
    from instruct_imagen.data.clusters.settings import ClusterSettings, fast_dtype, steps_of

    torch.set_num_threads(1)
    settings = ClusterSettings(
        filters=FilterSettings(min_quality=0), dtype=fast_dtype("cpu"), least=0.3
    )
    steps = steps_of(out, open_web_corpus(corpus), settings)
    for step in steps:  # what is loaded once and for all is no part of what grows
        step.settings()
    found: dict[str, object] = {"before": {"peak": _status("VmRSS"), "own": _status("RssAnon")}}
    for step in steps:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        peaks: dict[str, int] = {}
        start = time.process_time()
        with _sampled(peaks):
            counts = run_step(step, workers=1, report=lambda *_: None)
        seconds = round(time.process_time() - start, 2)
        own = max(peaks.get("own", 0), _status("RssAnon"))
        found[step.name] = {
            "peak": _status("VmHWM"), "own": own, "cpu_seconds": seconds, "counts": counts,
        }  # fmt: skip
    # Not what the system counts of this process: that begins anew with each step, too.
    own = max(one["peak"] for one in found.values())
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    found["tree"] = {"peak": own + children}
    return found


def main() -> None:
    """Measures and prints."""
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--images", type=int, default=1000, help="of the smaller corpus")
    ask.add_argument("--side", type=int, default=640, help="of an image, pixels")
    ask.add_argument("--part", type=int, default=500, help="images of a tar")
    ask.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.child:
        print(json.dumps(build_and_measure(*given.child)))
        return
    results = {}
    with tempfile.TemporaryDirectory() as place:
        for images in (given.images, 10 * given.images):
            corpus = Path(place) / f"corpus{images}"
            encoded = write_corpus(corpus, images, given.side, given.part)
            done = subprocess.run(
                [sys.executable, __file__, "--child", str(corpus),
                 str(Path(place) / f"out{images}")],
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            results[images] = json.loads(done.stdout.splitlines()[-1])
            decoded = images * given.side**2 * 3
            print(
                f"{images:,} images, {encoded / MIB:,.0f} MiB, decoded {decoded / MIB:,.0f} MiB: "
                f"peak of all processes {results[images]['tree']['peak'] / MIB:,.0f} MiB",
                flush=True,
            )
    small, large = results.values()
    more = 9 * given.images
    print(f"{'step':12}{'peak MiB':>18}{'own MiB':>18}{'own, bytes a row more':>24}")
    for name in small:
        if name == "tree":
            continue
        peaks, own = ([one[name][what] for one in (small, large)] for what in ("peak", "own"))
        shown = "".join(f"{f'{a / MIB:,.0f} → {b / MIB:,.0f}':>18}" for a, b in (peaks, own))
        print(f"{name:12}{shown}{(own[1] - own[0]) / more:>24,.0f}")
    Path("out").mkdir(exist_ok=True)
    about = {"images": given.images, "side": given.side, "part": given.part}
    text = json.dumps({"settings": about, "found": results}, indent=1)
    Path("out/corpus_memory.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
