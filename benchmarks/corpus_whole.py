"""Clusters of the whole real corpus, step by step: seconds, processor time, images/s, peak memory.

make: writes all photo stamps, clip art with keywords and emoji of all sets, whether held out or
not, as tars (Debian's tuxpaint-stamps-default and openclipart-svg; the emoji sets are installed
with the project).
build: runs `instruct-imagen clusters build` on them once a step, each in a process of its own, so
that the system tells its time and its peak. Then it calls each step once more, when nothing is
left to do: what that takes is the start (imports, asking what is done), and is told beside the
whole. It counts how many parts of a step were made in each row: where a step was done before, the
row says that it is a start alone, and no speed is told. Prints a table and writes JSON, with the
bytes of each step's folder and the rows of each domain, for extrapolate.py. With `--together` all
steps run in one process, which imports once; peaks then are the largest so far.

corpus_whole.py build CORPUS OUT [KEY=VALUE …] [--holdout FOLDER] [--together] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from PIL import Image
from tqdm import tqdm

# Nothing large is imported above the children: a peak as the system counts it is that of the parent
# at least.
sys.path.insert(0, str(Path(__file__).parent))


def samples(side: int, share: int) -> Iterator[tuple[str, bytes, str]]:
    """(name, image, caption) of one in `share` of all, drawings at `side` pixels."""
    from corpus_material import clip_art, on_white, stamps

    from instruct_imagen.data.world.sources import read_sets

    found = list(stamps())[::share]
    yield from found
    for place, (title, keywords, picture) in enumerate(clip_art(1_000_000, side)):
        if place % share == 0:
            words = ", ".join(sorted(keywords - {title.lower()}))
            yield f"clip_art/{place}.png", _png(picture), f"{title}, {words}" if words else title
    for style, drawings in sorted(read_sets().items()):
        # Skin tones are one picture in five colours.
        names = sorted(name for name in drawings.bodies if "-tone" not in name)
        for name in names[::share]:
            sprite = drawings.draw(name, side)
            if sprite is not None:
                picture = on_white(sprite.transpose(1, 2, 0))
                yield f"{style}/{name}.png", _png(picture), name.replace("-", " ")


def build(
    corpus: Path, out: Path, settings: list[str], holdouts: list[str], together: bool
) -> list[dict[str, object]]:
    """What each step took, in its order; in a process of its own each, or all in this one."""
    rows = []
    run = called_here if together else called
    command = [sys.executable, "-m", "instruct_imagen.cli", "clusters", "build", corpus, out]
    held = [text for given in holdouts for text in ("--holdout", given)]
    command += held
    if together:
        names = steps(corpus, out, holdouts)  # imports what is large, too
    else:
        listed = [sys.executable, __file__, "steps", corpus, out, *held]
        done = subprocess.run(listed, check=True, capture_output=True, text=True)
        names = done.stdout.split()
    for step in names:
        before = manifests(out / step)
        row = run([*command, *settings, "--until", step])
        after = manifests(out / step)
        start = run([*command, *settings, "--until", step])
        rows.append(
            {
                "step": step,
                "parts": len(after),
                "made": sum(before.get(name) != stamp for name, stamp in after.items()),
                **row,
                "start_processor_seconds": start["processor_seconds"],
                "bytes": sum(path.stat().st_size for path in (out / step).iterdir()),
            }
        )
        print(f"{step}: {rows[-1]}", flush=True)
    return rows


def called(command: list[object]) -> dict[str, object]:
    """What a command took, and its last line.

    Exits with a line if it ends with another status than 0.
    """
    before, start = os.times(), time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.read().strip().splitlines()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{command[-1]} ended with status {os.waitstatus_to_exitcode(status)}")
    after = os.times()
    processor = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(processor, 1),
        "peak_mib": used.ru_maxrss // 1024,
        "said": said[-1],
    }


def called_here(command: list[object]) -> dict[str, object]:
    """The same of a command of this package, in this process.

    Its peak is the largest one so far.
    """
    from instruct_imagen.cli import main

    before, start, said = time.process_time(), time.perf_counter(), io.StringIO()
    with redirect_stdout(said):
        main([str(word) for word in command[command.index("clusters") :]])  # exits if it cannot
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(time.process_time() - before, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "said": said.getvalue().strip().splitlines()[-1],
    }


def manifests(folder: Path) -> dict[str, int]:
    """Name → time of the manifests of a step, one a part."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}


