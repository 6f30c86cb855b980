"""Runs a model on a suite: images, then verdicts; goes on after an end at any moment.

Every case has its own seed, and batches are cut from the list of cases, whoever computes them: the
number of processes changes nothing. A case that fails is kept with its error, and tried again by
the next run.
"""

from __future__ import annotations

import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from instruct_imagen.data.shards.layout import sha256_of
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges.base import Judge
from instruct_imagen.evaluation.judging import open_judging, opened
from instruct_imagen.evaluation.peers.base import BatchGenerator, Generator
from instruct_imagen.evaluation.record import (
    ANSWERS,
    FORMAT,
    RUN,
    Answer,
    Judgement,
    Lines,
    alone_in,
    claim,
    facts_of,
    image_path,
    line_of,
    read_answers,
    read_judgements,
    read_run,
    verdicts_path,
    whole,
)
from instruct_imagen.evaluation.suites.base import Suite
from instruct_imagen.evaluation.workers import Work, done
from instruct_imagen.images import load_image, save_png
from instruct_imagen.instruction import Instruction

JUDGED_AT_ONCE = 32
_SAME = (
    "format", "suite.name", "suite.version", "settings.cases", "suite.sha256", "model.fingerprint",
    "purpose",
)  # fmt: skip
_PACKAGES = ("instruct-imagen", "torch", "diffusers", "transformers", "numpy", "pillow")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is evaluated, with what; can be sent to other processes.

    Attributes:
        suite: Opens the suite.
        model: Opens the model.
        judges: Open the judges; may be none.
        spec: The model as the user named it, for the report.
        suite_spec: The suite as the user named it: opens it again for the report's pictures.
        purpose: ``suite``, ``sweep`` or ``diagnosis``: which part of the report it is for.
        settings: What a sweep has set, for its curves; of a diagnosis its ``cases`` of a group.
    """

    suite: Callable[[], Suite]
    model: Callable[[], Generator]
    judges: tuple[Callable[[], Judge], ...]
    spec: str
    suite_spec: str = ""
    purpose: str = "suite"
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: ``"images"``, or ``"verdicts of "`` and the judge.
        done: Cases, with those that were there.
        total: Cases.
        failed: Of those done.
        seconds: Since the phase began.
        fresh: Of those done, since then.
    """

    phase: str
    done: int
    total: int
    failed: int
    seconds: float
    fresh: int

    @property
    def remaining(self) -> float:
        """Seconds that are left at the speed so far."""
        return self.seconds / self.fresh * (self.total - self.done) if self.fresh else float("nan")


def run_suite(
    folder: Path,
    job: Job,
    *,
    workers: int = 1,
    limit: int | None = None,
    only: Sequence[str] = (),
    report: Callable[[Progress], None] = lambda progress: None,
) -> int:
    """Answers and judges what is missing in a folder.

    Args:
        folder: Of this suite and model alone; made if it is not there.
        job: What is done.
        workers: Processes.
        limit: Only the first so many cases of each group.
        only: Only these groups; all where none is named.
        report: Is told how far it is.

    Returns:
        How many cases have no image, or an image without a verdict.

    Raises:
        EvaluationError: The folder is of something else or in use, a suite, model or judge cannot
            be opened, or a worker failed.
    """
    with alone_in(folder):
        suite, model = job.suite(), job.model()
        here = workers == 1
        check_groups(suite, only)
        wanted = selected(suite.groups, limit, only)
        size, batch = model.size, getattr(model, "batch_size", 1)
        judges = opened(job.judges)
        fingerprints = {name: judge.fingerprint for name, (_, judge) in judges.items()}
        about = _about(job, suite, model, fingerprints, limit, only)
        if (folder / RUN).is_file():  # what other judges have said before stays theirs
            about["judges"] = {**read_run(folder).get("judges", {}), **fingerprints}
        claim(folder, about, _SAME)
        # Opened twice only where other processes need their own.
        open_suite = (lambda: suite) if here else job.suite
        open_model = (lambda: model) if here else job.model
        work = partial(_open_answering, folder, open_suite, open_model)
        _answer(folder, work, wanted, batch, workers, report)
        answers = read_answers(folder)
        failed = {index for index in wanted if answers[index].error}
        answered = [answers[index] for index in wanted if index not in failed]
        for name, (open_judge, judge) in judges.items():
            own = (lambda judge=judge: judge) if here else open_judge
            work = partial(open_judging, folder, open_suite, own, size)
            failed |= _judge(folder, name, fingerprints[name], answered, work, workers, report)
        return len(failed)


