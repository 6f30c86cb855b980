"""From scores to the figures of the report, as plain JSON types."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from instruct_imagen.evaluation import statistics
from instruct_imagen.evaluation.case import UNSEEN
from instruct_imagen.evaluation.peers.registry import PIPELINE
from instruct_imagen.evaluation.report.paper import PAPER
from instruct_imagen.evaluation.report.results import Results, Scored

Figures = dict[str, Any]

MEASURES: Mapping[str, Callable[[Scored], float]] = {
    "sc": lambda one: one.judgement.sc,
    "pq": lambda one: one.judgement.pq,
    "overall": lambda one: one.judgement.overall,
    "accuracy": lambda one: float(one.judgement.sc == 1),
}
"""What is averaged over cases; accuracy is the share with SC = 1 ([Hu24] Table 2)."""


def figures(results: Results) -> Figures:
    """Everything that the report shows in numbers; None for what is none."""
    found = {
        "judge": results.judge,
        "models": {
            model: next(
                run["model"] for (_, _, label), run in results.runs.items() if label == model
            )
            for model in results.models
        },
        "suites": {name: dict(groups) for name, groups in results.suites.items()},
        "groups": group_table(results),
        "averages": averages(results),
        "references": by_references(results),
        "conditions": by_condition(results),
        "composition": composition(results),
        "comparisons": comparisons(results),
        "fidelity": fidelity(results),
        "no_op": no_op(results),
        "sweep": sweep(results),
        "speed": speed(results),
        "failures": [asdict(one) for one in results.failures],
    }
    return dict(without_nan(found))


def without_nan(value: Any) -> Any:
    """JSON has no word for what is not a number."""
    if isinstance(value, Mapping):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def estimates(scored: Sequence[Scored]) -> Figures | None:
    """Means of all `MEASURES` with their intervals; None where there is no case."""
    if not scored:
        return None
    return {
        name: asdict(statistics.mean([measure(one) for one in scored]))
        for name, measure in MEASURES.items()
    }


def grouped(scored: Iterable[Scored]) -> dict[str, list[Scored]]:
    """By group, in the order in which they come."""
    found: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        found[one.case.group].append(one)
    return dict(found)


def group_table(results: Results) -> list[Figures]:
    """A row for each group of each suite: cases, and each model's means (None if any failed)."""
    rows = []
    for suite, groups in results.suites.items():
        for group, count in groups.items():
            cells = {}
            for model in results.models:
                if ("suite", suite, model) not in results.runs:
                    continue
                own = results.of(model, _in(group, suite))
                failed = results.failed(model, [group], suite)
                cells[model] = None if failed else estimates(own)
            rows.append({"suite": suite, "group": group, "cases": count, "models": cells})
    return rows


def _in(group: str, suite: str) -> Callable[[Scored], bool]:
    return lambda one: one.case.group == group and one.suite == suite


def averages(results: Results) -> Figures:
    """In-domain and zero-shot averages over the paper's tasks, each model.

    Of a model with a failed case among them there is none; where tasks are missing, it says of how
    many it is.
    """
    found: Figures = {}
    for suite, rows in PAPER.items():
        found[suite] = {}
        for model in results.models:
            own = grouped(results.of(model, _of_suite(suite)))
            own = {group: cases for group, cases in own.items() if group in rows}
            if results.failed(model, rows, suite) or not own:
                found[suite][model] = None
                continue
            found[suite][model] = {
                "tasks": len(own),
                "of": len(rows),
                **{
                    name: asdict(
                        statistics.group_average([[of(s) for s in g] for g in own.values()])
                    )
                    for name, of in MEASURES.items()
                },
            }
    return found


def _of_suite(suite: str) -> Callable[[Scored], bool]:
    return lambda one: one.suite == suite


def by_references(results: Results) -> list[Figures]:
    """Means by how many references a case has; none of a model of which any case failed."""
    counts = sorted({one.case.references for one in results.scored})
    return [
        {
            "references": count,
            "models": {
                model: None
                if results.failed(model)
                else estimates(results.of(model, lambda one, c=count: one.case.references == c))
                for model in results.models
            },
        }
        for count in counts
    ]


def by_condition(results: Results) -> list[Figures]:
    """For each kind of condition: its mean, and how often it is the one that holds SC down.

    A case with several of a kind counts once, with their mean: cases are what is resampled.

    ``least`` is the share, of the cases with the condition whose SC is below 1, in which it is (or
    shares) the least consistent one. There is nothing of a model of which any case failed.
    """
    rows: dict[str, dict[str, Any]] = {}
    for model in results.models:
        if results.failed(model):
            continue
        scores: dict[str, list[float]] = defaultdict(list)
        least: dict[str, list[bool]] = defaultdict(list)
        for one in results.of(model):
            kinds = {name: kind for name, kind, _ in one.case.conditions}
            worst = one.judgement.sc
            own: dict[str, list[float]] = defaultdict(list)
            for name, value, _, _ in one.judgement.scores:
                own[kinds[name]].append(value)
            for kind, values in own.items():
                scores[kind].append(float(np.mean(values)))
                if worst < 1:
                    least[kind].append(min(values) == worst)
        for kind, values in scores.items():
            share = float(np.mean(least[kind])) if least[kind] else None
            rows.setdefault(kind, {})[model] = {
                "score": asdict(statistics.mean(values)),
                "least": share,
                "below": len(least[kind]),
            }
    return [{"kind": kind, "models": models} for kind, models in sorted(rows.items())]


