"""`instruct-imagen world`: look at the starter world and its sources, or pack it."""

from __future__ import annotations

import argparse
from pathlib import Path

from instruct_imagen.cli.arguments import check_file, positive, seed
from instruct_imagen.cli.errors import UsageError

MAX_PIXELS = 1_500_000
"""Of all scenes together; the sheet shows each eight times, enlarged."""


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its three verbs."""
    own = commands.add_parser(
        "world", help="look at or pack the starter world", description="The starter world."
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    look = verbs.add_parser("preview", help="write a contact sheet of scenes")
    look.add_argument(
        "--out", type=Path, default=Path("out/world.png"), help="PNG to write (out/world.png)"
    )
    look.add_argument("--seed", type=seed, default=0, help="of the scenes (0)")
    look.add_argument("--count", type=positive, default=12, help="scenes (12)")
    look.add_argument("--size", type=positive, default=64, help="pixels of a scene (64)")
    look.set_defaults(run=preview_command)
    sources = verbs.add_parser("sources", help="list where drawings come from, and what is here")
    sources.set_defaults(run=sources_command)
    pack = verbs.add_parser("pack", help="write a recipe's world and text encoder as one file")
    pack.add_argument("recipe", metavar="RECIPE", help="whose concepts and size are packed")
    pack.add_argument("out", type=Path, metavar="FILE", help="zip file to write")
    pack.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", default=[], help="as given to train"
    )
    pack.set_defaults(run=pack_command)


def preview_command(chosen: argparse.Namespace) -> None:
    """Writes the contact sheet."""
    from instruct_imagen.data.world.preview import preview

    if chosen.size < 8:
        raise UsageError(f"--size must be at least 8, not {chosen.size}")
    if chosen.count * chosen.size**2 > MAX_PIXELS:
        raise UsageError(
            f"--count {chosen.count} scenes of --size {chosen.size} make too large a sheet: at "
            f"that size at most {MAX_PIXELS // chosen.size**2}"
        )
    check_file(chosen.out, suffix=".png")
    print(preview(chosen.out, seed=chosen.seed, count=chosen.count, size=chosen.size))


def sources_command(_: argparse.Namespace) -> None:
    """Lists the sources: whether they are here, what they hold, whose it is, how to get them."""
    from instruct_imagen.data.world.artwork.base import KeptFiles
    from instruct_imagen.data.world.artwork.registry import SOURCES
    from instruct_imagen.data.world.holdout import named_like_heldout
    from instruct_imagen.data.world.npm import WorldUnavailable

    for name, source in SOURCES.items():
        print(f"{name}: {source.content}")
        folder = source.find()
        if folder is None:
            print(f"  not here yet: {source.get}")
            continue
        try:
            found = source.read()
        except WorldUnavailable as error:  # half of it is here: the others are still listed
            print(f"  cannot be read: {error}")
            continue
        count = sum(len(drawings.names()) for drawings in found.values())
        print(f"  {count:,} drawings in {folder}")
        for style, drawings in found.items():
            about = drawings.manifest()
            print(
                f"  {style}: {len(drawings.names()):,} drawings, {about['licence']}, "
                f"{about['author']}, {about['package']} {about['version']}"
            )
            if isinstance(drawings, KeptFiles):
                trained = sum(not named_like_heldout(name) for name in drawings.names())
                print(
                    f"  {style}: {len(drawings.names()):,} of {drawings.looked_at:,} files kept, "
                    f"{trained:,} in training"
                )


def pack_command(chosen: argparse.Namespace) -> None:
    """Writes the packed world."""
    from instruct_imagen.recipes import override, recipe
    from instruct_imagen.training.packed_world import pack_world

    check_file(chosen.out, name="FILE")
    path = pack_world(override(recipe(chosen.recipe), chosen.settings), chosen.out)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
