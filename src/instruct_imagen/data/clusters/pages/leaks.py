"""The section of hold-outs: which rows were taken out of a corpus, and what they are."""

from __future__ import annotations

import pyarrow.parquet as pq

from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.pages.pieces import figure, inline, note, pictures_of
from instruct_imagen.data.clusters.pages.words import MEASURES, limits, words_of
from instruct_imagen.data.clusters.steps.base import table_of
from instruct_imagen.data.clusters.steps.holdout import HoldOut
from instruct_imagen.data.clusters.steps.leaks import Leaks
from instruct_imagen.evaluation.report.html import Markup, joined, tag

LEAKS = 200
"""Of rows of a hold-out, so many are shown; all are in the files of the step."""


def leaks_section(found: Finished) -> Markup:
    """Counts, and each row beside the picture that it is."""
    if Leaks.name not in found.steps:
        return note("No hold-out was given: `clusters build … --holdout FOLDER` names one.")
    held, leaks = found.counts(HoldOut.name), found.leaks()
    kinds = ", ".join(
        f"{number:,} {what.removeprefix('in a hold-out: ')}"
        for what, number in found.counts(Leaks.name).items()
        if what.startswith("in a hold-out")
    )
    words = (
        f"Of {held.get('held out', 0):,} pictures that are held out, {len(leaks):,} rows of the "
        f"corpus are one or nearly ({kinds or 'none'}). They are in no cluster. All are named in "
        f"{Leaks.name}/*.jsonl of the build"
        + (f"; the first {LEAKS} are shown." if len(leaks) > LEAKS else ".")
        + f" Thresholds, of images alone: {limits(found.holdout_thresholds)}; equal bytes do."
    )
    unread = {what: number for what, number in held.items() if what != "held out"}
    if unread:
        lost = ", ".join(f"{what} {number:,}" for what, number in unread.items())
        words += f" What could not be read of the hold-out was not looked for: {lost}."
    leaks = leaks[:LEAKS]
    pictures = pictures_of(found, {line["id"] for line in leaks})
    previews = _previews(found, {(line["holdout"], line["holdout_key"]) for line in leaks})
    cards = [
        tag(
            "div",
            tag(
                "div",
                figure(pictures[line["id"]][1], joined(["corpus: ", tag("code", line["key"])])),
                figure(
                    previews[line["holdout"], line["holdout_key"]],
                    joined([f"{line['holdout']}: ", tag("code", line["holdout_key"])]),
                ),
                class_="row",
            ),
            tag(
                "p", f"{line['why']}; {words_of(*(line[name] for name in MEASURES))}", class_="note"
            ),
            class_="card pair",
        )
        for line in leaks
    ]
    return joined([note(words), tag("div", *cards, class_="cards")])


def _previews(found: Finished, names: set[tuple[str, str]]) -> dict[tuple[str, str], Markup]:
    """Small pictures of a hold-out, by hold-out and key."""
    shown = {}
    for record in found.records(HoldOut.name):
        path = found.root / HoldOut.name / table_of(record.part)
        table = pq.read_table(path, columns=["holdout", "key"])
        kept = [
            place
            for place, name in enumerate(
                zip(table["holdout"].to_pylist(), table["key"].to_pylist(), strict=True)
            )
            if name in names
        ]
        if kept:
            for line in pq.read_table(path).take(kept).to_pylist():
                name = (line["holdout"], line["key"])
                shown[name] = inline(line["preview"], line["key"])
    return shown
