"""What corpora in folders share: names of images, texts beside them, splits, safe paths."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from instruct_imagen.data.corpora.base import CorpusError, EntryError, no_right

E = TypeVar("E")

NO_CAPTION = "no caption"
NO_IMAGE = "no image"
NO_TEXT = "text is not UTF-8"
"""Reasons of problems that several corpora have."""

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".jp2")
)
"""By which files of a folder are taken for images; formats as in `images.FORMATS`."""

SPLITS = {"train": "train", "training": "train", "valid": "valid", "validation": "valid",
          "val": "valid", "dev": "valid", "test": "test"}  # fmt: skip
"""Names of splits that are in use -> ours."""


def first_of(folder: Path, *candidates: str) -> Path | None:
    """The first of several places that is there."""
    return next((folder / name for name in candidates if (folder / name).exists()), None)


def images_in(folder: Path) -> list[Path]:
    """The images that lie in a folder itself, by name; hidden ones are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )


def folders_in(folder: Path) -> list[Path]:
    """The folders that lie in a folder itself, by name; hidden ones are none."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def files_below(folder: Path, *suffixes: str) -> list[str]:
    """Files with one of `suffixes` in a folder and all folders in it: relative paths, sorted.

    Hidden files are none, nor what lies in the ``lost+found`` of a disk, and links to folders are
    not followed.

    Raises:
        CorpusError: A folder may not be read: what is in it must not be passed over in silence.
    """

    def refused(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise CorpusError(no_right(error.filename)) from error
        raise CorpusError(
            f"{error.filename} cannot be read ({error.strerror}): see whether its disk is there"
        ) from error

    found = []
    for place, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [n for n in folders if not n.startswith(".") and n != "lost+found"]
        inner = os.path.relpath(place, folder).replace(os.sep, "/")
        prefix = "" if inner == "." else f"{inner}/"
        found += [
            f"{prefix}{name}"
            for name in files
            if name.lower().endswith(suffixes) and not name.startswith(".")
        ]
    return sorted(found)


def lines_of(
    path: Path, error: type[CorpusError] | type[EntryError] = CorpusError
) -> Iterator[str]:
    """Lines of a text file, without spaces around them, and without the empty ones.

    Raises:
        CorpusError: It is not UTF-8 text, or cannot be read; or an `EntryError` if that is `error`.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line in file:
                if line.strip():
                    yield line.strip()
    except UnicodeDecodeError as cause:
        raise error(f"{path} is not UTF-8 text ({cause.reason}): download it anew") from cause
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror or cause}") from cause


def json_of(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        CorpusError: It is no JSON, or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{path} is no JSON ({error}): download it anew") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from error


def text_beside(path: Path) -> str:
    """The words of ``name.txt`` beside ``name.jpg``, in one line; empty if there is none.

    Raises:
        EntryError: It is not UTF-8 text, or cannot be read.
    """
    beside = path.with_suffix(".txt")
    if not beside.is_file():
        return ""
    try:
        return one_line(beside.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise EntryError(f"{beside.name} beside {path.name} is not UTF-8 text", NO_TEXT) from error
    except OSError as error:
        raise EntryError(
            f"{beside.name} cannot be read: {error.strerror or error}", "no file"
        ) from error


def one_line(text: str) -> str:
    """Text without line breaks and doubled spaces."""
    return " ".join(text.split())


def spoken(name: str) -> str:
    """The name of a file or folder as words: ``"Pop_Art"`` -> ``"pop art"``."""
    return one_line(name.replace("_", " ").replace("-", " ")).lower()


def inside(folder: Path, relative: str) -> Path:
    """A path that a data set's own file names.

    Raises:
        EntryError: It leads out of the folder.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise EntryError(f"{relative!r} leads out of the data set's folder")
    return folder / path


def of_split(found: Iterable[tuple[str, E]], split: str | None, place: Path) -> list[E]:
    """The entries of one split.

    Args:
        found: Pairs of a split's name and an entry.
        split: Which; None for all entries.
        place: Where they were found, for the error.

    Raises:
        CorpusError: There is none of this split.
    """
    pairs = list(found)
    chosen = [entry for name, entry in pairs if split in (None, name)]
    if split is not None and not chosen:
        names = sorted({name for name, _ in pairs if name})
        raise CorpusError(
            f"{place} has no split {split!r}: use {' or '.join(names)}"
            if names
            else f"{place} says nothing of splits: leave split={split} out"
        )
    return chosen
