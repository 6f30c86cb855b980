"""`instruct-imagen calibrate`: thresholds of a judge that measures similarities."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from instruct_imagen.cli.arguments import check_file, positive
from instruct_imagen.cli.errors import UsageError

EXAMPLES = """examples:
  instruct-imagen calibrate out/dream --full text=0.306 --out out/thresholds.json \\
      --judge embedding:clip=openai/clip-vit-base-patch32,dino=facebook/dino-vits16
  instruct-imagen evaluate out/dream MODEL \\
      --judge embedding:clip=…,dino=…,thresholds=out/thresholds.json
"""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "calibrate",
        help="find from which similarity on the judge embedding scores 0.5 and 1",
        description=(
            "Compares right and wrong pairs of a suite: two pictures of one thing and of two, a "
            "target and its own prompt and others, real pictures and corrupted ones. What 5% of "
            "the wrong pairs reach scores 0.5; what 98% of the right ones reach, and at most 1% of "
            "the wrong, scores 1."
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument("suite", metavar="SUITE", help="name, or a folder with suite.json")
    own.add_argument(
        "--judge", required=True, metavar="NAME:OPTION=VALUE,…", help="embedding, with its models"
    )
    own.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="to write")
    own.add_argument(
        "--size", type=positive, default=256,
        help="pixels of pictures that the suite renders: as those that will be judged (256)",
    )  # fmt: skip
    own.add_argument(
        "--full", action="append", default=[], metavar="KIND=VALUE",
        help="the similarity that scores 1, where the suite has no right pairs to find it by",
    )  # fmt: skip
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Writes the thresholds and prints them."""
    from instruct_imagen.evaluation.judges.registry import open_judge
    from instruct_imagen.evaluation.suites.registry import open_suite

    check_file(chosen.out, suffix=".json")
    full = levels_given(chosen.full)
    judge = open_judge(chosen.judge)
    if not hasattr(judge, "calibrate"):
        raise UsageError(f"the judge {judge.name} has no thresholds: calibrate embedding")
    thresholds = judge.calibrate(open_suite(chosen.suite).cases(chosen.size), full=full)
    thresholds.save(chosen.out)
    for kind, level in thresholds.levels.items():
        right = f"{level.matched:,} right pairs" if level.matched else "given"
        print(
            f"{kind}: {level.measure} 0.5 from {level.partly:.4f} ({level.mismatched:,} wrong "
            f"pairs), 1 from {level.full:.4f} ({right})"
        )
    print(chosen.out)


def levels_given(given: Sequence[str]) -> dict[str, float]:
    """``KIND=VALUE`` → value by kind.

    Raises:
        UsageError: One has another form, or is there twice.
    """
    found: dict[str, float] = {}
    for one in given:
        kind, _, text = one.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not kind or not -1 <= value <= 1:
            raise UsageError(f"--full {one}: write KIND=VALUE, a similarity from -1 to 1")
        if kind in found:
            raise UsageError(f"--full {kind} is given twice: leave one out")
        found[kind] = value
    return found
