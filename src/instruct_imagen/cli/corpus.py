"""`instruct-imagen corpus`: which data sets can be read, and whether a folder holds one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instruct_imagen.cli.arguments import positive
from instruct_imagen.cli.errors import UsageError


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command and its two verbs."""
    own = commands.add_parser(
        "corpus",
        help="list data sets that can be read, or check one",
        description="Data sets that you download, in their published layouts.",
    )
    verbs = own.add_subparsers(metavar="VERB", required=True, parser_class=type(own))
    every = verbs.add_parser("list", help="all of them: where they are, their licence and layout")
    every.set_defaults(run=list_command)
    look = verbs.add_parser(
        "check",
        help="read a folder: counts, problems, a few captions",
        epilog="example: instruct-imagen corpus check wikiart data/wikiart split=train",
    )
    look.add_argument("name", metavar="NAME", help="one of `corpus list`")
    look.add_argument("folder", type=Path, metavar="FOLDER", help="where it lies")
    look.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", default=[], help="options of this data set"
    )
    look.add_argument(
        "--decode", action="store_true", help="decode every image, not its header alone (slow)"
    )
    look.add_argument(
        "--first", type=positive, metavar="N", help="stop after N records (all are read)"
    )
    look.set_defaults(run=check_command)


def list_command(chosen: argparse.Namespace) -> None:
    """Writes what users must know of each data set."""
    from instruct_imagen.data.corpora.registry import all_corpora, options_of

    for name, corpus in all_corpora().items():
        about = corpus.about
        print(f"{name}: {about.title}, as {corpus.record.__name__} records")
        for title in ("source", "licence", "download", "layout"):
            print(f"  {title:<9} {getattr(about, title)}")
        if options_of(corpus):
            print(f"  {'options':<9} {', '.join(f'{one}=…' for one in options_of(corpus))}")


def check_command(chosen: argparse.Namespace) -> None:
    """Reads a data set and writes what it found."""
    from instruct_imagen.data.corpora import Reading, open_corpus

    options = options_in(chosen.settings)
    corpus = open_corpus(chosen.name, chosen.folder, Reading(decode=chosen.decode), **options)
    stream = corpus.records()
    records = images = 0
    shown: list[Any] = []
    for record in stream:
        records += 1
        images += len(record.pictures)
        if len(shown) < 3:
            shown.append((record.key, record.words))
        if records == chosen.first:
            break
    print(f"{corpus.about.title} in {chosen.folder}")
    print(f"licence   {corpus.about.licence}")
    print(f"records   {records:,} ({corpus.record.__name__})")
    print(f"images    {images:,}, {'decoded' if chosen.decode else 'headers read'}")
    print(f"problems  {stream.problems.count:,}")
    for problem in stream.problems.first:
        print(f"  {problem}")
    for key, words in shown:
        print(f"{key}: {words[:200]}")


def options_in(settings: Sequence[str]) -> dict[str, str]:
    """Options of a data set from ``KEY=VALUE`` texts."""
    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not value:
            raise UsageError(f"an option of a data set is KEY=VALUE, not '{setting}'")
        options[key] = value
    return options
