"""`instruct-imagen evaluate` and `report`: models on frozen suites, and what came out."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from instruct_imagen.cli.arguments import check_folder, positive, share
from instruct_imagen.cli.errors import UsageError
from instruct_imagen.cli.models import NONE
from instruct_imagen.editing import MOST_SEAM, SEAM, THRESHOLD, UPSCALER_STEPS

if TYPE_CHECKING:
    from instruct_imagen.evaluation.runner import Job, Progress
    from instruct_imagen.evaluation.suites.base import Suite

EXAMPLES = """examples:
  instruct-imagen evaluate in_domain,zero_shot starter --judge truth --workers 2
  instruct-imagen evaluate all starter copy_reference out/mine/export --limit 10
  instruct-imagen evaluate in_domain starter --limit 4 --sweep steps=5,10,20 guidance=1,3
  instruct-imagen evaluate zero_shot starter --diagnose 6
  instruct-imagen evaluate masked_edits out/mine/export --upscaler out/my_upscaler/export
A model is a saved pipeline (starter, out/mine/export:steps=50) or NAME:option=value of a peer:
copy_reference, nearest, diffusers_adapters, openai_edit (docs/evaluation.md).
A judge is truth, embedding, vlm or human (docs/judges.md).
"""

_EVERY = 10.0  # seconds between lines where no terminal shows one that changes


def add(commands: argparse._SubParsersAction) -> None:
    """Declares both commands."""
    own = commands.add_parser(
        "evaluate",
        help="score models on frozen suites, and write a report",
        description=(
            "Draws every case of suites with each model, judges the images and writes a report. "
            "Called again after an end at any moment, it goes on; every image is kept."
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument("suite", metavar="SUITE", help="a suite, several with commas, or all")
    own.add_argument("models", metavar="MODEL", nargs="+", help="what is scored; see below")
    own.add_argument(
        "--judge", action="append", default=[], metavar="NAME[:OPTION=VALUE,…]",
        help="what scores images; may be given several times (truth), the report is of the first",
    )  # fmt: skip
    own.add_argument(
        "--out", type=Path, default=Path("out/evaluation"), help="folder (%(default)s)"
    )
    own.add_argument(
        "--workers", type=positive, default=1, help="processes; no image depends on it"
    )
    own.add_argument("--limit", type=positive, metavar="N", help="only N cases of each group")
    own.add_argument(
        "--group", action="append", default=[], metavar="NAME",
        help="only this group; may be given several times",
    )  # fmt: skip
    own.add_argument("--steps", type=positive, help="sampling steps of saved pipelines (25)")
    own.add_argument("--guidance", type=float, help="their guidance weight, 1 is none (3)")
    own.add_argument(
        "--guidance-kind", choices=("constant", "oscillating", "interval"),
        help="when their guidance is on (constant)",
    )  # fmt: skip
    own.add_argument("--batch", type=positive, help="their instructions at once (8)")
    own.add_argument(
        "--upscaler", metavar="NAME|FOLDER",
        help="a saved upscaler behind them, whose size images then have, or none (none)",
    )  # fmt: skip
    own.add_argument(
        "--upscaler-steps", type=positive, help=f"its sampling steps ({UPSCALER_STEPS})"
    )
    own.add_argument(
        "--threshold", type=share,
        help=f"of edits without a mask: smallest difference that is kept, 0 to 1 ({THRESHOLD:g})",
    )  # fmt: skip
    own.add_argument(
        "--seam", type=share,
        help=f"of edits: where old and new mix, share of the square that is drawn ({SEAM:g})",
    )  # fmt: skip
    own.add_argument(
        "--no-compositing", action="store_true",
        help="scores edits as models draw them, with nothing of the source put back",
    )  # fmt: skip
    own.add_argument(
        "--sweep", nargs="+", action="extend", metavar="NAME=VALUES", default=[],
        help="instead: every combination of such settings, e.g. steps=5,10 guidance=1,3",
    )  # fmt: skip
    own.add_argument(
        "--diagnose", type=positive, metavar="N",
        help="instead: what each reference does, on N cases of each group; needs no judge, and "
        "--judge says whose verdicts the rest of the report shows",
    )  # fmt: skip
    own.set_defaults(run=run)
    report = commands.add_parser(
        "report",
        help="write the report of an evaluation again",
        description="Writes report.html, report.json and report.md of what evaluate has left.",
    )
    report.add_argument("folder", type=Path, metavar="FOLDER", help="as evaluate --out")
    report.add_argument("--judge", help="whose verdicts, where there are several")
    report.set_defaults(run=run_report)


def run(chosen: argparse.Namespace) -> None:
    """Evaluates every model on every suite, and writes the report."""
    from instruct_imagen.evaluation.runner import run_suite

    if chosen.diagnose and (chosen.group or chosen.limit):
        raise UsageError("--diagnose N takes N cases of each group: leave --group and --limit out")
    if chosen.sweep and chosen.diagnose:
        raise UsageError("--sweep and --diagnose are two commands: run one after the other")
    _check_edits(chosen)
    check_folder(chosen.out, name="--out")
    suites = _suites(chosen.suite)
    specs = [_spec(chosen, model) for model in chosen.models]
    judges = [] if chosen.diagnose else chosen.judge or ["truth"]
    _check_names(suites, specs, judges, chosen.group)
    _check_shown(chosen, suites)
    jobs = [job for suite in suites for spec in specs for job in _jobs(chosen, suite, spec, judges)]
    taken = [folder for folder, _ in jobs]
    if double := next((folder for folder in taken if taken.count(folder) > 1), None):
        raise UsageError(f"two models would share {double}: name each once")
    failed = 0
    for folder, job in jobs:
        print(folder, file=sys.stderr)
        show = _ProgressLine()
        without = run_suite(
            folder, job, workers=chosen.workers, limit=chosen.limit, only=chosen.group, report=show
        )
        show.end()
        failed += without
        if chosen.diagnose:
            _diagnose(folder, job, whole=not without)
    names = [judge.partition(":")[0] for judge in judges or chosen.judge]
    _write_report(chosen.out, names[0] if names else None, own=taken)
    if failed:  # with the first judge all is well
        others = " or ".join(names[1:])
        raise UsageError(
            f"cases without a verdict of {others}: {failed:,}; run evaluate again, and see which "
            f"with: instruct-imagen report {chosen.out} --judge {names[1]}"
        )


def run_report(chosen: argparse.Namespace) -> None:
    """Writes the report."""
    _write_report(chosen.folder, chosen.judge)


def _write_report(folder: Path, judge: str | None, own: Sequence[Path] | None = None) -> None:
    """Writes the report and prints its path; failed cases are an error.

    Args:
        folder: Of the evaluation.
        judge: Whose verdicts; None for the only one there.
        own: Folders of the runs whose failures are an error; all where there are none named. Others
            in the folder may be half done: whoever goes on with them one by one must not be stopped
            by the first.
    """
    from instruct_imagen.evaluation.case import EvaluationError
    from instruct_imagen.evaluation.report import write_report
    from instruct_imagen.evaluation.report.results import read_results
    from instruct_imagen.evaluation.suites.registry import open_suite

    path, failed = write_report(folder, open_suite, judge)
    print(path)
    if failed and own is not None:
        results = read_results(folder, judge)
        of = [results.folders[one.purpose, one.suite, one.model] for one in results.failures]
        others = sum(one not in own for one in of)
        failed = len(of) - others
        if others:
            words = f"other runs in {folder} are not whole: {others:,} cases, named at its head"
            print(words, file=sys.stderr)
    if failed:
        what = "1 case has" if failed == 1 else f"{failed:,} cases have"
        raise EvaluationError(f"{what} no score, named at the head of {path}: run evaluate again")


def _suites(given: str) -> list[str]:
    """Names of suites."""
    from instruct_imagen.evaluation.suites.registry import names_of_all, suite_names

    if given == "all":
        return list(names_of_all())
    names = list(dict.fromkeys(name for name in given.split(",") if name))
    if not names:
        raise UsageError(f"SUITE '{given}' names none: use some of {', '.join(suite_names())}")
    return names


def _check_names(
    suites: Sequence[str], specs: Sequence[str], judges: Sequence[str], groups: Sequence[str]
) -> None:
    """Raises for a wrong name before the first image is drawn, not hours later."""
    from instruct_imagen.evaluation.judges.registry import judge_classes
    from instruct_imagen.evaluation.peers.registry import peer_classes
    from instruct_imagen.evaluation.plugins import parsed
    from instruct_imagen.evaluation.runner import check_groups
    from instruct_imagen.evaluation.suites.registry import open_suite

    for spec in specs:
        parsed("peer", peer_classes(), spec)
    for judge in judges:
        parsed("judge", judge_classes(), judge)
    for suite in suites:
        check_groups(open_suite(suite), groups)


def _check_shown(chosen: argparse.Namespace, suites: Sequence[str]) -> None:
    """Raises for an option of edits where no case of any suite is one."""
    from instruct_imagen.evaluation.suites.registry import open_suite

    swept = [one.partition("=")[0] for one in chosen.sweep]
    of_edits = {
        "threshold": chosen.threshold is not None or "threshold" in swept,
        "seam": chosen.seam is not None or "seam" in swept,
        "compositing": chosen.no_compositing or "compositing" in swept,
    }
    if not any(of_edits.values()):
        return
    kinds = frozenset().union(*(open_suite(suite).roles(chosen.group) for suite in suites))
    edits = [roles for roles in kinds if "source" in roles]
    unmasked = [roles for roles in edits if "mask" not in roles]
    for name, given in of_edits.items():
        used, what = (unmasked, "edits without a mask") if name == "threshold" else (edits, "edits")
        if given and not used:
            word = f"--sweep {name}" if name in swept else f"--{name}"
            word = "--no-compositing" if word == "--compositing" else word
            of = " and ".join(suites) + (f" ({', '.join(chosen.group)})" if chosen.group else "")
            raise UsageError(f"{word} changes nothing: {of} has no {what}")


def _check_edits(chosen: argparse.Namespace) -> None:
    """Raises for what is without effect, or not possible, whatever the models and suites are."""
    bare = (chosen.upscaler or NONE) == NONE and not any("upscaler=" in m for m in chosen.models)
    if chosen.upscaler_steps is not None and bare:
        raise UsageError("--upscaler-steps needs an upscaler: name one with --upscaler")
    if (chosen.seam or 0) > MOST_SEAM:
        raise UsageError(f"--seam must be at most {MOST_SEAM:g}, not {chosen.seam:g}")
    for name in ("threshold", "seam"):
        if getattr(chosen, name) is None:
            continue
        if chosen.no_compositing:
            raise UsageError(f"--{name} changes nothing with --no-compositing: leave one out")
        if chosen.diagnose:
            raise UsageError(f"--diagnose looks at what models draw: leave --{name} out")


def _options(chosen: argparse.Namespace) -> dict[str, str]:
    """Settings of the command line for saved pipelines."""
    names = ("steps", "guidance", "guidance_kind", "batch", "upscaler", "upscaler_steps",
             "threshold", "seam")  # fmt: skip
    given = {name: getattr(chosen, name) for name in names}
    given["compositing"] = "off" if chosen.no_compositing else None
    if given["upscaler"] == NONE:
        given["upscaler"] = None  # a model of that name is what it is without the option
    return {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in given.items()
        if value is not None
    }


def _spec(chosen: argparse.Namespace, model: str) -> str:
    """A model with the options of the command line, where it is a saved pipeline.

    Raises:
        UsageError: There is one that no model takes.
    """
    from instruct_imagen.evaluation.peers.registry import peer_spec

    options = _options(chosen)
    for name, value in options.items():
        if all(peer_spec(one, {name: value}) == peer_spec(one) for one in chosen.models):
            word = f"--{name.replace('_', '-')}".replace("--compositing", "--no-compositing")
            raise UsageError(
                f"{word} changes nothing: it is of saved pipelines, and "
                f"{', '.join(chosen.models)} is none, or sets it"
            )
    return peer_spec(model, options)


def _jobs(
    chosen: argparse.Namespace, suite: str, spec: str, judges: Sequence[str]
) -> list[tuple[Path, Job]]:
    """Folders and what is done in each."""
    from instruct_imagen.evaluation.judges.registry import open_judge
    from instruct_imagen.evaluation.peers.registry import open_model
    from instruct_imagen.evaluation.runner import Job
    from instruct_imagen.evaluation.suites.registry import open_suite
    from instruct_imagen.evaluation.sweep import as_drawn, axes, settings_of, with_settings

    opened: Callable[[], Suite] = partial(open_suite, suite)
    open_judges = tuple(partial(open_judge, one) for one in judges)
    name = label(suite)
    if chosen.diagnose:
        job = Job(
            suite=partial(_diagnosis, suite, chosen.diagnose),
            model=partial(open_model, as_drawn(spec)),
            judges=(),
            spec=spec,
            suite_spec=suite,
            purpose="diagnosis",
            settings={"cases": str(chosen.diagnose)},
        )
        return [(chosen.out / f"diagnosis-{name}" / label(spec), job)]
    if not chosen.sweep:
        job = Job(
            suite=opened,
            model=partial(open_model, spec),
            judges=open_judges,
            spec=spec,
            suite_spec=suite,
        )
        return [(chosen.out / name / label(spec), job)]
    found = []
    for settings in settings_of(axes(chosen.sweep)):
        one = with_settings(spec, settings)
        job = Job(
            suite=opened,
            model=partial(open_model, one),
            judges=open_judges,
            spec=spec,
            suite_spec=suite,
            purpose="sweep",
            settings=settings,
        )
        found.append((chosen.out / f"sweep-{name}" / label(one), job))
    return found


def _diagnosis(suite: str, limit: int) -> Suite:
    """The changed cases of a suite."""
    from instruct_imagen.evaluation.diagnosis import DiagnosisSuite
    from instruct_imagen.evaluation.suites.registry import open_suite

    return DiagnosisSuite(open_suite(suite), limit)


def _diagnose(folder: Path, job: Job, *, whole: bool) -> None:
    """Writes what the references of a run did; nothing of a run with a failed case."""
    import json

    from instruct_imagen.data.shards.layout import write_whole
    from instruct_imagen.evaluation.diagnosis import findings
    from instruct_imagen.evaluation.record import read_run
    from instruct_imagen.evaluation.report import DIAGNOSIS

    if not whole:
        (folder / DIAGNOSIS).unlink(missing_ok=True)
        return
    cases = job.suite().cases(read_run(folder)["model"]["size"])
    roles = [one.as_dict() for one in findings(folder, cases)]
    write_whole(folder / DIAGNOSIS, json.dumps(roles, indent=1) + "\n")


def label(spec: str) -> str:
    """A model's name in folders and tables, e.g. ``starter`` or ``starter-steps=10``."""
    name, _, rest = spec.partition(":")
    settings = [one for one in rest.split(",") if one and not one.startswith("batch=")]
    if name == "pipeline" and settings and settings[0].startswith("model="):
        name = settings.pop(0).partition("=")[2].strip("./")
    words = "-".join([name, *settings])
    return re.sub(r"[^A-Za-z0-9_.=-]+", "_", words).strip("_.") or "model"


