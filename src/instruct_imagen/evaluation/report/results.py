"""Reads what runs have left: scores of every case, and every failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.registry import PIPELINE
from instruct_imagen.evaluation.record import (
    RUN,
    Answer,
    CaseFacts,
    Judgement,
    judges_in,
    read_answers,
    read_judgements,
    read_run,
)
from instruct_imagen.evaluation.report.paper import PAPER
from instruct_imagen.evaluation.runner import selected


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A case that a model has answered and the judge has scored.

    Attributes:
        folder: Of the run, where its image lies.
        suite: Name of the suite.
        model: Label of the model.
        answer: The image.
        judgement: Its scores.
    """

    folder: Path
    suite: str
    model: str
    answer: Answer
    judgement: Judgement

    @property
    def case(self) -> CaseFacts:
        """Of the case."""
        return self.answer.case


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A case without a score, or a run that cannot be believed.

    Attributes:
        purpose: Of its run: ``suite``, ``sweep`` or ``diagnosis``.
        suite: Name of the suite.
        model: Label of the model.
        group: Of the case; empty for all of the run.
        case: Its id, or what is known of it.
        error: Why.
    """

    purpose: str
    suite: str
    model: str
    group: str
    case: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of an evaluation folder, by one judge.

    Attributes:
        judge: Name of the judge.
        runs: What each run is of, with its ``suite`` and ``model`` by (purpose, suite, label).
        folders: Of the runs, by the same.
        scored: Cases of the suites.
        swept: Cases of sweeps, with their settings in `runs`.
        failures: Of suites and sweeps.
    """

    judge: str
    runs: Mapping[tuple[str, str, str], Mapping[str, Any]]
    folders: Mapping[tuple[str, str, str], Path]
    scored: tuple[Scored, ...]
    swept: tuple[Scored, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def models(self) -> list[str]:
        """Labels of the models: pipelines of ours first, then by name."""
        kinds = {
            model: run["model"]["kind"]
            for (purpose, _, model), run in self.runs.items()
            if purpose == "suite"
        }
        return sorted(kinds, key=lambda model: (kinds[model] != PIPELINE, model))

    @property
    def suites(self) -> dict[str, Mapping[str, int]]:
        """Suite → its groups with their counts; the paper's suites first."""
        found = {
            suite: dict(run["suite"]["groups"])
            for (kind, suite, _), run in self.runs.items()
            if kind == "suite"
        }
        first = {suite: found[suite] for suite in PAPER if suite in found}
        return {**first, **found}

    def of(self, model: str, keep: Callable[[Scored], bool] = lambda scored: True) -> list[Scored]:
        """A model's scored cases that `keep` wants."""
        return [one for one in self.scored if one.model == model and keep(one)]

    def failed(self, model: str, groups: Iterable[str] | None = None, suite: str = "") -> bool:
        """Whether any case of some or all groups failed, in any or one suite: no mean is honest.

        Failures of sweeps and diagnoses are of other images, and leave the means as they are.
        """
        names = None if groups is None else set(groups)
        return any(
            one.purpose == "suite" and one.model == model
            and (names is None or one.group in names or not one.group)
            and (not suite or one.suite == suite)
            for one in self.failures
        )  # fmt: skip


def read_results(folder: Path, judge: str | None = None) -> Results:
    """Reads every run below a folder.

    Args:
        folder: As `evaluate` leaves it: runs two levels down.
        judge: Whose verdicts; None for the only one there.

    Raises:
        EvaluationError: There is no run, no such judge, or several to choose from; or two runs
            would be one in the tables.
    """
    paths = sorted(path.parent for path in folder.glob(f"*/*/{RUN}"))
    if not paths:
        raise EvaluationError(f"{folder} holds no evaluation: name what `evaluate --out` wrote")
    known = sorted({name for path in paths for name in judges_in(path)})
    if judge is None and len(known) > 1:
        raise EvaluationError(f"{folder} has verdicts of {', '.join(known)}: choose with --judge")
    name = judge or (known[0] if known else "")
    if judge and judge not in known:
        raise EvaluationError(
            f"{folder} has no verdicts of {judge}: use one of {', '.join(known) or 'none'}"
        )
    runs: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    folders = {}
    scored: list[Scored] = []
    swept: list[Scored] = []
    failures: list[Failure] = []
    fingerprints: dict[str, str] = {}
    for path in paths:
        run = read_run(path)
        purpose, suite, model = run["purpose"], run["suite"]["name"], path.name
        if (purpose, suite, model) in folders:
            raise EvaluationError(
                f"{path} and {folders[purpose, suite, model]} are of the same suite name and "
                "model: move one of them to a folder of its own"
            )
        runs[purpose, suite, model], folders[purpose, suite, model] = run, path
        found, failed = _read(path, run, name, judged=purpose != "diagnosis")
        failures += failed
        if purpose == "suite":
            scored += found
            before = fingerprints.setdefault(model, run["model"]["fingerprint"])
            if before != run["model"]["fingerprint"]:
                failures.append(
                    Failure(purpose=purpose, suite=suite, model=model, group="", case="(all)",
                            error="is of other weights or settings than its other suites")
                )  # fmt: skip
        elif purpose == "sweep":
            swept += found
    return Results(
        judge=name,
        runs=runs,
        folders=folders,
        scored=tuple(scored),
        swept=tuple(swept),
        failures=tuple(failures),
    )


def _read(
    path: Path, run: Mapping[str, Any], judge: str, *, judged: bool
) -> tuple[list[Scored], list[Failure]]:
    """The scores and failures of a run."""
    groups = run["suite"]["groups"]
    group_of = [name for name, count in groups.items() for _ in range(count)]
    answers = read_answers(path)
    judgements = read_judgements(path, judge) if judge else {}
    fingerprint = run["judges"].get(judge)
    scored, failures = [], []
    suite, model = run["suite"]["name"], path.name
    for index in selected(groups, run["limit"], run["only"]):
        answer, judgement = answers.get(index), judgements.get(index)
        if answer is None:
            error = "not drawn yet: run the same command again"
        elif answer.error:
            error = answer.error
        elif not judged:
            continue
        elif judgement is None:
            error = f"not judged by {judge or 'anybody'}: run the same command again"
        elif judgement.error:
            error = f"judge {judge}: {judgement.error}"
        elif (judgement.sha256, judgement.fingerprint) != (answer.sha256, fingerprint):
            error = f"its verdict is of another image or {judge}: run the same command again"
        else:
            scored.append(
                Scored(folder=path, suite=suite, model=model, answer=answer, judgement=judgement)
            )
            continue
        id = answer.case.id if answer else f"number {index}"
        failures.append(
            Failure(
                purpose=run["purpose"],
                suite=suite,
                model=model,
                group=group_of[index],
                case=id,
                error=error,
            )
        )
    return scored, failures
