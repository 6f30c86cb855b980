"""The report of an evaluation folder: HTML, JSON and a Markdown table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instruct_imagen.data.shards.layout import write_whole
from instruct_imagen.data.world.sources import WorldUnavailable
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.report.galleries import galleries
from instruct_imagen.evaluation.report.markdown import markdown
from instruct_imagen.evaluation.report.page import page
from instruct_imagen.evaluation.report.results import Results, read_results
from instruct_imagen.evaluation.report.tables import figures
from instruct_imagen.evaluation.suites.base import Suite
from instruct_imagen.images import ImageError

PAGE, DATA, TABLE = "report.html", "report.json", "report.md"
DIAGNOSIS = "diagnosis.json"


def write_report(
    folder: Path, open_suite: Callable[[str], Suite], judge: str | None = None
) -> tuple[Path, int]:
    """Writes `PAGE`, `DATA` and `TABLE`.

    Args:
        folder: As `evaluate` leaves it.
        open_suite: Gives a suite as the user named it, for the pictures of its cases.
        judge: Whose verdicts; None for the only one there.

    Returns:
        The page's path, and how many cases failed.

    Raises:
        EvaluationError: See `read_results`.
    """
    results = read_results(folder, judge)
    found = figures(results)
    diagnoses = read_diagnoses(results)
    note = ""
    try:
        pictures = galleries(results, lambda name: _cases(results, name, open_suite))
    except (EvaluationError, WorldUnavailable, ImageError) as error:
        pictures, note = [], f"There are no pictures: {error}"
    write_whole(folder / DATA, json.dumps({**found, "diagnoses": diagnoses}, indent=1) + "\n")
    write_whole(folder / TABLE, markdown(found))
    write_whole(folder / PAGE, page(found, diagnoses, pictures, note=note))
    return folder / PAGE, len(results.failures)


def _cases(results: Results, name: str, open_suite: Callable[[str], Suite]) -> Sequence[Case]:
    """The cases of a suite at the size of its first model.

    Raises:
        EvaluationError: The suite has changed since.
    """
    run = next(r for (kind, n, _), r in results.runs.items() if (kind, n) == ("suite", name))
    suite = open_suite(run["suite"]["spec"])
    if suite.sha256 != run["suite"]["sha256"]:
        raise EvaluationError(f"the suite {name} has changed since it was evaluated")
    return suite.cases(run["model"]["size"])


def read_diagnoses(results: Results) -> list[Mapping[str, Any]]:
    """What `diagnose` has found, each model and suite."""
    found = []
    for (purpose, suite, model), folder in results.folders.items():
        path = folder / DIAGNOSIS
        if purpose == "diagnosis" and path.is_file():
            found.append({"suite": suite, "model": model, "roles": json.loads(path.read_text())})
    return found