def composition(results: Results) -> list[Figures]:
    """Task × what of it no training has shown; what is seen comes from the paper's suites."""
    tasks = dict.fromkeys(one.case.group for one in results.scored if one.case.unseen)
    return [
        {
            "group": group,
            "models": {
                model: {
                    unseen or "seen": None
                    if results.failed(model, [group])
                    else estimates(results.of(model, _shows(group, unseen)))
                    for unseen in UNSEEN
                }
                for model in results.models
            },
        }
        for group in tasks
    ]


def _shows(group: str, unseen: str) -> Callable[[Scored], bool]:
    return lambda one: (
        (one.case.group, one.case.unseen) == (group, unseen) and (unseen or one.suite in PAPER)
    )


def comparisons(results: Results) -> list[Figures]:
    """Each pair of models on the cases that both answered; None where one of them failed."""
    rows = []
    for first, second in combinations(results.models, 2):
        for suite, groups in results.suites.items():
            row: Figures = {"first": first, "second": second, "suite": suite, "overall": None}
            rows.append(row)
            if results.failed(first, groups, suite) or results.failed(second, groups, suite):
                continue
            keep = _of_suite(suite)
            pairs = _paired(results.of(first, keep), results.of(second, keep))
            if not pairs:
                rows.pop()
                continue
            for name in ("overall", "sc", "pq"):
                measure = MEASURES[name]
                sides = [[[measure(p[side]) for p in g] for g in pairs] for side in (0, 1)]
                row[name] = asdict(statistics.compare(*sides))
    return rows


def _paired(first: Sequence[Scored], second: Sequence[Scored]) -> list[list[tuple[Scored, Scored]]]:
    """The same cases of both, by group of a suite."""
    other = {(one.suite, one.case.id): one for one in second}
    found: dict[tuple[str, str], list[tuple[Scored, Scored]]] = defaultdict(list)
    for one in first:
        if (pair := other.get((one.suite, one.case.id))) is not None:
            found[one.suite, one.case.group].append((one, pair))
    return list(found.values())


def fidelity(results: Results) -> list[Figures]:
    """What references cost the words: the text's score with them minus without, each group."""
    rows = []
    for model in results.models:
        by_id = {(one.suite, one.case.id): one for one in results.of(model)}
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        suite_of: dict[str, str] = {}
        for one in results.of(model, lambda one: bool(one.case.pair)):
            other = by_id.get((one.suite, one.case.pair))
            scores = [text_score(case) for case in (one, other) if case is not None]
            if len(scores) == 2 and None not in scores:
                found[one.case.group].append((scores[0], scores[1]))  # type: ignore[arg-type]
                suite_of[one.case.group] = one.suite
        for group, pairs in found.items():
            if results.failed(model, suite=suite_of[group]):
                missing = dict.fromkeys(("with", "without", "difference", "worse"))
                rows.append({"model": model, "group": group, **missing})
                continue
            with_, without = zip(*pairs, strict=True)
            rows.append(
                {
                    "model": model,
                    "group": group,
                    "with": asdict(statistics.mean(with_)),
                    "without": asdict(statistics.mean(without)),
                    **asdict(statistics.compare([with_], [without])),
                }
            )
    return rows


def text_score(one: Scored) -> float | None:
    """Of the words' condition."""
    kinds = {name: kind for name, kind, _ in one.case.conditions}
    return next((v for name, v, _, _ in one.judgement.scores if kinds[name] == "text"), None)


NO_OP = "no_op"


def no_op(results: Results) -> list[Figures]:
    """How far images move that should stay: mean absolute difference to the source, 0 to 1."""
    rows = []
    for model in results.models:
        moved = [
            one.answer.target_distance
            for one in results.of(model, lambda one: one.case.group == NO_OP)
            if one.answer.target_distance is not None
        ]
        if moved and results.failed(model, [NO_OP]):
            rows.append({"model": model, **dict.fromkeys(("distance", "median", "worst"))})
        elif moved:
            rows.append(
                {
                    "model": model,
                    "distance": asdict(statistics.mean(moved)),
                    "median": float(np.median(moved)),
                    "worst": max(moved),
                }
            )
    return rows


def sweep(results: Results) -> list[Figures]:
    """Means of each setting of a sweep, over all of its cases alike."""
    found: dict[tuple[str, str], list[Scored]] = defaultdict(list)
    for one in results.swept:
        found[one.suite, one.model].append(one)
    rows = []
    for (purpose, suite, label), run in results.runs.items():
        if purpose != "sweep":
            continue
        failed = any(
            (f.purpose, f.suite, f.model) == (purpose, suite, label) for f in results.failures
        )
        own = found[suite, label]
        rows.append(
            {
                "suite": suite,
                "model": run["model"]["spec"].removeprefix(f"{PIPELINE}:model="),
                "settings": run["settings"],
                "seconds": float(np.mean([s.answer.seconds for s in own])) if own else None,
                "scores": None if failed else estimates(own),
            }
        )
    return sorted(rows, key=lambda row: (row["suite"], row["model"], _order(row["settings"])))


def _order(settings: Mapping[str, str]) -> list[tuple[float, str]]:
    """Numbers by size, words by their letters."""
    return [(float(v) if v.replace(".", "", 1).isdigit() else 0.0, v) for v in settings.values()]


def speed(results: Results) -> list[Figures]:
    """Seconds of an image in its process, each model."""
    rows = []
    for model in results.models:
        taken = [one.answer.seconds for one in results.of(model)]
        if taken:
            rows.append({"model": model, "images": len(taken), "seconds": float(np.mean(taken))})
    return rows
