"""What clusters of 100 million and of 5 billion images would take, reckoned from what was measured.

Reads benchmarks/results: a build of a real corpus (corpus_whole.py), neighbours of up to a million
vectors (neighbours.py, its neighbours_parts.json), steps that hold a whole domain (held_whole.py).
Prints the tables of docs/clusters_scale.md; with --write puts them there, between the two marks,
so that a new measurement changes the page by one command.

python benchmarks/extrapolate.py [--write] [--images 100e6 5e9] [--cores 16 256 4096]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "clusters_scale.md"
MARKS = ("<!-- figures: benchmarks/extrapolate.py --write -->", "<!-- end of figures -->")

IN_PARTS = ("read", "words", "pixels", "embed", "leaks", "domains", "search", "duplicates")
BY_DOMAIN = ("gather", "plan", "candidates", "cut")
WHOLE = ("repeats", "titles", "holdout", "members")
QUERY_ROWS = 2**20  # of `engine.AT_ONCE`
MOST_QUERIES = 256  # `engine.MOST_PASSES`
CROWDED = 64 * 2**16 / 2  # rows from which on `hashes.hash_pairs` looks at no more a row
MEMORIES = (64, 512)  # GB of a machine


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Seconds as a power of rows: `seconds` at `rows`, times (n / rows) ** `exponent`."""

    seconds: float
    rows: float
    exponent: float

    def at(self, rows: float) -> float:
        """Seconds for so many rows."""
        return self.seconds * (rows / self.rows) ** self.exponent


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that was measured.

    Attributes:
        whole: Of corpus_whole.py.
        near: Of neighbours.py.
        held: Of held_whole.py.
    """

    whole: dict[str, Any]
    near: dict[str, Any]
    held: dict[str, Any]

    @classmethod
    def read(cls, folder: Path = RESULTS) -> Measured:
        """From the files of the benchmarks."""
        names = {"whole": "corpus_whole", "near": "neighbours_parts", "held": "held_whole"}
        found = {
            key: json.loads((folder / f"{name}.json").read_bytes()) for key, name in names.items()
        }
        if not found["whole"]["whole"]:
            raise SystemExit("corpus_whole.json is of a build that went on: measure a new one")
        return cls(**found)

    @property
    def images(self) -> int:
        """Of the real corpus."""
        return int(self.whole["images"])

    @property
    def rows(self) -> int:
        """That reached the domains."""
        return sum(self.whole["domains"].values())

    @property
    def shares(self) -> list[float]:
        """Of each domain in `rows`, the largest first."""
        return sorted((one / self.rows for one in self.whole["domains"].values()), reverse=True)

    def step(self, name: str) -> dict[str, Any]:
        """The row of a step; zeros where the build had none (without hold-outs)."""
        none = {"processor_seconds": 0, "start_processor_seconds": 0, "bytes": 0}
        return next((row for row in self.whole["rows"] if row["step"] == name), none)

    def work(self, name: str) -> float:
        """Processor seconds of a step without its start; never below a hundredth of a second."""
        row = self.step(name)
        return max(row["processor_seconds"] - row["start_processor_seconds"], 0.01)

    def growth(self, name: str) -> Growth:
        """Of plan and search, 50,000 rows at a time: through the two largest sizes."""
        (less, first), (more, second) = (
            (one["size"], median(one["plan s"]) if name == "plan" else one["in parts s"])
            for one in self.near["sizes"][-2:]
        )
        exponent = log(second / first) / log(more / less)
        return Growth(seconds=second, rows=more, exponent=exponent)

    def exponent(self, name: str) -> float:
        """How a step that holds a domain grows; never less than with N."""
        return max(1.0, float(self.held["steps"][name]["exponent"]))

    def seconds(self, name: str, images: float) -> tuple[float, float]:
        """Processor seconds of a step, in all and of its longest piece that one process makes."""
        scale = images / self.images
        if name == "holdout":
            return self.work(name), self.work(name)
        if name in ("repeats", "titles"):  # queries of one kind
            last = self.held["steps"]["repeats"]["sizes"][-1]
            queries = min(max(1.0, images / QUERY_ROWS), MOST_QUERIES)
            once = last["seconds"] / last["rows"] / max(1.0, last["rows"] / QUERY_ROWS)
            return (found := once * images * queries), found
        sizes = [share * self.rows * scale for share in self.shares]
        if name in ("plan", "search"):
            growth = self.growth(name)
            each = [growth.at(rows) for rows in sizes]
        elif name == "candidates":
            # Real domains were too small to tell: synthetic rows, and with N once bands are full.
            last = self.held["steps"][name]["sizes"][-1]
            growth = Growth(
                seconds=last["seconds"], rows=last["rows"], exponent=self.exponent(name)
            )
            each = [growth.at(min(rows, CROWDED)) * max(1.0, rows / CROWDED) for rows in sizes]
        elif name == "cut":
            # What the real rows took, each domain growing as synthetic rows do.
            grown = scale ** self.exponent(name)
            each = [share * self.work(name) * grown for share in self.shares]
        else:
            each = [share * self.work(name) * scale for share in self.shares]
        if name in BY_DOMAIN:
            return sum(each), max(each)
        return sum(each), 0.0 if name in IN_PARTS else sum(each)

    def hours(self, name: str, images: float, cores: int) -> float:
        """By the clock: no step begins before the one before it has ended."""
        total, longest = self.seconds(name, images)
        return max(total / cores, longest) / 3600

    def held_bytes(self, name: str) -> float:
        """Bytes a row that a step holds, at the largest size."""
        return float(self.held["steps"][name]["sizes"][-1]["bytes a row"])


def said(value: float) -> str:
    """Two figures that tell, with thousands parted."""
    if value >= 10:
        digits = max(0, len(str(int(value))) - 2)
        return f"{round(value, -digits):,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.1g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def words(images: float) -> str:
    """100 M or 5 G."""
    return f"{images / 1e9:g} G" if images >= 1e9 else f"{images / 1e6:g} M"


def steps_table(found: Measured, corpora: list[float]) -> str:
    """Hours of a core."""
    grows = {
        "holdout": "with the hold-out alone",
        **dict.fromkeys(
            ("repeats", "titles"), f"N × queries (one a million rows, at most {MOST_QUERIES})"
        ),
        **{name: f"N^{found.growth(name).exponent:.2f} of a domain" for name in ("plan", "search")},
        "cut": f"N^{found.exponent('cut'):.2f} of a domain",
        "candidates": f"N^{found.exponent('candidates'):.2f} of a domain, N beyond 2 M rows",
    }
    made = {
        **dict.fromkeys(IN_PARTS, "parts"),
        **dict.fromkeys(BY_DOMAIN, "domains"),
        **dict.fromkeys(WHOLE, "one piece"),
    }
    rows = []
    for step in (row["step"] for row in found.whole["rows"]):
        rate = f"{found.work(step) / found.images * 1e6:,.0f}"
        if step in ("plan", "search"):
            growth = found.growth(step)
            rate = f"{growth.seconds / growth.rows * 1e6:,.0f} (a domain of a million rows)"
        elif step == "candidates":
            last = found.held["steps"][step]["sizes"][-1]
            rate = f"{last['seconds'] / last['rows'] * 1e6:,.0f} (synthetic, of a million rows)"
        elif step in ("repeats", "titles"):
            rate = f"{found.seconds(step, 1e6)[0]:,.0f} (synthetic rows)"
        elif step == "holdout":
            rate = f"{found.work(step):,.0f} s in all"
        hours = [said(found.seconds(step, images)[0] / 3600) for images in corpora]
        rows.append([f"`{step}`", made[step], rate, grows.get(step, "N"), *hours])
    total = [
        said(sum(found.seconds(row["step"], images)[0] for row in found.whole["rows"]) / 3600)
        for images in corpora
    ]
    rows.append(["all", "", "", "", *total])
    head = ["step", "made in", "processor seconds a million images", "grows as"]
    return table([*head, *(f"{words(one)}: hours of a core" for one in corpora)], rows)


def machines_table(found: Measured, corpora: list[float], cores: list[int]) -> str:
    """Hours by the clock."""
    rows = []
    for images in corpora:
        for many in cores:
            each = {
                row["step"]: found.hours(row["step"], images, many) for row in found.whole["rows"]
            }
            kinds = [
                sum(each.get(step, 0) for step in kind) for kind in (IN_PARTS, BY_DOMAIN, WHOLE)
            ]
            worst = max(each, key=lambda step: each[step])
            rows.append(
                [words(images), f"{many:,}", *map(said, kinds), said(sum(kinds)),
                 f"`{worst}` {said(each[worst])}"]
            )  # fmt: skip
    return table(
        ["images", "cores", "steps in parts, h", "domain by domain, h", "in one piece, h", "all, h",
         "longest step, h"],
        rows,
    )  # fmt: skip


def disk_table(found: Measured, corpora: list[float]) -> str:
    """Bytes that a build leaves."""
    rows = []
    for row in found.whole["rows"]:
        if row["step"] == "holdout":
            continue
        each = row["bytes"] / found.images
        if each >= 10:
            grown = [f"{each * images / 1e12:,.2f}" for images in corpora]
            rows.append([f"`{row['step']}`", f"{each:,.0f}", *grown])
    every = sum(one["bytes"] for one in found.whole["rows"] if one["step"] != "holdout")
    each = every / found.images
    rows.append(["all", f"{each:,.0f}", *(f"{each * images / 1e12:,.2f}" for images in corpora)])
    return table(["step", "bytes an image", *(f"{words(one)}: TB" for one in corpora)], rows)


def memory_table(found: Measured, corpora: list[float]) -> str:
    """What is held of a domain, or of all."""
    share, kept = found.shares[0], found.rows / found.images
    plan = found.near["sizes"][-1]
    cells = 4 * found.near["dimensions"] / 128 + 20  # a centroid of 128 vectors; ids and lengths
    terms = [
        ("`plan`: cells and a sample", plan["own MiB more"] * 2**20 / plan["size"], cells, True),
        ("`search`: the plan, in each process", cells, cells, True),
        ("`candidates`: neighbours and pairs", found.held_bytes("candidates"), None, True),
        ("`duplicates`: hashes of addresses", found.held_bytes("addresses"), None, True),
        ("`cut`: neighbours and groups", found.held_bytes("cut"), None, True),
        ("`repeats`: numbers of rows", 16.0, None, False),
    ]
    rows = []
    for name, each, later, of_domain in terms:
        per = share * kept if of_domain else 1.0
        at_last = each if later is None else later
        fixed = 4e6 * found.near["dimensions"] if name.startswith("`plan`") else 0.0
        grown = [f"{(fixed + at_last * per * images) / 1e9:,.0f}" for images in corpora]
        fits = [words_of((memory * 1e9 - fixed) / at_last / per) for memory in MEMORIES]
        shown = f"{each:,.0f}" if later in (None, each) else f"{each:,.0f}, {later:,.0f} beyond 3 M"
        rows.append([name, shown, *grown, *fits])
    return table(
        ["what is held", "bytes a row", *(f"{words(one)}: GB" for one in corpora),
         *(f"images that {memory} GB hold" for memory in MEMORIES)],
        rows,
    )  # fmt: skip


def words_of(images: float) -> str:
    """A number of images, short."""
    return f"{said(images / 1e9)} G" if images >= 1e9 else f"{said(images / 1e6)} M"


def page(found: Measured, corpora: list[float], cores: list[int]) -> str:
    """All tables, with what they are of."""
    near, whole, held = found.near, found.whole, found.held
    per_core = found.near["sizes"][-1]
    rate = per_core["size"] / (median(per_core["plan s"]) + per_core["in parts s"])
    return "\n\n".join(
        [
            f"Measured: a build of {found.images:,} images ({whole['commit']}), neighbours of "
            f"{near['sizes'][0]['size']:,} to {per_core['size']:,} vectors ({near['commit']}; "
            f"{rate:,.0f} a second of a core at the most, 50,000 searched at a time), "
            f"synthetic rows of a domain ({held['commit']}). "
            f"{found.rows / found.images:.0%} of the images reach a domain, "
            f"{found.shares[0]:.0%} of these the largest one.",
            "### Hours of a core",
            steps_table(found, corpora),
            "### Hours by the clock",
            machines_table(found, corpora, cores),
            "### Disk",
            disk_table(found, corpora),
            "### Memory",
            memory_table(found, corpora),
        ]
    )


def written(text: str, figures: str) -> str:
    """The page with other figures between its marks."""
    before, _, rest = text.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{figures}\n\n{MARKS[1]}{after}"


def main() -> None:
    """Prints or writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=float, nargs="+", default=[100e6, 5e9])
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 256, 4096])
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    given = parser.parse_args()
    figures = page(Measured.read(), given.images, given.cores)
    if not given.write:
        print(figures)
        return
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")


if __name__ == "__main__":
    main()