def check_groups(suite: Suite, only: Sequence[str]) -> None:
    """Raises unless a suite has all of these groups."""
    if unknown := sorted(set(only) - set(suite.groups)):
        known = ", ".join(suite.groups)
        raise EvaluationError(
            f"suite {suite.name} has no group {', '.join(unknown)}: use some of {known}"
        )


def selected(groups: Mapping[str, int], limit: int | None, only: Sequence[str] = ()) -> list[int]:
    """Places of the first `limit` cases of each group, or of some; cases come group by group."""
    found: list[int] = []
    start = 0
    for name, count in groups.items():
        if not only or name in only:
            found += range(start, start + min(count, count if limit is None else limit))
        start += count
    return found


def _about(
    job: Job,
    suite: Suite,
    model: Generator,
    judges: Mapping[str, str],
    limit: int | None,
    only: Sequence[str],
) -> dict[str, Any]:
    """What a run is of."""
    return {
        "format": FORMAT,
        "purpose": job.purpose,
        "suite": {
            "name": suite.name,
            "spec": job.suite_spec or suite.name,
            "version": suite.version,
            "sha256": suite.sha256,
            "groups": dict(suite.groups),
        },
        "model": {
            "spec": job.spec,
            "kind": model.name,
            "fingerprint": model.fingerprint,
            "size": model.size,
            "raw_inputs": model.raw_inputs,
        },
        "settings": dict(job.settings),
        "judges": dict(judges),
        "limit": limit,
        "only": list(only),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from its folder
            found[name] = "not installed"
    return found


# -- Images ----------------------------------------------------------------------------------------


def _answer(
    folder: Path,
    work: Callable[[], Work],
    wanted: Sequence[int],
    batch: int,
    workers: int,
    report: Callable[[Progress], None],
) -> None:
    """Makes the images that are missing."""
    lines = Lines(folder / ANSWERS)
    there = {index for index, one in read_answers(folder).items() if whole(folder, one)}
    # Cut before what is there is taken out: the same batches, whenever the run was interrupted.
    batches = [list(wanted[start : start + batch]) for start in range(0, len(wanted), batch)]
    tasks = [
        (members, [index for index in members if index not in there])
        for members in batches
        if not there.issuperset(members)
    ]
    counter = _Counter("images", len(wanted), report, done=len(there.intersection(wanted)))
    for answers in done(work, tasks, workers):
        lines.add(answers)
        counter.add(answers)


def _open_answering(
    folder: Path, open_suite: Callable[[], Suite], open_model: Callable[[], Generator]
) -> Work:
    """What makes the images of a batch."""
    model = open_model()
    suite = open_suite()
    cases = suite.cases(model.size)
    groups = [name for name, count in suite.groups.items() for _ in range(count)]

    def work(task: tuple[Sequence[int], Sequence[int]]) -> list[Answer]:
        members, missing = task
        batch = {index: cases[index] for index in members}
        for index, case in batch.items():
            if case.group != groups[index]:
                raise EvaluationError(
                    f"suite {suite.name}: case {index} is of {case.group}, and its groups say "
                    f"{groups[index]}: cases have to come group by group"
                )
        return answer_batch(folder, model, batch, missing)

    return work


def answer_batch(
    folder: Path, model: Generator, batch: Mapping[int, Case], missing: Sequence[int]
) -> list[Answer]:
    """Draws a batch and keeps those of its images that are missing.

    A batch that fails is drawn one by one, so that the case whose fault it is stands alone.

    Returns:
        An answer for each missing case; its image is on disk.
    """
    asked = {
        index: case.raw_instruction if model.raw_inputs else case.instruction
        for index, case in batch.items()
    }
    made: dict[int, Image.Image | Exception] = {}
    began = time.perf_counter()
    if isinstance(model, BatchGenerator) and len(batch) > 1:
        try:
            seeds = [case.seed for case in batch.values()]
            drawn = model.generate_batch(list(asked.values()), seeds=seeds)
            made = dict(zip(batch, drawn, strict=True))
        except Exception as error:
            warnings.warn(f"a batch is drawn one by one: {line_of(error)}", stacklevel=2)
    seconds = (time.perf_counter() - began) / len(batch)
    answers = []
    for index in missing:
        began = time.perf_counter()
        if index not in made:
            try:
                made[index] = model.generate(asked[index], seed=batch[index].seed)
            except Exception as error:
                made[index] = error
            seconds = time.perf_counter() - began
        facts = facts_of(batch[index], index, asked[index].text)
        answer = Answer(case=facts, seconds=seconds)
        answers.append(_kept(folder, answer, made[index], model.size, batch[index]))
    return answers


def _kept(
    folder: Path,
    answer: Answer,
    image: Image.Image | Exception,
    size: int,
    case: Case,
) -> Answer:
    """Writes an image and says so, or says why there is none."""
    about = {"case": answer.case, "seconds": round(answer.seconds, 4)}
    if isinstance(image, Exception):
        return Answer(**about, error=line_of(image))
    if image.size != (size, size) and image.size != (edited := _edited_size(case.instruction)):
        wanted = f"{(size, size)}" + (f" or {edited}, its source's" if edited else "")
        return Answer(**about, error=f"the image is {image.size}, not {wanted}")
    pixels = np.asarray(image.convert("RGB"))
    path = image_path(folder, answer.case.id)
    save_png(path, pixels)
    distance, target = None, case.target
    if target is not None and target.shape == pixels.shape:
        distance = round(float(np.abs(pixels.astype(int) - target.astype(int)).mean() / 255), 5)
    return Answer(**about, sha256=sha256_of(path), target_distance=distance)


def _edited_size(instruction: Instruction) -> tuple[int, int] | None:
    """(width, height) of the picture that is edited; None where none is."""
    source = next((one for one in instruction.references if one.role == "source"), None)
    return None if source is None else load_image(source.image).size


# -- Verdicts --------------------------------------------------------------------------------------


def _judge(
    folder: Path,
    name: str,
    fingerprint: str,
    answers: Sequence[Answer],
    work: Callable[[], Work],
    workers: int,
    report: Callable[[Progress], None],
) -> set[int]:
    """Judges what is not judged yet, by this very judge, on this very image.

    Returns:
        Indices of the cases without a verdict.
    """
    lines = Lines(verdicts_path(folder, name))
    known = read_judgements(folder, name)
    there = {
        one.case.index
        for one in answers
        if (seen := known.get(one.case.index)) is not None
        and (seen.sha256, seen.fingerprint, seen.error) == (one.sha256, fingerprint, "")
    }
    missing = [one for one in answers if one.case.index not in there]
    tasks = [missing[n : n + JUDGED_AT_ONCE] for n in range(0, len(missing), JUDGED_AT_ONCE)]
    counter = _Counter(f"verdicts of {name}", len(answers), report, done=len(there))
    failed = set()
    for judgements in done(work, tasks, workers):
        lines.add(judgements)
        counter.add(judgements)
        failed |= {one.index for one in judgements if one.error}
    return failed


class _Counter:
    """Tells how far a phase is."""

    def __init__(
        self, phase: str, total: int, report: Callable[[Progress], None], *, done: int
    ) -> None:
        self._phase, self._total, self._report = phase, total, report
        self._done, self._fresh, self._failed = done, 0, 0
        self._began = time.perf_counter()
        self.add([])

    def add(self, records: Sequence[Answer | Judgement]) -> None:
        self._done += len(records)
        self._fresh += len(records)
        self._failed += sum(bool(one.error) for one in records)
        self._report(
            Progress(
                phase=self._phase,
                done=self._done,
                total=self._total,
                failed=self._failed,
                seconds=time.perf_counter() - self._began,
                fresh=self._fresh,
            )
        )