class _ProgressLine:
    """One line on stderr: a changing one in a terminal, one now and then elsewhere."""

    def __init__(self) -> None:
        self._last = 0.0
        self._width = 0
        self._phase = ""

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        ended = progress.done == progress.total
        terminal = sys.stderr.isatty()
        begun = progress.phase != self._phase  # is always told: its first piece may take long
        if not ended and not begun and now - self._last < (0.1 if terminal else _EVERY):
            return
        self._last, self._phase = now, progress.phase
        words = progress_words(progress)
        if terminal:
            print(f"\r{words:{self._width}s}", end="\n" if ended else "", file=sys.stderr)
        else:
            print(words, file=sys.stderr)
        sys.stderr.flush()
        self._width = 0 if ended else len(words)

    def end(self) -> None:
        """Leaves the line."""
        if self._width:
            print(file=sys.stderr)


def progress_words(progress: Progress) -> str:
    """How far, how fast and how long still."""
    words = f"  {progress.phase}: {progress.done:,} of {progress.total:,}"
    if progress.failed:
        words += f", {progress.failed:,} failed"
    if progress.fresh and progress.seconds > 0:
        words += f", {progress.fresh / progress.seconds:.2f}/s"
        if progress.done < progress.total:
            left = round(progress.remaining)
            words += f", {left // 60}:{left % 60:02d} left"
    return words
