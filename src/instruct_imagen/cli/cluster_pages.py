"""Verbs of `instruct-imagen clusters` that show a build to a person, and learn from answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from instruct_imagen.cli.arguments import check_file, seed


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


def report_command(chosen: argparse.Namespace) -> None:
    """Writes the page."""
    from instruct_imagen.data.clusters.pages.report import write_report

    check_file(chosen.out, suffix=".html", name="OUT.html")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    write_report(chosen.build, chosen.out, seed=chosen.seed)
    print(chosen.out)
