"""`instruct-imagen train`: a recipe, with settings changed."""

from __future__ import annotations

import argparse
import json


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    own = commands.add_parser(
        "train",
        help="train a model by a recipe",
        description=(
            "Trains by a recipe and goes on from the last checkpoint in its folder. Ctrl-C saves "
            "and stops."
        ),
        epilog="example: instruct-imagen train starter minutes=60 out=out/mine batch_size=64",
    )
    own.add_argument("recipe", metavar="RECIPE", help="e.g. starter")
    own.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings to change")
    own.add_argument("--show", action="store_true", help="print the resolved config and stop")
    own.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Prints the resolved config, then trains."""
    from instruct_imagen.recipes import override, recipe, resolved

    config = override(recipe(chosen.recipe), chosen.settings)
    print(json.dumps(resolved(config), indent=1))
    if chosen.show:
        return
    from transformers.utils import logging as transformers_logging

    from instruct_imagen.training.loop import Trainer

    transformers_logging.disable_progress_bar()
    Trainer(config).run()
