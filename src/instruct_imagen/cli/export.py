"""`instruct-imagen export`: the averaged weights of a run as a pipeline's folder."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from instruct_imagen.cli.arguments import check_folder
from instruct_imagen.cli.errors import UsageError


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "export",
        help="write a trained model as a pipeline",
        description="Writes the averaged weights of a run's last checkpoint as a pipeline.",
        epilog="example: instruct-imagen export starter out/mine out=out/starter",
    )
    own.add_argument("recipe", metavar="RECIPE", help="the recipe of the run")
    own.add_argument("folder", type=Path, metavar="FOLDER", help="to be written")
    own.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", default=[], help="as given to train"
    )
    own.add_argument(
        "--dtype",
        choices=("float16", "bfloat16", "float32"),
        default="float16",
        help="of the weights (float16)",
    )
    own.add_argument(
        "--max-shard-size",
        type=_file_size,
        default="10GB",
        metavar="SIZE",
        help="largest file of weights, e.g. 15MB (10GB)",
    )
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Loads the last checkpoint and writes the pipeline."""
    import torch

    from instruct_imagen.recipes import override, recipe
    from instruct_imagen.training.export import check_target, export
    from instruct_imagen.training.loop import Trainer

    folder = chosen.folder
    check_folder(folder, name="FOLDER")
    check_folder(folder.resolve().parent, name="FOLDER")
    check_target(folder)
    trainer = Trainer(override(recipe(chosen.recipe), chosen.settings))
    if not trainer.images:
        raise UsageError(f"there is no checkpoint in {trainer.folder}: train first, or name out=…")
    export(
        trainer,
        folder,
        dtype=getattr(torch, chosen.dtype),
        max_shard_size=chosen.max_shard_size,
    )
    millions = trainer.parameter_count / 1e6
    print(f"{folder}: {millions:.1f}M parameters, {trainer.images:,} images")


def _file_size(text: str) -> str:
    """A size as diffusers reads it."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}(KB|MB|GB)", text):
        raise argparse.ArgumentTypeError(f"must be a number with KB, MB or GB, not '{text}'")
    return text
