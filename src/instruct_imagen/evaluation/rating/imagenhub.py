"""Ratings in ImagenHub's form: a file of tab-separated values for each task and rater.

As in the folder ``eval/human_ratings`` of ImagenHub's repository: ``TASK/TASK_RATER.tsv``, its
first column ``uid``, then a column a method with cells ``[SC, PQ]``. A case ``edge_to_image/0007``
is the row ``0007`` of the task ``edge_to_image``. The form has no place for times and for which
pixels were shown: these two do not come back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.base import SCORES
from instruct_imagen.evaluation.rating.storage import Rating, rater_name

_CELL = re.compile(r"\[\s*([0-9.]+)\s*,\s*([0-9.]+)\s*\]")


def write_ratings(folder: Path, ratings: Iterable[Rating]) -> list[Path]:
    """Writes ratings; an image that a rater of the case has not rated is an empty cell.

    Args:
        folder: Is made if missing; files of the same names are replaced.
        ratings: One for each case, method and rater.

    Returns:
        The files.

    Raises:
        EvaluationError: A name cannot stand in such a file.
    """
    tables: dict[tuple[str, str], dict[str, dict[str, Rating]]] = {}
    for rating in ratings:
        task, _, uid = rating.case.partition("/")
        _check_names(rating, task, uid)
        table = tables.setdefault((task, rating.rater), {})
        table.setdefault(uid, {})[rating.method] = rating
    written = []
    for (task, rater), table in sorted(tables.items()):
        methods = sorted({method for row in table.values() for method in row})
        lines = ["\t".join(["uid", *methods])]
        for uid, row in sorted(table.items()):
            lines.append("\t".join([uid, *(_cell(row.get(method)) for method in methods)]))
        path = folder / task / f"{task}_{rater}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        written.append(path)
    return written


def _check_names(rating: Rating, task: str, uid: str) -> None:
    if not task or not uid or task.startswith(".") or re.search(r"[\\\0]", task):
        raise EvaluationError(
            f"case '{rating.case}' cannot be exported: its id must be a task, a slash and a number"
        )
    for name in (rating.case, rating.method):
        if name != name.strip() or re.search(r"[\t\r\n]", name):
            raise EvaluationError(f"'{name!r}' cannot stand in a TSV file: rename it")


def _cell(rating: Rating | None) -> str:
    return "" if rating is None else f"[{rating.sc:g}, {rating.pq:g}]"


def rating_files(places: Sequence[Path]) -> list[Path]:
    """The files named, and all ``.tsv`` files in the folders named.

    Raises:
        EvaluationError: A place is missing or a folder has none.
    """
    found: list[Path] = []
    for place in places:
        inside = sorted(place.rglob("*.tsv")) if place.is_dir() else [place]
        if not inside or not inside[0].is_file():
            raise EvaluationError(f"there are no ratings at '{place}': name .tsv files or a folder")
        found += inside
    return found


def read_ratings(path: Path) -> list[Rating]:
    """The ratings of a file, ours or ImagenHub's.

    Task and rater are read from its name: what follows the name of its folder and ``_`` is the
    rater, and in another folder what follows the last ``_``.

    Raises:
        EvaluationError: The name, a line or a cell is not of this form; names the place.
    """
    task, rater = _task_and_rater(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: is not UTF-8 text: save it as such") from error
    header = [name.strip() for name in lines[0].split("\t")] if lines else [""]
    methods = header[1:]
    if header[0] != "uid" or not methods or "" in methods or len(set(methods)) < len(methods):
        raise EvaluationError(
            f"{path}: line 1 must be 'uid' and the names of different methods, between tabs"
        )
    ratings: list[Rating] = []
    seen: set[str] = set()
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        uid, *cells = (cell.strip() for cell in line.split("\t"))
        if len(cells) != len(methods) or not uid or uid in seen:
            fault = f"uid '{uid}' is there twice" if uid in seen else "a uid and a cell a method"
            raise EvaluationError(f"{path}: line {number} has {len(cells)} cells; needed: {fault}")
        seen.add(uid)
        for method, cell in zip(methods, cells, strict=True):
            if cell:
                sc, pq = _scores(cell, f"{path}: line {number}, {method}")
                ratings.append(
                    Rating(case=f"{task}/{uid}", method=method, rater=rater, sc=sc, pq=pq)
                )
    return ratings


def _task_and_rater(path: Path) -> tuple[str, str]:
    task = path.parent.name
    rater = path.stem.removeprefix(f"{task}_")
    if rater == path.stem:
        task, _, rater = path.stem.rpartition("_")
    if not task or not rater:
        raise EvaluationError(f"{path}: must be named TASK_RATER.tsv")
    return task, rater_name(rater)


def _scores(cell: str, place: str) -> tuple[float, float]:
    found = _CELL.fullmatch(cell)
    try:
        values = tuple(float(value) for value in found.groups()) if found else ()
    except ValueError:
        values = ()
    if len(values) != 2 or not set(values) <= set(SCORES):
        raise EvaluationError(f"{place}: must be [SC, PQ] of 0, 0.5 and 1, not '{cell}'")
    return values[0], values[1]
