"""The four claims of the paper, tested on what `runs/claims.sh` has trained and evaluated.

Every claim is that one way of training is better than another at an equal budget; the difference
is paired, case by case, and has an interval. A claim that the figures refute is reported as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.report.paper import AVERAGES, IN_DOMAIN, MASKED_EDIT, ZERO_SHOT
from instruct_imagen.evaluation.report.results import Results, Scored, read_results
from instruct_imagen.evaluation.report.tables import MEASURES, without_nan
from instruct_imagen.evaluation.statistics import Comparison, Estimate, compare, group_average

SINGLE = "single-{group}"
"""Arm of the model that is trained for a row of the table alone."""

TUNED, STAGE_1 = "Instruct-Imagen, fine-tuned", "stage-1 model, fine-tuned"


Measure = Literal["overall", "accuracy", "sc"]
"""One of `report.tables.MEASURES`."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """That the arm `first` is better than `second`.

    Attributes:
        title: In words.
        source: Where the paper says so.
        suite: On whose cases.
        groups: Rows that are averaged.
        first: Arm, see `recipes.claims`.
        second: Arm, or `SINGLE`.
        measure: What is compared.
        paper: What the paper has for either; None where it says nothing of this measure.
    """

    title: str
    source: str
    suite: str
    groups: tuple[str, ...]
    first: str
    second: str
    measure: Measure = "overall"
    paper: tuple[float, float] | None

    def arms_of(self, group: str) -> tuple[str, str]:
        """Those that are compared on a row."""
        return self.first, self.second.format(group=group)


_ALL = {"in_domain": tuple(IN_DOMAIN), "zero_shot": tuple(ZERO_SHOT)}
FEW = "few_{part}"
"""Suite of the arms' small world (`suites.composition`) for a part of the tables."""


def _against(title: str, source: str, part: str, second: str, paper: float, own: float) -> Claim:
    return Claim(
        title=title, source=source, suite=FEW.format(part=part), groups=_ALL[part],
        first="instruct", second=second, paper=(own, paper),
    )  # fmt: skip


def _masked(what: str, measure: Measure) -> Claim:
    place = ("overall", "accuracy").index(measure)
    return Claim(
        title=f"fine-tuned on masked edits, it is better than a fine-tuned stage-1 model: {what}",
        source="Table 2",
        suite=FEW.format(part="masked_edits"),
        groups=("masked_edit",),
        first="masked_edit",
        second="masked_edit_stage_1",
        measure=measure,
        paper=(MASKED_EDIT[TUNED][place], MASKED_EDIT[STAGE_1][place]),
    )


_SINGLE = AVERAGES["in_domain"].single
_MULTI = {suite: AVERAGES[suite].multi for suite in _ALL}
assert _SINGLE is not None
_OF_O = (
    _against(
        "one model is better than one model for each task", "Table 4", "in_domain", SINGLE,
        _SINGLE, AVERAGES["in_domain"].overall,
    ),
    *(
        _against(
            f"instruction is better than the same mixture without: {suite.replace('_', '-')}",
            "Table 4", suite, "multi_task", _MULTI[suite] or 0.0, AVERAGES[suite].overall,
        )
        for suite in _ALL
    ),
    _against(
        "retrieval-augmented training is better than none: in-domain", "Table 3", "in_domain",
        "no_retrieval", 0.55, 0.79,
    ),
    _against(
        "retrieval-augmented training is better than none: zero-shot", "Table 3", "zero_shot",
        "no_retrieval", 0.53, 0.59,
    ),
    _masked("O", "overall"),
)  # fmt: skip


def _in_sc(claim: Claim) -> Claim:
    """The same of SC: images that are all badly drawn have an O of 0 whatever they are of."""
    return replace(claim, title=f"{claim.title} (SC)", measure="sc", paper=None)


CLAIMS = (
    *(one for claim in _OF_O for one in (claim, _in_sc(claim))),
    _masked("accuracy", "accuracy"),
)
"""What a reproduction must show ([Hu24] Tables 2 to 4)."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the figures say of a claim.

    Attributes:
        claim: The claim.
        verdict: ``yes`` or ``no`` where the interval of the difference leaves 0 out and all seeds
            agree in its sign, else ``undecided``.
        first: Mean of the first arm.
        second: Mean of the second.
        comparison: First minus second, case by case, averaged over seeds.
        by_seed: The difference of each seed.
        by_group: The difference on each row.
    """

    claim: Claim
    verdict: Literal["yes", "no", "undecided"]
    first: Estimate
    second: Estimate
    comparison: Comparison
    by_seed: Mapping[str, float]
    by_group: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(without_nan(asdict(self)))


Scores = Mapping[tuple[str, str, str], Mapping[str, Mapping[str, float]]]
"""(arm, suite, group) → case → measure → value."""


