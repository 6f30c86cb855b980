"""Memory of a build of clusters: what grows with the corpus, and whether a hard limit is enough.

Makes corpora of noise, of `--images` pictures and of ten times as many, builds clusters of each in
a process of its own, and prints peaks by step: resident memory (with the pages of mapped files,
which the system takes back where it needs them), and the process' own, sampled. What was the peak
before is forgotten when a step begins. With `--limit` the larger corpus is built once more by a
process that may not have more, and all of its files are compared with those of the free one.

The limit is one of the system: a memory cgroup (`--by /sys/fs/cgroup/memory`, the folder below
which one is made for the process and removed at the end; of version 1 or 2; it counts cached files,
too, and swap where there is some), or RLIMIT_DATA (`--by data`), which counts what a process asks
for, used or not. RLIMIT_AS is of no use: it counts addresses, of which libraries reserve gigabytes.
`--form png` stores pictures as large as they are decoded. Writes JSON.

python benchmarks/corpus_memory.py [--images 1000] [--side 640] [--part 500] [--form jpg]
    [--limit 1171] [--by /sys/fs/cgroup/memory]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import hashlib
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

THINGS = ("dog", "boat", "church", "apple", "lorry", "rose", "guitar", "mountain")
MIB = 2**20


def write_corpus(folder: Path, images: int, side: int, part: int, form: str) -> int:
    """Tars of so many images; returns the bytes of them all.

    Args:
        folder: A new one.
        images: How many.
        side: Of an image, pixels.
        part: Images of a tar.
        form: ``jpg``, or ``png``: not compressed, and with noise in each pixel.
    """
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
                picture = small.resize((side, side), Image.Resampling.NEAREST)
                if form == "png":
                    grain = rng.integers(0, 9, (side, side, 3), np.uint8)
                    pixels = np.minimum(np.asarray(picture), 247) + grain
                    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
                else:
                    picture.save(file, "JPEG", quality=60)
                text = f"the {THINGS[thing]} of number {number}".encode()
                for end, data in ((form, file.getvalue()), ("txt", text)):
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
    found["tree"] = {"peak": own, "children": children}
    return found


def files_of(build: Path) -> dict[str, str]:
    """Name → SHA-256 of all files of the steps of a build."""
    return {
        str(path.relative_to(build)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(build.glob("*/*"))
    }


def _join(members: Path) -> None:
    """Puts this process into a cgroup."""
    members.write_text(str(os.getpid()))


class Limit:
    """Keeps a child process within `mib` of memory: by RLIMIT_DATA or by a cgroup of its own."""

    def __init__(self, mib: int, by: str) -> None:
        self.bytes = mib * MIB
        self.group = None if by == "data" else Path(by) / f"corpus-memory-{os.getpid()}"
        self.second = (Path(by) / "cgroup.controllers").is_file()  # version 2

    @contextmanager
    def begun(self) -> Iterator[Callable[[], None]]:
        """Gives what the child calls before it is another program."""
        if self.group is None:
            yield lambda: resource.setrlimit(resource.RLIMIT_DATA, (self.bytes, self.bytes))
            return
        try:
            self.group.mkdir()
        except OSError as error:
            sys.exit(f"no cgroup can be made ({error}): be root, or use --by data")
        try:
            name = "memory.max" if self.second else "memory.limit_in_bytes"
            (self.group / name).write_text(str(self.bytes))
            members = self.group / "cgroup.procs"
            yield lambda: _join(members)
        except FileNotFoundError as error:
            sys.exit(f"{error.filename}: memory is not counted there: use --by data")
        finally:
            self.group.rmdir()

    def seen(self) -> dict[str, int]:
        """What the cgroup has counted: its peak in bytes, and how often it was at the limit."""
        if self.group is None:
            return {}
        if self.second:
            events = dict(
                line.split() for line in (self.group / "memory.events").read_text().splitlines()
            )
            peak, hits = (self.group / "memory.peak").read_text(), events["max"]
        else:
            peak = (self.group / "memory.max_usage_in_bytes").read_text()
            hits = (self.group / "memory.failcnt").read_text()
        return {"group_peak": int(peak), "at_the_limit": int(hits)}


def built(corpus: Path, out: Path, limit: Limit | None = None) -> dict[str, object]:
    """What a build measured of itself, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(corpus), str(out)]
    if limit is None:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])
    with limit.begun() as begin:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, text=True, preexec_fn=begin
        )
        seen = limit.seen()
    if done.returncode:
        return {"status": done.returncode, **seen}
    return {"status": 0, **seen, **json.loads(done.stdout.splitlines()[-1])}


