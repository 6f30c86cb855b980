"""A small corpus of drawn things, and builds of its clusters that can be killed."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from instruct_imagen.data.clusters.building import build
from instruct_imagen.data.clusters.filtering import FilterSettings
from instruct_imagen.data.clusters.holdouts import open_holdout
from instruct_imagen.data.clusters.pages.report import PAGE, write_report
from instruct_imagen.data.clusters.reading import WebCorpus, open_web_corpus
from instruct_imagen.data.clusters.settings import ClusterSettings, steps_of
from instruct_imagen.data.clusters.steps.base import Step
from instruct_imagen.data.clusters.steps.members import MEMBERS, Members

THINGS = ("star", "house", "ladder", "wheel")
EACH = 7
SIDE = 64
SETTINGS = ClusterSettings(filters=FilterSettings(min_side=48, min_quality=0.2), least=0.4)


def drawing(thing: str, number: int) -> Image.Image:
    """A thing in colours, at a place, of a size and before a pattern of its own."""
    rng = np.random.default_rng([THINGS.index(thing), number])
    ground, ink = rng.integers(120, 256, 3), rng.integers(0, 110, 3)
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(one) for one in ground))
    draw = ImageDraw.Draw(image)
    for _ in range(7):  # what makes it another picture, and not the same in other colours
        left, top, wide, high = (int(one) for one in rng.integers((0, 0, 6, 6), (60, 60, 26, 26)))
        shade = tuple(int(one) for one in np.clip(ground + rng.integers(-70, 71, 3), 0, 255))
        draw.rectangle((left, top, left + wide, top + high), fill=shade)
    x, y = (int(one) for one in rng.integers(24, 40, 2))
    r = int(rng.integers(14, 23))
    colour = tuple(int(one) for one in ink)
    if thing == "star":
        turn = rng.uniform(0, 1)
        points = [
            (x + (r if k % 2 else r * 0.4) * np.cos(turn + k * np.pi / 5),
             y + (r if k % 2 else r * 0.4) * np.sin(turn + k * np.pi / 5))
            for k in range(10)
        ]  # fmt: skip
        draw.polygon(points, fill=colour)
    elif thing == "house":
        draw.rectangle((x - r, y, x + r, y + r), fill=colour)
        draw.polygon([(x - r, y), (x + r, y), (x, y - r)], fill=colour)
        draw.rectangle((x - 3, y + r - 10, x + 3, y + r), fill=tuple(int(one) for one in ground))
    elif thing == "ladder":
        draw.line((x - 8, y - r, x - 8, y + r), fill=colour, width=3)
        draw.line((x + 8, y - r, x + 8, y + r), fill=colour, width=3)
        for rung in range(-r + 4, r, 7):
            draw.line((x - 8, y + rung, x + 8, y + rung), fill=colour, width=2)
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=4)
        for k in range(6):
            end = (x + r * np.cos(k * np.pi / 3), y + r * np.sin(k * np.pi / 3))
            draw.line((x, y, *end), fill=colour, width=2)
    return image


def write_corpus(folder: Path) -> None:
    """28 drawings, and what a web corpus has besides: repeats, small, blank and broken ones."""
    folder.mkdir(parents=True)

    def add(name: str, image: Image.Image | bytes, caption: str | None) -> None:
        data = image if isinstance(image, bytes) else encoded(image)
        (folder / f"{name}.png").write_bytes(data)
        if caption is not None:
            (folder / f"{name}.txt").write_text(caption)

    for thing in THINGS:
        for number in range(EACH):
            add(f"{thing}_{number}", drawing(thing, number), f"a {thing} of the town")
    first = drawing("star", 0)
    add("zz_again", first, "a star of the town")
    add("zz_near", first.resize((80, 80), Image.Resampling.LANCZOS), "a star of the town")
    add("zz_small", first.resize((16, 16)), "a star of the town")
    add("zz_blank", Image.new("RGB", (64, 64), "navy"), "a star of the town")
    add("zz_half", encoded(first)[:200], "a star of the town")
    add("zz_silent", drawing("star", 99), None)


def encoded(image: Image.Image) -> bytes:
    """As PNG."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def small_steps(
    corpus: Path, root: Path, rows: int = 8, holdouts: Sequence[Path] = ()
) -> Sequence[Step]:
    """The steps of the corpus' build."""
    held = [open_holdout(one) for one in holdouts]
    return steps_of(root, open_small(corpus, rows), SETTINGS, holdouts=held)


def whole_build(corpus: Path, root: Path, held: Path) -> None:
    """All that the command does: the clusters, what they are of, and the page about them."""
    found = open_small(corpus)
    steps = small_steps(corpus, root, holdouts=[held])
    about = {
        "folder": str(corpus), "kind": found.kind, "options": {}, "parts": found.parts,
        "steps": [step.name for step in steps],
    }  # fmt: skip
    build(root, steps, about=about)
    write_report(root, root / PAGE, again=False)


def left_of(root: Path) -> dict[str, bytes]:
    """All that a whole build has left but for its locks, by name."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in files
        if path.name not in (".lock", ".claim")
    }


def open_small(corpus: Path, rows: int = 8) -> WebCorpus:
    """The corpus, in parts of so many rows."""
    return open_web_corpus(corpus, part_rows=rows)


def members_of(root: Path) -> bytes:
    """What the whole build comes to."""
    return (root / Members.name / MEMBERS).read_bytes()


def serve() -> None:
    """Reads corpus, folder, hold-out, and seconds after which to kill; tells how the build ended.

    Builds are forked from this process, which has imported all and computed nothing.
    """
    for line in sys.stdin:
        corpus, root, held, seconds = json.loads(line)
        pid = os.fork()
        if pid == 0:
            whole_build(Path(corpus), Path(root), Path(held))
            os._exit(0)
        end = time.monotonic() + seconds
        status = 0
        while time.monotonic() < end:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            time.sleep(0.002)
        else:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
