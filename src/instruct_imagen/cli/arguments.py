"""What several commands ask of their arguments, before any work is done."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from instruct_imagen.cli.errors import UsageError


def check_file(path: Path, *, suffix: str = "", name: str = "--out") -> None:
    """Raises a `UsageError` unless a file can be written at `path`.

    Args:
        path: Of the file; folders on its way may be missing.
        suffix: That it must have, e.g. ``".png"``; empty for any.
        name: How the user gave it.
    """
    if path.is_dir():
        raise UsageError(f"{name} must name a file, and '{path}' is a folder")
    if suffix and path.suffix.lower() != suffix:
        raise UsageError(f"{name} must name a {suffix} file, not '{path}'")
    check_folder(path.parent, name=name)


def check_folder(path: Path, *, name: str) -> None:
    """Raises a `UsageError` unless files can be written below `path`, which may be missing."""
    try:
        there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    except OSError as error:
        raise UsageError(f"{name}: '{path}' cannot be written: {error.strerror}") from error
    if not there.is_dir():
        raise UsageError(f"{name}: '{there}' is a file, and a folder is needed there")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{name}: the folder '{there}' does not let you write: name another")


def is_number(text: str) -> bool:
    """True for plain digits, few enough to be a count or a marker ("²" is a digit to Python)."""
    return text.isascii() and text.isdigit() and len(text) < 10


def seed(text: str) -> int:
    """A seed, for argparse."""
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 2^63 - 1, not '{text}'")
    return int(text)


def positive(text: str) -> int:
    """A count from 1, for argparse."""
    if not is_number(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not '{text}'")
    return int(text)


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not '{text}'")
    return value
