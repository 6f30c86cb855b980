"""`instruct-imagen demo`: see it work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from instruct_imagen.cli.models import add_models


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "demo",
        help="draw twelve instructions and three edits",
        description=(
            "Draws an instruction of most tasks, one that combines style and subject, and edits of "
            "a picture inside a mask."
        ),
    )
    own.add_argument("--out", type=Path, default=Path("out/demo"), help="folder (out/demo)")
    add_models(own)
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Draws the demo and prints the sheet's path."""
    from instruct_imagen.cli.arguments import check_folder
    from instruct_imagen.cli.models import load_cascade
    from instruct_imagen.demo import run_demo

    check_folder(chosen.out, name="--out")
    cascade = load_cascade(chosen.model, chosen.upscaler)
    cascade.set_progress_bar_config(disable=True)
    if cascade.upscaler is None and chosen.upscaler is None:
        _tell(
            f"no upscaler is packaged for {chosen.model}: results are as it draws them, "
            f"{cascade.size} pixels a side (--upscaler names one)"
        )
    sheet, note = run_demo(cascade, chosen.out, report=lambda line: print(line, file=sys.stderr))
    if note:
        _tell(note)
    print(sheet)


def _tell(line: str) -> None:
    print(f"instruct-imagen: {line}", file=sys.stderr)
