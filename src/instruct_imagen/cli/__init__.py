"""The command `instruct-imagen`: one thin module a command."""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pkgutil import iter_modules
from typing import Any, NoReturn

# Of the help; others follow.
_ORDER = {"generate": 0, "demo": 1, "train": 2, "export": 3, "world": 4, "annotate": 5}


class OneLineParser(argparse.ArgumentParser):
    """argparse whose errors are one line that ends with the way to help.

    The parser of the chosen command is in the parsed arguments as `parser`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # A shortened option would change its meaning with the next option that begins alike.
        super().__init__(*arguments, allow_abbrev=False, **options)
        self.set_defaults(parser=self)

    def unknown(self, given: Sequence[str]) -> NoReturn:
        """The error for arguments that it does not know."""
        option = given[0].partition("=")[0]
        close = difflib.get_close_matches(option, self._option_string_actions, n=1)
        self.error(
            f"unrecognized arguments: {' '.join(given)}"
            + (f" – did you mean {close[0]}?" if close else "")
        )

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with status 2."""
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The whole command line: every module of this folder with an `add`."""
    root = OneLineParser(
        prog="instruct-imagen",
        description="Pictures from multi-modal instructions: text with [ref#k] markers and images.",
    )
    root.add_argument("--version", action="version", version=f"instruct-imagen {_version()}")
    commands = root.add_subparsers(metavar="COMMAND", required=True, parser_class=OneLineParser)
    for found in sorted(iter_modules(__path__), key=lambda found: _ORDER.get(found.name, 99)):
        module = import_module(f"{__name__}.{found.name}")
        if hasattr(module, "add"):
            module.add(commands)
    return root


def _version() -> str:
    try:
        return version("instruct-imagen")
    except PackageNotFoundError:  # run from its folder, as runs/starter_gpu.sh does
        return "(not installed)"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of a command; ``key=value`` settings may stand before and after options.

    argparse alone takes a list of positional arguments in one run only.
    """
    root = parser()
    chosen, more = root.parse_known_args(arguments)
    unknown = [given for given in more if given.startswith("-") or not hasattr(chosen, "settings")]
    if unknown:
        chosen.parser.unknown(unknown)
    if more:
        chosen.settings = [*chosen.settings, *more]
    return chosen


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; wrong input is one line on stderr and exit status 2."""
    warnings.showwarning = _one_line_warning
    try:
        _run(parse(arguments))
    except KeyboardInterrupt:
        print("instruct-imagen: stopped", file=sys.stderr)
        sys.exit(130)


def _run(chosen: argparse.Namespace) -> None:
    from instruct_imagen.cli.errors import user_errors

    try:
        chosen.run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, head for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except user_errors() as error:
        print(f"instruct-imagen: {_line(error)}", file=sys.stderr)
        sys.exit(2)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _one_line_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"instruct-imagen: warning: {' '.join(str(message).split())}", file=sys.stderr)
