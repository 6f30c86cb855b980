"""`instruct-imagen world`: look at the starter world, or pack it for another machine."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its two verbs."""
    own = commands.add_parser(
        "world", help="look at or pack the starter world", description="The starter world."
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    look = verbs.add_parser("preview", help="write a contact sheet of scenes")
    look.add_argument("--out", type=Path, default=Path("out/world.png"), help="PNG to write")
    look.add_argument("--seed", type=int, default=0, help="of the scenes (0)")
    look.add_argument("--count", type=int, default=12, help="scenes (12)")
    look.add_argument("--size", type=int, default=64, help="pixels of a scene (64)")
    look.set_defaults(run=preview_command)
    pack = verbs.add_parser("pack", help="write a recipe's world and text encoder as one file")
    pack.add_argument("recipe", metavar="RECIPE", help="whose concepts and size are packed")
    pack.add_argument("out", type=Path, metavar="FILE", help="zip file to write")
    pack.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="as given to train")
    pack.set_defaults(run=pack_command)


def preview_command(chosen: argparse.Namespace) -> None:
    """Writes the contact sheet."""
    from instruct_imagen.cli.errors import UsageError
    from instruct_imagen.data.world.preview import preview

    if chosen.count < 1 or chosen.size < 8:
        raise UsageError("--count must be at least 1 and --size at least 8")
    print(preview(chosen.out, seed=chosen.seed, count=chosen.count, size=chosen.size))


def pack_command(chosen: argparse.Namespace) -> None:
    """Writes the packed world."""
    from instruct_imagen.recipes import override, recipe
    from instruct_imagen.training.packed_world import pack_world

    path = pack_world(override(recipe(chosen.recipe), chosen.settings), chosen.out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
