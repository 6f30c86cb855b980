"""The parts of the report, each from its figures; a part without any is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from instruct_imagen.evaluation.report.html import (
    Markup,
    curves,
    interval,
    joined,
    meter,
    number,
    percent,
    table,
    tag,
)
from instruct_imagen.evaluation.report.paper import (
    AVERAGES,
    MASKED_EDIT,
    PAPER,
    SOURCE,
    PaperRow,
)
from instruct_imagen.evaluation.report.tables import Figures

Section = tuple[str, Markup]
"""Title and content."""

_SCORES = ("SC", "PQ", "O")
_SHOWN = 50  # failures on the page
_HEADINGS = {"in_domain": "In-domain", "zero_shot": "Zero-shot"}


def title_of(group: str) -> str:
    """A group's name in words."""
    return group.replace("_", " ")


def sections(found: Figures, diagnoses: Sequence[Mapping[str, Any]]) -> list[Section]:
    """All parts that have something to say."""
    made = [
        ("Beside the paper's Table 4", table_four(found)),
        ("Beyond the paper", further(found)),
        ("Masked editing beside the paper's Table 2", masked_editing(found)),
        ("By number of references", by_references(found)),
        ("By kind of condition", by_condition(found)),
        ("Seen and unseen", composition(found)),
        ("Models compared", comparisons(found)),
        ("Text fidelity under references", fidelity(found)),
        ("What should not change", no_op(found)),
        ("What each reference does", diagnosis(diagnoses)),
        ("Quality against settings", sweep(found)),
        ("Speed", speed(found)),
    ]
    return [(title, content) for title, content in made if content]


def failures(found: Figures) -> Markup:
    """What failed, and how to go on; at the head of the page."""
    if not found["failures"]:
        return Markup("")
    rows = [
        (one["model"], one["suite"], one["case"], one["error"])
        for one in found["failures"][:_SHOWN]
    ]
    count = len(found["failures"])
    what = "1 case" if count == 1 else f"{count:,} cases"
    return tag(
        "section",
        tag("h2", f"This evaluation failed: {what} without a score"),
        tag(
            "p",
            "A mean that such a case belongs to is not given. Run the same command again: what is "
            "there is kept, what failed is tried again.",
        ),
        table(
            ("model", "suite", "case", "error"),
            rows,
            note=f"The first {_SHOWN}; all are in report.json." if count > _SHOWN else "",
        ),
        class_="failed",
    )


def table_four(found: Figures) -> Markup:
    """Rows of the paper: its own figures and each model's."""
    models = list(found["models"])
    head = ("task", "cases", "single-task O", "multi-task O", "prior O", *_SCORES)
    head += _SCORES * len(models)
    over = (("", 2), (tag("span", "paper", class_="paper"), 6), *((m, 3) for m in models))
    ours = {(row["suite"], row["group"]): row for row in found["groups"]}
    rows: list[Sequence[object]] = []
    for suite, tasks in PAPER.items():
        if not any((suite, group) in ours for group in tasks):
            continue
        rows.append((None, _HEADINGS[suite]))
        for group, facts in tasks.items():
            row = ours.get((suite, group))
            cells = [_three(row["models"].get(model) if row else None) for model in models]
            count = cases_of(row, models) if row else "–"
            rows.append((facts.title, count, *_paper(facts), *(c for one in cells for c in one)))
        average = found["averages"][suite]
        cells = [_three(average.get(model)) for model in models]
        counts = {f"{a['tasks']} of {a['of']} tasks" for a in average.values() if a}
        of = counts.pop() if len(counts) == 1 else "–"
        if counts:  # models of different tasks: each says its own
            cells = [_with_tasks(average.get(m), one) for m, one in zip(models, cells, strict=True)]
        name = tag("b", AVERAGES[suite].title)
        rows.append((name, of, *_paper(AVERAGES[suite]), *(c for one in cells for c in one)))
    if not rows:
        return Markup("")
    return table(
        head,
        rows,
        over=over,
        note=f"Paper: {SOURCE}, Table 4; people rated other pictures, so only how a method stands "
        "to its baselines compares. Ours: mean, and the interval that holds it with 95% "
        "probability (bootstrap over cases). The average gives each task the same weight.",
    )


def _paper(facts: PaperRow) -> tuple[Markup, ...]:
    values = (facts.single, facts.multi, facts.prior, facts.sc, facts.pq, facts.overall)
    return tuple(tag("span", number(value), class_="paper") for value in values)


def _three(scores: Mapping[str, Any] | None) -> tuple[Markup, Markup, Markup]:
    if scores is None:
        return (number(None),) * 3
    means = (number(scores[name]["value"]) for name in ("sc", "pq"))
    return (*means, meter(scores["overall"]))


