"""The command `instruct-imagen`: one thin module a command."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

COMMANDS = ("generate", "demo", "train", "export", "world")


class OneLineParser(argparse.ArgumentParser):
    """argparse whose errors are one line that ends with the way to help."""

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with status 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The whole command line; importing it loads no network code."""
    root = OneLineParser(
        prog="instruct-imagen",
        description="Pictures from multi-modal instructions: text with [ref#k] markers and images.",
    )
    commands = root.add_subparsers(metavar="COMMAND", required=True, parser_class=OneLineParser)
    for name in COMMANDS:
        import_module(f"{__name__}.{name}").add(commands)
    return root


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of a command; ``key=value`` settings may stand before and after options.

    argparse alone takes a list of positional arguments in one run only.
    """
    root = parser()
    chosen, more = root.parse_known_args(arguments)
    unknown = [given for given in more if given.startswith("-") or not hasattr(chosen, "settings")]
    if unknown:
        root.error(f"unrecognized arguments: {' '.join(unknown)}")
    if more:
        chosen.settings = [*chosen.settings, *more]
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; wrong input is one line on stderr and exit status 2."""
    chosen = parse(arguments)
    warnings.showwarning = _one_line_warning
    from instruct_imagen.cli.errors import user_errors

    try:
        chosen.run(chosen)
    except user_errors() as error:
        print(f"instruct-imagen: {_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("instruct-imagen: stopped", file=sys.stderr)
        sys.exit(130)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _one_line_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"instruct-imagen: warning: {' '.join(str(message).split())}", file=sys.stderr)
