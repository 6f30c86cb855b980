"""Verbs of `instruct-imagen clusters` that show a build to a person, and learn from answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from instruct_imagen.cli.arguments import check_file, check_folder, positive, seed


def add_verbs(verbs: argparse._SubParsersAction) -> None:
    """Declares them."""
    report = verbs.add_parser(
        "report",
        help="a page about a build: counts, clusters, near-duplicates, hold-outs",
        description="Writes one HTML file with its pictures inside. `build` leaves it in its "
        "folder; this writes it anew, or with other examples.",
        epilog="example: instruct-imagen clusters report out/clusters page.html --seed 7",
    )
    report.add_argument("build", type=Path, metavar="BUILD", help="folder of the build")
    report.add_argument("out", type=Path, metavar="OUT.html", help="the page")
    report.add_argument("--seed", type=seed, default=0, help="of what is drawn by lot (0)")
    report.set_defaults(run=report_command)
    pairs = verbs.add_parser(
        "pairs",
        help="a sheet of the pairs nearest to the thresholds of near-duplicates",
        description="Writes pairs.html, to be looked at, and pairs.csv, to be filled.",
        epilog="example: instruct-imagen clusters pairs out/clusters out/pairs --count 200",
    )
    pairs.add_argument("build", type=Path, metavar="BUILD", help="folder of the build")
    pairs.add_argument("out", type=Path, metavar="OUT", help="folder of the sheet")
    pairs.add_argument("--count", type=positive, default=100, help="pairs (100)")
    pairs.add_argument("--seed", type=seed, default=0, help="of what is looked at, and order (0)")
    pairs.set_defaults(run=pairs_command)
    learn = verbs.add_parser(
        "learn",
        help="thresholds of near-duplicates from a filled sheet",
        description="Reads a filled pairs.csv and prints the settings for `build`.",
        epilog="example: instruct-imagen clusters learn out/clusters out/pairs/pairs.csv",
    )
    learn.add_argument("build", type=Path, metavar="BUILD", help="the build that it is of")
    learn.add_argument("answers", type=Path, metavar="pairs.csv", help="with yes or no in `same`")
    learn.add_argument(
        "--false-merges",
        type=share,
        default=0.005,
        help="share of all pairs of two pictures that may be taken for near-duplicates (0.005)",
    )
    learn.set_defaults(run=learn_command)


def report_command(chosen: argparse.Namespace) -> None:
    """Writes the page."""
    from instruct_imagen.data.clusters.building import reading
    from instruct_imagen.data.clusters.pages.report import write_report

    check_file(chosen.out, suffix=".html", name="OUT.html")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    with reading(chosen.build):
        write_report(chosen.build, chosen.out, seed=chosen.seed)
    print(chosen.out)


def pairs_command(chosen: argparse.Namespace) -> None:
    """Writes the sheet."""
    from instruct_imagen.data.clusters.building import reading
    from instruct_imagen.data.clusters.pages.pairs import ANSWERS, SHEET, write_pairs

    check_folder(chosen.out, name="OUT")
    with reading(chosen.build):
        count = write_pairs(chosen.build, chosen.out, count=chosen.count, seed=chosen.seed)
    print(
        f"{chosen.out}: {count} pairs; look at {SHEET}, fill {ANSWERS}, then: "
        f"instruct-imagen clusters learn {chosen.build} {chosen.out / ANSWERS}"
    )


def learn_command(chosen: argparse.Namespace) -> None:
    """Learns thresholds."""
    from instruct_imagen.data.clusters.building import reading
    from instruct_imagen.data.clusters.finished import Finished
    from instruct_imagen.data.clusters.labelled_pairs import (
        FOLDS,
        Rates,
        as_settings,
        learn,
        read_answers,
    )

    answers, empty = read_answers(chosen.answers)
    with reading(chosen.build):
        found = Finished(chosen.build)
        learnt = learn(found, answers, chosen.answers, false_merges=chosen.false_merges)
        used = as_settings(found.thresholds)
    same = sum(answer.same for answer in answers)
    print(
        f"{len(answers)} labelled pairs, {same} near-duplicates and {len(answers) - same} others; "
        f"{empty} without an answer"
    )

    def line(name: str, rates: Rates) -> None:
        print(f"{name}: recall {rates.recall:.3f}, false merges {rates.false_merges:.3f}")

    line(f"before ({used})", learnt.before)
    line("after", learnt.after)
    if learnt.left_out is None:
        print(f"fewer than {FOLDS} of a kind: what the new ones make of other pairs is not known")
    else:
        line(f"after, of pairs left out of learning, a {FOLDS}th each time", learnt.left_out)
    alike, apart = learnt.far
    measured, candidates = learnt.drawn
    if measured < candidates:
        print(
            f"{measured:,} of {candidates:,} candidates were drawn by lot and measured, each "
            "standing for its share: the numbers below are estimates"
        )
    print(
        f"with the {alike:,} near-duplicates and {apart:,} others that lie farther from the "
        "thresholds, as the build took them:"
    )
    line("before", learnt.far_before)
    line("after", learnt.far_after)
    print(f"clusters build … {as_settings(learnt.thresholds)}")


def share(text: str) -> float:
    """A share from 0 to below 1, for argparse."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to below 1, not '{text}'")
    return found