def _with_tasks(
    average: Mapping[str, Any] | None, cells: tuple[Markup, Markup, Markup]
) -> tuple[Markup, Markup, Markup]:
    """An average, and over how many tasks it is."""
    if average is None:
        return cells
    words = tag("small", f"{average['tasks']} of {average['of']} tasks ", class_="interval")
    return joined([words, cells[0]]), cells[1], cells[2]


def _over(models: Sequence[str], columns: int) -> list[tuple[str, int]]:
    """Headings of the models above so many columns each."""
    return [("", 1), *((model, columns) for model in models)]


def cases_of(row: Mapping[str, Any], models: Iterable[str]) -> str:
    """How many, or how many of how many where a limit was set."""
    judged = [row["models"][m]["sc"]["cases"] for m in models if row["models"].get(m)]
    if not judged:
        return str(row["cases"])
    least = min(judged)
    return str(least) if least == row["cases"] else f"{least} of {row['cases']}"


def further(found: Figures) -> Markup:
    """Groups of suites that the paper has not."""
    models = list(found["models"])
    rows: list[Sequence[object]] = []
    shown = ""
    for row in found["groups"]:
        if row["group"] in PAPER.get(row["suite"], {}):
            continue
        if row["suite"] != shown:
            shown = row["suite"]
            rows.append((None, title_of(shown)))
        cells = [_four(row["models"].get(model)) for model in models]
        values = [cell for one in cells for cell in one]
        rows.append((title_of(row["group"]), cases_of(row, models), *values))
    head = ("group", "cases", *(*_SCORES, "SC = 1") * len(models))
    over = (("", 2), *((model, 4) for model in models))
    return table(head, rows, over=over) if rows else Markup("")


def _four(scores: Mapping[str, Any] | None) -> tuple[Markup, ...]:
    return (*_three(scores), percent(scores["accuracy"]["value"] if scores else None))


def masked_editing(found: Figures) -> Markup:
    """O and accuracy of edits within a mask."""
    row = next((row for row in found["groups"] if row["group"] == "masked_edit"), None)
    if row is None:
        return Markup("")
    rows: list[Sequence[object]] = [
        (tag("span", f"paper: {name}", class_="paper"), number(overall), number(accuracy))
        for name, (overall, accuracy) in MASKED_EDIT.items()
    ]
    for model in found["models"]:
        scores = row["models"].get(model)
        if scores is None:
            rows.append((model, number(None), number(None)))
        else:
            rows.append((model, interval(scores["overall"]), interval(scores["accuracy"])))
    return table(("method", "O", "accuracy: SC = 1"), rows, note=f"Paper: {SOURCE}, Table 2.")


def by_references(found: Figures) -> Markup:
    """O by how many references there are."""
    models = list(found["models"])
    rows = []
    for row in found["references"]:
        cells = []
        for model in models:
            scores = row["models"][model]
            cells += [
                str(scores["sc"]["cases"]) if scores else "–",
                *(_three(scores)[::2]),
            ]
        rows.append((str(row["references"]), *cells))
    head = ("references", *("cases", "SC", "O") * len(models))
    note = "Over all suites."
    return table(head, rows, over=_over(models, 3), note=note) if rows else Markup("")


def by_condition(found: Figures) -> Markup:
    """Which condition is met, and which one spoils the case."""
    models = list(found["models"])
    rows = []
    for row in found["conditions"]:
        cells = []
        for model in models:
            one = row["models"].get(model)
            cells += [
                str(one["score"]["cases"]) if one else "–",
                meter(one["score"]) if one else "–",
                percent(one["least"]) if one else "–",
            ]
        rows.append((row["kind"], *cells))
    head = ("kind", *("cases", "score", "least consistent") * len(models))
    note = (
        "Of a case with several conditions of a kind, their mean. "
        "Least consistent: in what share of the cases with such a condition whose SC is below 1 "
        "it is the one, or one of those, that holds SC down."
    )
    return table(head, rows, over=_over(models, 3), note=note) if rows else Markup("")


def composition(found: Figures) -> Markup:
    """Task × seen, unseen concept, unseen style."""
    models = list(found["models"])
    columns = ("seen", "concept", "style")
    rows = [
        (
            title_of(row["group"]),
            *(
                meter(scores["overall"]) if (scores := row["models"][model][column]) else "–"
                for model in models
                for column in columns
            ),
        )
        for row in found["composition"]
    ]
    head = ("O", *("seen", "unseen concept", "unseen style") * len(models))
    note = "No training draws the unseen concepts and the unseen style: they are held out for good."
    return table(head, rows, over=_over(models, 3), note=note) if rows else Markup("")


