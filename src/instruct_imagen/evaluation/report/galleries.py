"""Pictures of the report: best, median and worst cases of each group, all models side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.record import image_path
from instruct_imagen.evaluation.report.html import Markup, figure, joined, number, tag
from instruct_imagen.evaluation.report.results import Results, Scored
from instruct_imagen.evaluation.report.tables import grouped

Cases = Callable[[str], Sequence[Case]]
"""Cases of a suite by its name, at the size of its model."""

MAX_BYTES = 20_000_000
"""Of all pictures: a page that can be sent."""


def ranked(scored: Sequence[Scored]) -> list[Scored]:
    """From the best to the worst; equal ones by the mean of their conditions, then by id."""

    def key(one: Scored) -> tuple[float, float, str]:
        values = [value for _, value, _, _ in one.judgement.scores]
        return -one.judgement.overall, -sum(values) / len(values), one.case.id

    return sorted(scored, key=key)


def picked(scored: Sequence[Scored]) -> dict[str, Scored]:
    """The best, the median and the worst of a group, each once."""
    order = ranked(scored)
    places = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
    chosen: dict[str, Scored] = {}
    for name, place in places.items():
        if order[place] not in chosen.values():
            chosen[name] = order[place]
    return chosen


def galleries(results: Results, cases: Cases) -> list[tuple[str, str, Markup]]:
    """(suite, group, pictures), picked by the first model's scores, until `MAX_BYTES`."""
    made = []
    used = 0
    for suite in results.suites:
        first = next((m for m in results.models if ("suite", suite, m) in results.runs), None)
        if first is None:
            continue
        others = {
            model: {one.case.id: one for one in results.of(model, lambda s, n=suite: s.suite == n)}
            for model in results.models
        }
        every = cases(suite)
        groups = grouped(results.of(first, lambda one, n=suite: one.suite == n))
        for group, scored in groups.items():
            rows = [
                _row(name, one, every[one.case.index], others)
                for name, one in picked(scored).items()
            ]
            page = joined(rows)
            used += len(page)
            if used > MAX_BYTES:
                words = (
                    f"From here on there are no pictures: the page has {MAX_BYTES:,} bytes of them."
                )
                return [*made, (suite, group, tag("p", words, class_="note"))]
            made.append((suite, group, page))
    return made


def _row(
    name: str, chosen: Scored, case: Case, models: Mapping[str, Mapping[str, Scored]]
) -> Markup:
    """One case: its words, references and target, and what each model made of it."""
    shown = [
        figure(one.image, f"[ref#{one.marker}] {one.text}", one.role or "")
        for one in case.instruction.references
    ]
    if case.target is not None:
        shown.append(figure(case.target, "target"))
    answers = []
    for model, scored in models.items():
        one = scored.get(chosen.case.id)
        if one is None:
            answers.append(tag("div", tag("p", f"{model}: none"), class_="answer"))
            continue
        image = figure(image_path(one.folder, one.case.id), model)
        answers.append(tag("div", image, _reasons(one), class_="answer"))
    head = tag("p", tag("b", name), " ", tag("code", chosen.case.id), " ", case.instruction.text)
    return tag("div", head, tag("div", *shown, *answers, class_="row"), class_="case")


def _reasons(one: Scored) -> Markup:
    """Scores, and why."""
    items = [
        tag("li", tag("b", f"{condition} {value:g}"), f" {reason}", class_=_class(value))
        for condition, value, reason, _ in one.judgement.scores
    ]
    quality = one.judgement.pq
    items.append(
        tag(
            "li", tag("b", f"PQ {quality:g}"), f" {one.judgement.pq_reason}", class_=_class(quality)
        )
    )
    items.append(tag("li", tag("b", "O ", number(one.judgement.overall))))
    return tag("ul", *items)


def _class(value: float) -> str:
    return {0.0: "no", 0.5: "partly"}.get(value, "yes")
