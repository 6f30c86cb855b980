"""`instruct-imagen ratings`: what people gave, out and in, and how far they agree."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from instruct_imagen.cli.arguments import check_file, check_folder
from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.evaluation.rating.agreement import Agreement
    from instruct_imagen.evaluation.rating.storage import Rating


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its verbs."""
    own = commands.add_parser(
        "ratings",
        help="export, import and compare people's ratings",
        description="Ratings that `instruct-imagen rate` stored.",
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    out = verbs.add_parser("export", help="write them in ImagenHub's TSV form")
    out.add_argument("store", type=Path, metavar="STORE")
    out.add_argument("folder", type=Path, metavar="FOLDER", help="gets TASK/TASK_RATER.tsv")
    out.set_defaults(run=export_command)
    into = verbs.add_parser("import", help="read TSV files of that form")
    into.add_argument("store", type=Path, metavar="STORE", help="made if missing")
    into.add_argument("places", type=Path, nargs="+", metavar="FILE", help="files or folders")
    into.set_defaults(run=import_command)
    agree = verbs.add_parser(
        "agreement",
        help="means, and Krippendorff's α between raters or between a judge and raters",
        epilog="example: instruct-imagen ratings agreement out/ratings.sqlite "
        "--judge out/evaluation/in_domain/starter/verdicts-truth.jsonl --method starter",
    )
    agree.add_argument("store", type=Path, metavar="STORE")
    agree.add_argument("--method", help="ratings of this model's images alone")
    agree.add_argument("--rater", help="ratings of this rater alone")
    agree.add_argument("--judge", type=Path, metavar="FILE", help="verdicts of a judge, .jsonl")
    agree.add_argument("--level", choices=("ordinal", "interval"), default="ordinal",
                       help="of measurement (ordinal)")  # fmt: skip
    agree.set_defaults(run=agreement_command)


def export_command(chosen: argparse.Namespace) -> None:
    """Writes the files and prints their paths."""
    from instruct_imagen.evaluation.rating.imagenhub import write_ratings
    from instruct_imagen.evaluation.rating.storage import Store

    check_folder(chosen.folder, name="FOLDER")
    for path in write_ratings(chosen.folder, Store(chosen.store, create=False).ratings()):
        print(path)


def import_command(chosen: argparse.Namespace) -> None:
    """Reads all files, then stores what they hold or nothing."""
    from instruct_imagen.evaluation.rating.imagenhub import rating_files, read_ratings
    from instruct_imagen.evaluation.rating.storage import Store

    check_file(chosen.store, name="STORE")
    paths = rating_files(chosen.places)
    ratings = [rating for path in paths for rating in read_ratings(path)]
    new = Store(chosen.store).add_all(ratings)
    print(f"{new:,} ratings stored, {len(ratings) - new:,} were there, from {len(paths)} files")


def agreement_command(chosen: argparse.Namespace) -> None:
    """Prints a table of means and one of α."""
    from instruct_imagen.evaluation.rating.agreement import (
        agreement,
        judge_agreement,
        read_verdicts,
    )
    from instruct_imagen.evaluation.rating.storage import Store, rater_name

    ratings = Store(chosen.store, create=False).ratings()
    rater = rater_name(chosen.rater) if chosen.rater else None
    for name, wanted, known in (
        ("--method", chosen.method, {one.method for one in ratings}),
        ("--rater", rater, {one.rater for one in ratings}),
    ):
        if wanted is not None and wanted not in known:
            raise UsageError(f"{name}: nobody is called '{wanted}': {', '.join(sorted(known))}")
    ratings = [
        one for one in ratings if chosen.method in (None, one.method) and rater in (None, one.rater)
    ]
    if not ratings:
        raise UsageError(f"there are no ratings in '{chosen.store}' yet")
    print_means(ratings)
    if chosen.judge:
        verdicts = read_verdicts(chosen.judge)
        people = "the raters' median" if rater is None else rater
        print(f"\n{chosen.judge.name} and {people}, Krippendorff's α ({chosen.level}):")
        print_agreement(judge_agreement(ratings, verdicts, level=chosen.level))
        return
    raters = sorted({one.rater for one in ratings})
    print(f"\nbetween {len(raters)} raters, Krippendorff's α ({chosen.level}):")
    print_agreement(agreement(ratings, level=chosen.level))


def print_means(ratings: Sequence[Rating]) -> None:
    """A row a model: means over cases of the means over raters, as in the paper's tables."""
    from instruct_imagen.evaluation.rating.agreement import MEASURES

    methods = sorted({one.method for one in ratings})
    width = max(len(name) for name in (*methods, "model"))
    print(f"{'model':<{width}}  {'images':>6} {'ratings':>7}  {'SC':>5} {'PQ':>5} {'O':>5}")
    for method in methods:
        of_case: dict[str, list[Rating]] = {}
        for one in ratings:
            if one.method == method:
                of_case.setdefault(one.case, []).append(one)
        means = (
            _mean(_mean(score(r.sc, r.pq) for r in group) for group in of_case.values())
            for score in MEASURES.values()
        )
        count = sum(map(len, of_case.values()))
        shown = " ".join(f"{mean:5.3f}" for mean in means)
        print(f"{method:<{width}}  {len(of_case):>6} {count:>7}  {shown}")


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


def print_agreement(rows: Sequence[Agreement]) -> None:
    """α with its interval, how many images, and how often two ratings are the same."""
    for row in rows:
        if math.isnan(row.alpha):
            why = "all ratings are alike" if row.images else "nobody rated the same image"
            print(f"  {row.measure:<3} undefined: {why} ({row.images} images)")
            continue
        interval = (
            f"[{row.low:.3f}, {row.high:.3f}]" if not math.isnan(row.low) else "[no interval]"
        )
        print(
            f"  {row.measure:<3} {row.alpha:6.3f} {interval}  {row.images} images, "
            f"{row.equal:.0%} of pairs equal"
        )
