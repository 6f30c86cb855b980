"""`instruct-imagen suites`: the frozen evaluation suites, and folders of your own images."""

from __future__ import annotations

import argparse
from pathlib import Path

from instruct_imagen.cli.arguments import check_file, check_folder, positive
from instruct_imagen.cli.errors import UsageError


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its verbs."""
    own = commands.add_parser(
        "suites", help="list, look at or make evaluation suites", description="Evaluation suites."
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    listed = verbs.add_parser("list", help="list the suites: cases, groups, hash, what they need")
    listed.set_defaults(run=list_command)
    look = verbs.add_parser("preview", help="write a contact sheet of a suite")
    look.add_argument("suite", metavar="SUITE", help="name, all, or a folder with suite.json")
    look.add_argument("out", type=Path, metavar="OUT.png", help="PNG to write")
    look.add_argument("--each", type=positive, default=4, help="cases of a group (4)")
    look.add_argument("--size", type=positive, default=64, help="pixels of a picture (64)")
    look.add_argument("--group", default="", help="only this group")
    look.set_defaults(run=preview_command)
    frozen = verbs.add_parser("freeze", help="draw the suites of the starter world anew")
    frozen.add_argument("folder", type=Path, metavar="FOLDER", help="new folder to write")
    frozen.set_defaults(run=freeze_command)
    made = verbs.add_parser("from", help="make a suite of a data set that you have on disk")
    made.add_argument("source", metavar="SOURCE", help="dreambench, custom_concept101, imagenhub")
    made.add_argument("folder", type=Path, metavar="FOLDER", help="where it lies")
    made.add_argument("out", type=Path, metavar="OUT", help="new folder to write")
    made.set_defaults(run=from_command)


def list_command(_: argparse.Namespace) -> None:
    """Lists the frozen suites."""
    from instruct_imagen.evaluation.suites.registry import suite_names
    from instruct_imagen.evaluation.suites.world import ALL, world_suite

    for name in (*suite_names(), ALL):
        suite = world_suite(name)
        styles = sorted({style for _, style in suite.sprites})
        faces = sum(style.startswith("dicebear") for style in styles)
        needs = "emoji" + (" and faces" if faces else "")
        print(
            f"{name}: {len(suite.stored):,} cases, version {suite.version}, "
            f"sha256 {suite.sha256[:16]}; needs {needs}: {len(suite.sprites):,} drawings"
        )
        if name != ALL:
            for group, count in suite.groups.items():
                unseen = [one.unseen for one in suite.stored if one.group == group and one.unseen]
                parts = {what: unseen.count(what) for what in dict.fromkeys(unseen)}
                note = ", ".join(f"{many} of an unseen {what}" for what, many in parts.items())
                print(f"  {group}: {count}{f' ({note})' if note else ''}")


def preview_command(chosen: argparse.Namespace) -> None:
    """Writes the contact sheet."""
    from instruct_imagen.evaluation.suites.preview import suite_sheet
    from instruct_imagen.evaluation.suites.registry import open_suite
    from instruct_imagen.images import save_png

    if not 8 <= chosen.size <= 512:
        raise UsageError(f"--size must be from 8 to 512, not {chosen.size}")
    check_file(chosen.out, suffix=".png", name="OUT.png")
    suite = open_suite(chosen.suite)
    sheet = suite_sheet(suite, each=chosen.each, size=chosen.size, group=chosen.group)
    save_png(chosen.out, sheet)
    print(chosen.out)


def freeze_command(chosen: argparse.Namespace) -> None:
    """Draws the suites into a new folder."""
    from instruct_imagen.evaluation.suites.freeze import freeze

    check_folder(chosen.folder, name="FOLDER")
    print(freeze(chosen.folder))


def from_command(chosen: argparse.Namespace) -> None:
    """Makes a folder suite."""
    from instruct_imagen.evaluation.suites.from_data import make_suite

    check_folder(chosen.out, name="OUT")
    suite, notes = make_suite(chosen.source, chosen.folder, chosen.out)
    for note in notes:
        print(note)
    counts = ", ".join(f"{group} {count}" for group, count in suite.groups.items())
    print(f"{chosen.out}: {len(suite.found):,} cases ({counts}), sha256 {suite.sha256[:16]}")
