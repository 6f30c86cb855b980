"""`instruct-imagen demo`: see it work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "demo",
        help="draw twelve instructions",
        description="Draws an instruction of most tasks, and one that combines style and subject.",
    )
    own.add_argument("--out", type=Path, default=Path("out/demo"), help="folder (out/demo)")
    own.add_argument("--model", default="starter", help="a saved pipeline's folder (starter)")
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Draws the demo and prints the sheet's path."""
    from instruct_imagen.cli.arguments import check_folder
    from instruct_imagen.cli.generate import load_pipeline
    from instruct_imagen.demo import run_demo

    check_folder(chosen.out, name="--out")
    pipeline = load_pipeline(chosen.model)
    pipeline.set_progress_bar_config(disable=True)
    sheet, note = run_demo(pipeline, chosen.out, report=lambda line: print(line, file=sys.stderr))
    if note:
        print(f"instruct-imagen: {note}", file=sys.stderr)
    print(sheet)