def read_claims(folder: Path, judge: str | None = None) -> dict[str, Scores]:
    """Seed → scores, of a folder with ``<seed>/evaluation/<suite>/<model>``.

    Raises:
        EvaluationError: There is none, some case has no score (then no mean is honest), an arm was
            evaluated twice, or seeds were evaluated on different cases.
    """
    found = {}
    for path in sorted(folder.glob("*/evaluation")):
        results = read_results(path, judge)
        if results.failures:
            one = results.failures[0]
            raise EvaluationError(
                f"{path}: cases without a score: {len(results.failures)}, the first {one.case} "
                f"of {one.model} ({one.error}): run runs/claims.sh again"
            )
        found[path.parent.name] = _scores(results, path)
    _check_cases(found, folder)
    if not found:
        raise EvaluationError(f"{folder} has no <seed>/evaluation: run runs/claims.sh first")
    return found


def _check_cases(seeds: Mapping[str, Scores], folder: Path) -> None:
    """Raises unless a row has the same cases with every seed: means over seeds are of a case."""
    cases: dict[tuple[str, str, str], set[str]] = {}
    for seed, scores in seeds.items():
        for key, own in scores.items():
            if cases.setdefault(key, set(own)) != set(own):
                raise EvaluationError(
                    f"{folder}: {seed} has other cases of {key[2]} than another seed: run "
                    "runs/claims.sh with all seeds and one LIMIT"
                )


def _scores(results: Results, path: Path) -> Scores:
    table: dict[tuple[str, str, str], dict[str, Mapping[str, float]]] = {}
    for one in results.scored:
        key = arm_of(results, one), one.suite, one.case.group
        row = table.setdefault(key, {})
        if one.case.id in row:
            raise EvaluationError(
                f"{path}: {key[0]} was evaluated in two settings: move the folder of one away"
            )
        row[one.case.id] = {name: of(one) for name, of in MEASURES.items()}
    return table


def arm_of(results: Results, scored: Scored) -> str:
    """The arm whose model drew an image: the folder that its export lies in."""
    spec = results.runs["suite", scored.suite, scored.model]["model"]["spec"]
    path = spec.partition("model=")[2].partition(",")[0] or spec.partition(":")[0]
    return Path(path).parent.name


def find(claim: Claim, seeds: Mapping[str, Scores]) -> Finding | None:
    """What the figures say of a claim, over the seeds that have both arms whole; None for none."""
    pairs = {
        seed: found
        for seed, scores in seeds.items()
        if (found := _pairs(claim, scores)) is not None
    }
    if not pairs:
        return None
    first, second = (
        [np.mean([pairs[seed][group][place] for seed in pairs], axis=0) for group in claim.groups]
        for place in (0, 1)
    )
    comparison = compare(first, second)
    by_seed = {
        seed: float(np.mean([np.mean(one) - np.mean(other) for one, other in rows.values()]))
        for seed, rows in pairs.items()
    }
    return Finding(
        claim=claim,
        verdict=_verdict(comparison.difference, list(by_seed.values())),
        first=group_average(first),
        second=group_average(second),
        comparison=comparison,
        by_seed=by_seed,
        by_group={
            group: float(np.mean(one) - np.mean(other))
            for group, one, other in zip(claim.groups, first, second, strict=True)
        },
    )


def _verdict(difference: Estimate, by_seed: Sequence[float]) -> Literal["yes", "no", "undecided"]:
    agreed = all(one > 0 for one in by_seed) or all(one < 0 for one in by_seed)
    if not (difference.clear and agreed):
        return "undecided"
    return "yes" if difference.value > 0 else "no"


def _pairs(claim: Claim, scores: Scores) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    """Group → values of both arms on the same cases; None where an arm or a row is missing."""
    found = {}
    for group in claim.groups:
        one, other = (scores.get((arm, claim.suite, group), {}) for arm in claim.arms_of(group))
        cases = sorted(one)
        if not cases or cases != sorted(other):
            return None
        found[group] = tuple(
            np.array([values[case][claim.measure] for case in cases]) for values in (one, other)
        )
    return found


def _ends(delta: Estimate) -> str:
    """Of its interval; a row of a single case has none."""
    return "" if np.isnan(delta.low) else f" [{delta.low:+.3f}, {delta.high:+.3f}]"


def claims_table(findings: Sequence[Finding | None]) -> str:
    """A Markdown table, a row for each of `CLAIMS`."""
    rows = [
        "| claim | paper | ours | difference [95%] | better / equal / worse | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for claim, found in zip(CLAIMS, findings, strict=True):
        theirs = "–" if claim.paper is None else "{:.2f} / {:.2f}".format(*claim.paper)
        paper = f"{theirs} ({claim.source})"
        if found is None:
            rows.append(f"| {claim.title} | {paper} | – | – | – | not run yet |")
            continue
        delta, shares = found.comparison.difference, found.comparison
        rows.append(
            f"| {claim.title} | {paper} | {found.first.value:.2f} / {found.second.value:.2f} "
            f"| {delta.value:+.3f}{_ends(delta)} "
            f"| {shares.better:.0%} / {shares.equal:.0%} / {shares.worse:.0%} "
            f"| **{found.verdict}** ({len(found.by_seed)} seed{'s' * (len(found.by_seed) > 1)}) |"
        )
    return "\n".join(rows) + "\n"