def show(small: dict[str, object], large: dict[str, object], more: int) -> None:
    """Peaks of each step of both corpora, and the processor time of the larger one."""
    print(f"{'step':12}{'peak MiB':>18}{'own MiB':>18}{'own, bytes a row more':>24}{'seconds':>10}")
    for name in small:
        if name in ("tree", "corpus"):
            continue
        peaks, own = ([one[name][what] for one in (small, large)] for what in ("peak", "own"))
        shown = "".join(f"{f'{a / MIB:,.0f} → {b / MIB:,.0f}':>18}" for a, b in (peaks, own))
        taken = large[name].get("cpu_seconds", "")
        print(f"{name:12}{shown}{(own[1] - own[0]) / more:>24,.0f}{taken:>10}")


def main() -> None:
    """Measures and prints."""
    ask = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ask.add_argument("--images", type=int, default=1000, help="of the smaller corpus")
    ask.add_argument("--side", type=int, default=640, help="of an image, pixels")
    ask.add_argument("--part", type=int, default=500, help="images of a tar")
    ask.add_argument("--form", choices=("jpg", "png"), default="jpg", help="of an image")
    ask.add_argument("--limit", type=int, nargs="*", default=[], help="MiB, each tried in turn")
    ask.add_argument("--by", default="/sys/fs/cgroup/memory", help="where cgroups are, or data")
    ask.add_argument("--place", type=Path, help="for corpora and builds; a folder for these alone")
    ask.add_argument("--json", type=Path, default=Path("out/corpus_memory.json"))
    ask.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = ask.parse_args()
    if given.child:
        print(json.dumps(build_and_measure(*given.child)))
        return
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(dir=given.place) as place:
        for images in (given.images, 10 * given.images):
            corpus, free = Path(place) / f"corpus{images}", Path(place) / f"out{images}"
            encoded = write_corpus(corpus, images, given.side, given.part, given.form)
            decoded = images * given.side**2 * 3
            found = results[str(images)] = built(corpus, free)
            found["corpus"] = {"encoded": encoded, "decoded": decoded}
            print(
                f"{images:,} images, {encoded / MIB:,.0f} MiB, decoded {decoded / MIB:,.0f} MiB: "
                f"peak {found['tree']['peak'] / MIB:,.0f} MiB",
                flush=True,
            )
        small, large = results.values()
        show(small, large, 9 * given.images)
        wanted = files_of(free)
        for mib in given.limit:
            limited = Path(place) / f"limited{mib}"
            found = results[f"limit {mib}"] = built(corpus, limited, Limit(mib, given.by))
            same = found["same"] = found["status"] == 0 and files_of(limited) == wanted
            said = f"status {found['status']}" if found["status"] else "came to its end"
            files = f"{len(wanted)} files with the same bytes" if same else "not the same files"
            seen = f", {found['at_the_limit']:,} times at it" if "at_the_limit" in found else ""
            print(
                f"limit of {mib:,} MiB by {given.by}, corpus {encoded / MIB / mib:.1f} times as "
                f"large, decoded {decoded / MIB / mib:.1f} times: {said}, {files}{seen}",
                flush=True,
            )
    from instruct_imagen.training.card import code_commit, machine_name

    about = {"commit": code_commit(), "machine": machine_name("cpu"), "images": given.images,
             "side": given.side, "part": given.part, "form": given.form,
             "by": given.by}  # fmt: skip
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({**about, "found": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
