"""`instruct-imagen train`: a recipe, with settings changed."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from instruct_imagen.cli.arguments import check_folder
from instruct_imagen.cli.errors import UsageError

if TYPE_CHECKING:
    from instruct_imagen.recipes import TrainConfig


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "train",
        help="train a model by a recipe",
        description=(
            "Trains by a recipe and goes on from the last checkpoint in its folder (out=…). Ctrl-C "
            "saves and stops. --show lists all settings."
        ),
        epilog="example: instruct-imagen train starter minutes=60 out=out/mine batch_size=64",
    )
    own.add_argument("recipe", metavar="RECIPE", help="e.g. starter")
    own.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", default=[], help="settings to change"
    )
    own.add_argument("--show", action="store_true", help="print the resolved config and stop")
    own.add_argument(
        "--dry-run",
        action="store_true",
        help="take a few steps, say what all of it would take, keep nothing",
    )
    own.add_argument(
        "--hardware",
        default="h100",
        metavar="NAME",
        help="that --dry-run reckons for: a100, h100, h200, l4, rtx4090 (h100)",
    )
    own.add_argument(
        "--share",
        type=float,
        default=0.35,
        help="of its peak that a training reaches, for --dry-run (0.35)",
    )
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Prints the resolved config, then trains."""
    from instruct_imagen.recipes import override, recipe, resolved

    config = override(recipe(chosen.recipe), chosen.settings)
    settings = json.dumps(resolved(config), indent=1)
    if chosen.show:
        print(settings)
        return
    if chosen.dry_run:
        _dry_run(config, settings, chosen)
        return
    check_folder(Path(config.out), name="out=")
    from transformers.utils import logging as transformers_logging

    from instruct_imagen.training.loop import Trainer

    transformers_logging.disable_progress_bar()
    trainer = Trainer(config)
    if trainer.processes.first:
        print(settings)
        for line in trainer.left_out:
            print(line, file=sys.stderr)
    if trainer.images and trainer.processes.first:
        print(f"goes on from {trainer.images:,} images in {trainer.folder}", flush=True)
    sheet = trainer.run()
    if not trainer.processes.first:
        return
    print(
        f"{trainer.images:,} images in {trainer.folder}" + (f"; look at {sheet}" if sheet else "")
    )
    given = shlex.join(chosen.settings)
    if trainer.stopped_by is not None:
        print("stopped and saved: the same command goes on")
    print(f"as a model: instruct-imagen export {chosen.recipe} FOLDER {given}".rstrip())
    if trainer.stopped_by is not None:  # as shells expect of what a signal stopped
        sys.exit(128 + trainer.stopped_by)


def _dry_run(config: TrainConfig, settings: str, chosen: argparse.Namespace) -> None:
    from instruct_imagen.training.dry_run import HARDWARE, dry_run

    if chosen.hardware not in HARDWARE:
        raise UsageError(
            f"--hardware must be one of {', '.join(HARDWARE)}, not '{chosen.hardware}'"
        )
    if not 0 < chosen.share <= 1:
        raise UsageError(f"--share must be above 0 and at most 1, not {chosen.share:g}")
    print(settings)
    for line in dry_run(config, hardware=chosen.hardware, share=chosen.share):
        print(line, flush=True)
