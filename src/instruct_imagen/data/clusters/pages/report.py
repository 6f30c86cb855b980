"""The report of a build: what was left out and why, and what clusters look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE
from instruct_imagen.data.clusters.cutting import inside_pairs
from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.near_duplicates import margins
from instruct_imagen.data.clusters.pages.leaks import leaks_section
from instruct_imagen.data.clusters.pages.pieces import (
    bar,
    curves,
    figure,
    grid,
    note,
    pictures_of,
    shares,
    whole_page,
)
from instruct_imagen.data.clusters.pages.words import limits, measures
from instruct_imagen.data.shards.layout import write_whole
from instruct_imagen.evaluation.report.html import Markup, joined, tag

PAGE = "report.html"
"""In the folder of a build."""

CLUSTERS = 20
PAIRS = 10
"""Examples of clusters, and of either half of near-duplicates."""

_ROWS = 200_000  # whose neighbours are counted
_SAMPLE = 2000  # clusters, or near-duplicates, that are measured again
_EDGES = np.linspace(0, 1, 51)


def write_report(build: Path, out: Path, *, seed: int = 0, again: bool = True) -> bool:
    """Writes the report of a build.

    Args:
        build: Its folder.
        out: The page; written whole or not at all.
        seed: Of what is drawn by lot.
        again: Also where the page is there and of this very build.

    Returns:
        Whether it was written.

    Raises:
        ClusterError: The build is not whole.
    """
    found = Finished(build)
    mark = f"{found.state} {seed}"
    if not again and out.is_file():
        with out.open(encoding="utf-8", errors="replace") as file:
            if mark in file.read(2000):
                return False
    write_whole(out, report(found, seed=seed, mark=mark))
    return True


def report(found: Finished, *, seed: int = 0, mark: str = "") -> str:
    """The page; see `write_report`."""
    rng = np.random.default_rng(seed)
    read, cut = found.counts("read"), found.counts("cut")
    clusters = cut.get("clusters", 0)
    about = tag(
        "p",
        tag("b", f"{clusters:,} clusters"), f" of five, of {read.get('read', 0):,} images in ",
        tag("code", str(found.corpus.folder)), f" ({found.corpus.kind}).",
    )  # fmt: skip
    sections: list[tuple[str, object]] = [
        ("What each step left", _counts(found)),
        ("Domains", _domains(found)),
        ("How similar", _similarities(found, rng)),
        (f"{min(CLUSTERS, clusters)} clusters drawn by lot", _clusters(found, rng)),
        ("Near-duplicates", _duplicates(found, rng)),
        ("Hold-outs", leaks_section(found)),
    ]
    return whole_page("Clusters of five", about, sections, mark=mark)


def _counts(found: Finished) -> Markup:
    rows: list[list[object]] = []
    for step in found.steps:
        if step in ("domains", "gather", "plan", "search"):
            continue  # sorted and searched, nothing left out
        lines = [
            line for one in found.records(step) for kind in one.notes.values() for line in kind
        ]
        more = (
            tag("details", tag("summary", "the first of them"),
                tag("ul", *(tag("li", line) for line in lines[:8])))
            if lines
            else ""
        )  # fmt: skip
        counts = found.counts(step)
        largest = max(counts.values(), default=0)
        for place, (what, number) in enumerate(counts.items()):
            rows.append(
                [
                    tag("b", step) if not place else "",
                    joined([what, more]) if place == len(counts) - 1 else what,
                    f"{number:,}",
                    bar(number / largest) if number else "",
                ]
            )
    words = "All reasons of rows that were left out; candidates and duplicates count pairs."
    return joined([note(words), grid(("step", "what", "how many", ""), rows, (0, 1, 3))])


def _domains(found: Finished) -> Markup:
    counts = found.counts("domains")
    largest = max(counts.values(), default=0)
    clusters = {record.part: record.counts.get("clusters", 0) for record in found.records("cut")}
    rows = [
        [name, f"{number:,}", f"{clusters.get(name, 0):,}", bar(number / largest) if number else ""]
        for name, number in counts.items()
    ]
    return grid(("domain", "rows", "clusters", ""), rows, (0, 3))


def _similarities(found: Finished, rng: np.random.Generator) -> Markup:
    nearest, every, inside, tight = [], [], [], []
    for domain in found.domains:
        alike = found.neighbours(domain)
        if len(alike) > _ROWS // len(found.domains):
            alike = alike[rng.choice(len(alike), _ROWS // len(found.domains), replace=False)]
        nearest.append(alike[:, 0])
        every.append(alike.ravel())
        ids, own = found.clusters(domain)
        tight.append(own[:, 1:])
        most = max(1, _SAMPLE // len(found.domains))
        chosen = rng.choice(len(ids), min(most, len(ids)), replace=False)
        places = found.places(domain, ids[chosen].ravel()).reshape(-1, CLUSTER_SIZE)
        inside.append(_cosines(found.gathered(domain, "vectors"), inside_pairs(places)))
    if not found.domains:
        return note("No domain has rows enough for a cluster.")
    kinds = {
        "nearest neighbour of each row": np.concatenate(nearest),
        "all of its neighbours": np.concatenate(every),
        "pairs inside clusters": np.concatenate(inside),
    }
    first = curves(
        "Cosine of image and caption together", "cosine",
        {name: shares(values, _EDGES) for name, values in kinds.items()}, upright=".0%",
    )  # fmt: skip
    members = np.concatenate(tight)
    members = members[np.argsort(-members[:, -1], kind="stable")]
    every_nth = members[:: max(1, len(members) // 400)]
    ranks = np.arange(len(members))[:: max(1, len(members) // 400)]
    second = curves(
        "From the tightest cluster to the loosest", "rank of the cluster",
        {
            "its first and the one nearest to that": (ranks, every_nth[:, 0]),
            "its first and the one farthest from that": (ranks, every_nth[:, -1]),
        },
        upright=".2f",
    )  # fmt: skip
    points = (0.05, 0.25, 0.5, 0.75, 0.95)
    rows = []
    for name, values in kinds.items():
        known = values[np.isfinite(values)]
        parts = np.quantile(known, points) if len(known) else []
        rows.append([name, f"{len(known):,}", *(f"{one:.3f}" for one in parts)])
    head = ("", "pairs", *(f"{point:.0%} below" for point in points))
    return joined([tag("div", first, second, class_="charts"), grid(head, rows, (0,))])


def _cosines(vectors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    rows, places = np.unique(pairs, return_inverse=True)
    near = np.asarray(vectors[rows], np.float32)
    near /= np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-12)
    one, other = places.reshape(pairs.shape).T
    return np.einsum("pd,pd->p", near[one], near[other])


def _clusters(found: Finished, rng: np.random.Generator) -> Markup:
    kinds = {domain: found.clusters(domain) for domain in found.domains}
    lot = drawn_by_lot(rng, {domain: len(ids) for domain, (ids, _) in kinds.items()}, CLUSTERS)
    if not lot:
        return note("There are none: filters or `least` leave too few rows.")
    chosen = [
        (domain, kinds[domain][0][place].tolist(), kinds[domain][1][place].tolist())
        for domain, place in lot
    ]
    pictures = pictures_of(found, {number for _, row, _ in chosen for number in row})
    cards = []
    for domain, row, alike in chosen:
        shown = [
            figure(
                pictures[number][1],
                joined([tag("b", f"{value:.2f} ") if place else "", pictures[number][0][:120]]),
            )
            for place, (number, value) in enumerate(zip(row, alike, strict=True))
        ]
        cards.append(tag("div", tag("h3", domain), tag("div", *shown, class_="row"), class_="card"))
    words = "The number is the cosine with the first of the five, of image and caption together."
    return joined([note(words), tag("div", *cards, class_="cards")])


def drawn_by_lot(
    rng: np.random.Generator, counts: dict[str, int], wanted: int
) -> list[tuple[str, int]]:
    """Some of all there are, drawn by lot: the domain of each, and which of its."""
    ends = np.cumsum(list(counts.values()))
    total = int(ends[-1]) if len(ends) else 0
    drawn = rng.choice(total, min(wanted, total), replace=False) if total else np.empty(0, int)
    domains = list(counts)
    found = []
    for number in drawn.tolist():
        which = int(np.searchsorted(ends, number, side="right"))
        found.append((domains[which], number - int(ends[which]) + counts[domains[which]]))
    return found


def _duplicates(found: Finished, rng: np.random.Generator) -> Markup:
    kinds = {domain: found.duplicates(domain) for domain in found.domains}
    lot = drawn_by_lot(rng, {domain: len(pairs) for domain, pairs in kinds.items()}, _SAMPLE)
    if not lot:
        return note("None were found.")
    lines = []
    thresholds = found.thresholds
    for domain in dict.fromkeys(domain for domain, _ in lot):
        pairs = kinds[domain][[place for own, place in lot if own == domain]]
        measured = found.measured(domain, pairs)
        distance = margins(measured, thresholds)
        ids = found.gathered(domain, "ids")
        for place, pair in enumerate(pairs):
            own = [int(ids[number]) for number in pair]
            lines.append((float(distance[place]), own, measured, place))
    lines.sort(key=lambda line: line[0])
    halves = {
        "Those that just are": lines[:PAIRS],
        "Drawn by lot": [
            lines[place]
            for place in rng.choice(len(lines), min(PAIRS, len(lines)), replace=False).tolist()
        ],
    }
    pictures = pictures_of(
        found, {n for half in halves.values() for _, own, *_ in half for n in own}
    )
    parts: list[Markup] = [
        note(
            f"Of {sum(map(len, kinds.values())):,} pairs that were found. Thresholds: "
            f"{limits(thresholds)}. A pair is one by its embeddings, by its small copies once laid "
            "over each other (correlation and difference together), or by address alone."
        )
    ]
    for title, half in halves.items():
        cards = [
            tag(
                "div",
                tag(
                    "div", *(figure(pictures[n][1], pictures[n][0][:80]) for n in own), class_="row"
                ),
                tag("p", measures(measured, place), class_="note"),
                class_="card pair",
            )
            for _, own, measured, place in half
        ]
        parts += [tag("h3", title), tag("div", *cards, class_="cards")]
    return joined(parts)
