"""Table 4 with our figures in Markdown, for documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from instruct_imagen.evaluation.report.paper import AVERAGES, PAPER
from instruct_imagen.evaluation.report.sections import cases_of
from instruct_imagen.evaluation.report.tables import Figures


def markdown(found: Figures) -> str:
    """The paper's rows, then all others; a line a group."""
    models = list(found["models"])
    head = ["task", "cases", "paper SC / PQ / O", *(f"{model} SC / PQ / O" for model in models)]
    lines = [_line(head), _line(["---"] * len(head))]
    ours = {(row["suite"], row["group"]): row for row in found["groups"]}
    for suite, tasks in PAPER.items():
        shown = [group for group in tasks if (suite, group) in ours]
        for group in shown:
            row, facts = ours[suite, group], tasks[group]
            paper = f"{facts.sc:.2f} / {facts.pq:.2f} / {facts.overall:.2f}"
            count = cases_of(row, models)
            lines.append(_line([facts.title, count, paper, *_cells(row, models)]))
        if shown:
            facts, average = AVERAGES[suite], found["averages"][suite]
            paper = f"{facts.sc:.2f} / {facts.pq:.2f} / **{facts.overall:.2f}**"
            cells = [_average(average.get(model)) for model in models]
            lines.append(_line([f"**{facts.title}**", "", paper, *cells]))
    for (suite, group), row in ours.items():
        if group not in PAPER.get(suite, {}):
            name = f"{suite}: {group}".replace("_", " ")
            lines.append(_line([name, cases_of(row, models), "–", *_cells(row, models)]))
    count = len(found["failures"])
    note = f"\n{'1 case' if count == 1 else f'{count:,} cases'} failed.\n" if count else ""
    return "\n".join(lines) + "\n" + note


def _cells(row: Mapping[str, Any], models: Sequence[str]) -> list[str]:
    return [_three(row["models"].get(model)) for model in models]


def _average(scores: Mapping[str, Any] | None) -> str:
    """With the number of tasks where it is not over all of the paper's."""
    words = _three(scores)
    if scores is None or scores["tasks"] == scores["of"]:
        return words
    return f"{words}, {scores['tasks']} of {scores['of']} tasks"


def _three(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return "–"
    means = " / ".join(f"{scores[name]['value']:.2f}" for name in ("sc", "pq", "overall"))
    low, high = scores["overall"]["low"], scores["overall"]["high"]
    return means if low is None else f"{means} ({low:.2f}–{high:.2f})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