def comparisons(found: Figures) -> Markup:
    """Pairs of models on the same cases and seeds."""
    rows = []
    for row in found["comparisons"]:
        name = f"{row['first']} − {row['second']}"
        overall = row["overall"]
        if overall is None:
            rows.append((name, row["suite"], *["–"] * 6))
            continue
        difference = overall["difference"]
        low, high = difference["low"], difference["high"]
        clear = low is not None and (low > 0 or high < 0)
        rows.append(
            (
                name,
                title_of(row["suite"]),
                tag("span", interval(difference), class_="clear" if clear else "unclear"),
                interval(row["sc"]["difference"]),
                interval(row["pq"]["difference"]),
                percent(overall["better"]),
                percent(overall["equal"]),
                percent(overall["worse"]),
            )
        )
    head = ("first − second", "suite", "O", "SC", "PQ", "better", "equal", "worse")
    note = (
        "Difference case by case, mean of the groups; coloured where the interval leaves 0 out. "
        "Better, equal, worse: share of the cases by O."
    )
    return table(head, rows, note=note) if rows else Markup("")


def fidelity(found: Figures) -> Markup:
    """The text's score with references minus without."""
    rows = [
        (
            row["model"],
            title_of(row["group"]),
            str(row["difference"]["cases"]) if row["difference"] else "–",
            interval(row["with"]),
            interval(row["without"]),
            interval(row["difference"]),
            percent(row["worse"]),
        )
        for row in found["fidelity"]
    ]
    head = ("model", "group", "pairs", "with", "without", "difference", "worse with")
    note = "The words' own score of the same prompt, with and without references."
    return table(head, rows, note=note) if rows else Markup("")


def no_op(found: Figures) -> Markup:
    """How far an image moves that should stay."""
    rows = [
        (row["model"], interval(row["distance"], 3), number(row["median"], 3),
         number(row["worst"], 3))
        for row in found["no_op"]
    ]  # fmt: skip
    head = ("model", "mean", "median", "worst")
    note = "Edits that ask for no change: mean absolute difference to the source, 0 to 1."
    return table(head, rows, note=note) if rows else Markup("")


def diagnosis(diagnoses: Sequence[Mapping[str, Any]]) -> Markup:
    """Roles whose references are ignored, copied or confused."""
    rows: list[Sequence[object]] = []
    for one in diagnoses:
        rows.append((None, f"{one['model']} on {title_of(one['suite'])}"))
        for role in one["roles"]:
            rows.append(
                (
                    role["role"],
                    str(role["references"]),
                    number(role["dropped"]),
                    number(role["swapped"]),
                    percent(role["ignored"]),
                    percent(role["copied"]),
                    percent(role["confused"]),
                    str(role["exchanges"]),
                )
            )
    head = (
        "role", "references", "change when dropped", "change when swapped", "ignored", "copied",
        "confused", "exchanges",
    )  # fmt: skip
    note = (
        "Changes are medians, in units of how far two images of one instruction with different "
        "seeds lie apart. Ignored: dropping and swapping change less than another seed. Copied: "
        "not ignored, and the image is nearer to the reference than to the target. Confused: "
        "exchanging its image with that of a neighbouring reference changes less than another seed."
    )
    return table(head, rows, note=note) if rows else Markup("")


def sweep(found: Figures) -> Markup:
    """A table of all settings, and curves of O along each setting that is a number."""
    several = len({row["model"] for row in found["sweep"]}) > 1
    rows = []
    for row in found["sweep"]:
        settings = ", ".join(f"{key} {value}" for key, value in row["settings"].items())
        settings = f"{row['model']}: {settings}" if several else settings
        seconds = number(row["seconds"], 3)
        rows.append((settings, title_of(row["suite"]), *_three(row["scores"]), seconds))
    if not rows:
        return Markup("")
    head = ("setting", "suite", "SC", "PQ", "O", "s an image")
    charts = [
        _chart(found["sweep"], suite, axis, several)
        for suite in dict.fromkeys(row["suite"] for row in found["sweep"])
        for axis in ("steps", "guidance", "upscaler_steps", "threshold", "seam")
    ]
    return joined([tag("div", *charts, class_="charts"), table(head, rows)])


def _chart(rows: Sequence[Mapping[str, Any]], suite: str, axis: str, several: bool) -> Markup:
    """O along one setting, a curve for each value of the others, and for each of several models."""
    lines: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in rows:
        if row["suite"] != suite or axis not in row["settings"] or not row["scores"]:
            continue
        others = [f"{k} {v}" for k, v in row["settings"].items() if k != axis]
        others = [row["model"], *others] if several else others
        one = row["scores"]["overall"]
        ends = [one["value"] if one[end] is None else one[end] for end in ("low", "high")]
        point = (float(row["settings"][axis]), one["value"], *ends)
        lines.setdefault(", ".join(others) or "O", []).append(point)
    if not any(len(line) > 1 for line in lines.values()):
        return Markup("")
    return curves(f"{title_of(suite)}: O against {axis}", axis, lines)


def speed(found: Figures) -> Markup:
    """Seconds of an image."""
    rows = [(row["model"], str(row["images"]), number(row["seconds"], 3)) for row in found["speed"]]
    note = "In one process, with as many cores as it had; see run.json."
    return table(("model", "images", "s an image"), rows, note=note) if rows else Markup("")