def counted(folder: Path, what: str) -> int:
    """What all parts of a step counted together."""
    found = (json.loads(path.read_bytes())["counts"] for path in folder.glob("*.json"))
    return sum(one.get(what, 0) for one in found)


def rows_of_domains(out: Path) -> dict[str, int]:
    """Rows that each domain has."""
    return {
        path.stem: json.loads(path.read_bytes())["counts"].get("rows", 0)
        for path in sorted((out / "gather").glob("*.json"))
    }


def steps(corpus: Path, out: Path, holdouts: list[str]) -> list[str]:
    """Names of the steps of a build."""
    from instruct_imagen.data.clusters.holdouts import open_holdout
    from instruct_imagen.data.clusters.reading import open_web_corpus
    from instruct_imagen.data.clusters.settings import ClusterSettings, steps_of

    held = [open_holdout(given) for given in holdouts]
    found = steps_of(out, open_web_corpus(corpus), ClusterSettings(), None, held)
    return [step.name for step in found]


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("make", help="write the corpus as tars")
    make.add_argument("folder", type=Path)
    make.add_argument("--side", type=int, default=128, help="pixels of a drawing (128)")
    make.add_argument("--share", type=int, default=1, help="one in so many (1: all)")
    run = verbs.add_parser("build", help="build its clusters, a process a step")
    names = verbs.add_parser("steps", help="names of the steps of such a build")
    for verb in (run, names):
        verb.add_argument("corpus", type=Path)
        verb.add_argument("out", type=Path)
        verb.add_argument("--holdout", action="append", default=[], help="of the build")
    run.add_argument("--together", action="store_true", help="all steps in one process")
    run.add_argument("settings", nargs="*", help="of the build, KEY=VALUE")
    run.add_argument("--json", type=Path, default=Path("out/corpus_whole.json"))
    chosen = parser.parse_args()
    if chosen.verb == "make":
        if chosen.folder.exists():
            sys.exit(f"{chosen.folder} is there already: name a new folder")
        from corpus_material import write_tars

        count = write_tars(chosen.folder, tqdm(samples(chosen.side, chosen.share), unit="image"))
        print(f"{chosen.folder}: {count:,} images")
        return
    if chosen.verb == "steps":
        print("\n".join(steps(chosen.corpus, chosen.out, chosen.holdout)))
        return
    rows = build(chosen.corpus, chosen.out, chosen.settings, chosen.holdout, chosen.together)
    print(
        "| step | parts made | processor seconds | of these the start | seconds | peak MiB "
        "| MB on disk | what it counted |\n|---|---|---|---|---|---|---|---|"
    )
    for row in rows:
        made = f"{row['made']} of {row['parts']}" if row["made"] else "none: a start alone"
        cells = (
            row["step"], made, row["processor_seconds"], row["start_processor_seconds"],
            row["seconds"], row["peak_mib"], f"{int(str(row['bytes'])) / 1e6:.1f}", row["said"],
        )  # fmt: skip
        print("| " + " | ".join(str(cell) for cell in cells) + " |")
    whole = all(row["made"] == row["parts"] for row in rows)
    images = counted(chosen.out / "read", "read")
    if whole:
        used = sum(float(str(row["processor_seconds"])) for row in rows)
        print(f"{images:,} images, {used:.0f} processor seconds: {images / used:.1f} a second")
    else:
        print(f"{images:,} images; some parts were there before, so no speed is told")
    from instruct_imagen.training.card import code_commit, machine_name

    about = {"commit": code_commit(), "machine": machine_name("cpu"), "settings": chosen.settings,
             "holdouts": chosen.holdout, "together": chosen.together, "images": images,
             "whole": whole,
             "pairs": counted(chosen.out / "candidates", "pairs"),
             "clusters": counted(chosen.out / "cut", "clusters"),
             "domains": rows_of_domains(chosen.out)}  # fmt: skip
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
