"""`instruct-imagen export`: the averaged weights of a run as a pipeline's folder."""

from __future__ import annotations

import argparse
from pathlib import Path


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
    own.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="as given to train")
    own.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16")
    own.add_argument(
        "--max-shard-size", default="10GB", help="largest file of weights, e.g. 15MB (10GB)"
    )
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Loads the last checkpoint and writes the pipeline."""
    import torch

    from instruct_imagen.cli.errors import UsageError
    from instruct_imagen.recipes import override, recipe
    from instruct_imagen.training.loop import Trainer

    folder = chosen.folder
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is a file: name a folder to be written")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "model_index.json").is_file():
        raise UsageError(f"'{folder}' holds other files: name a new folder or an earlier export")
    trainer = Trainer(override(recipe(chosen.recipe), chosen.settings))
    if not trainer.images:
        raise UsageError(f"there is no checkpoint in {trainer.folder}: train first, or name out=…")
    trainer.export(chosen.folder, getattr(torch, chosen.dtype), chosen.max_shard_size)
    millions = trainer.parameter_count / 1e6
    print(f"{chosen.folder}: {millions:.1f}M parameters, {trainer.images:,} images")
