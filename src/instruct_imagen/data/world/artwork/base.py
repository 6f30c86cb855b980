"""What a source of drawings is, and what adapters share: names, lists that are made once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..npm import cache_folder, digest


class Drawings(Protocol):
    """All that one source draws in one style.

    Attributes:
        style: Its name, as pairs and atlases have it.
        sha256: Of what is drawn from, so that no stale sprite is used.
    """

    @property
    def style(self) -> str: ...  # noqa: D102

    @property
    def sha256(self) -> str: ...  # noqa: D102

    def names(self) -> set[str]:
        """All names that it answers to."""
        ...

    def manifest(self) -> dict[str, str]:
        """Package, version, licence, author and hash, for files made from it and for credit."""
        ...

    def draw(self, name: str, side: int) -> np.ndarray | None:
        """One drawing, whose content fills the square.

        Returns:
            (4, side, side) uint8: red, green, blue (premultiplied), alpha; None where it is empty.

        Raises:
            KeyError: There is none of that name.
        """
        ...


class Source(Protocol):
    """One adapter.

    Attributes:
        name: As the setting `sources` has it.
        content: What kind of pictures it gives, in a few words.
        get: How to get it, in one line.
        styles: What `read` gives, where it is whole.
    """

    name: str
    content: str
    get: str
    styles: tuple[str, ...]

    def find(self) -> Path | None:
        """Its folder; None where it is not installed (nothing is installed here)."""
        ...

    def read(self) -> Mapping[str, Drawings]:
        """Its drawings by style; installs what it can install by itself.

        Raises:
            WorldUnavailable: It is not here; the message says how to get it.
        """
        ...


MOST_WORDS = 4
_WORD = re.compile(r"[a-z]{2,}")
# A thing that stands in some relation to another is a sentence in the making, not a name.
_RELATIONS = frozenset(
    """
    a about above an and another are as at behind by called can de del der di du el en et for from
    has have in into is it la le les my near of on or our out over per some that the this to two
    three und under up very with without your
    """.split()  # noqa: SIM905 (a list of so many words would be longer and no clearer)
)
# What has no article, or names no one thing, so that "a …" would be wrong.
_UNCOUNTED = frozenset(
    """
    abstract another architecture art background bacon beef blank bread butter cash cheese chicken
    clipart clothing clothes coal coffee collection colour color corn corner design detail dough
    drawing electricity equipment fabric face flour fire fruit fur furniture garlic general ginger
    glass gold grass hair ham hardware hay honey ice icon image ink jewelry juice ketchup label
    lettuce lightning line luggage man meat men milk money mud music mustard news paper parsley part
    pasta pepper people picture pork pottery rain red rice rope salt sample sand shadow shape silver
    smoke snow soap soil spaghetti sport steel style sugar symbol tea text thing toast tobacco
    traffic unknown version vinegar water weather wheat white wine women wood wool work yarn black
    blue brown green grey gray orange pink purple yellow big small old new left right open closed
    male female flat round square simple plain baby cartoon funny
    """.split()  # noqa: SIM905
)
_SINGULAR_S = re.compile(r"(ss|us|is|lens)$")


def singular(word: str) -> str:
    """A word without the ending of its plural, by spelling alone: ``"cherries"`` → ``"cherry"``."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and re.search(r"(s|x|z|ch|sh)es$", word):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not _SINGULAR_S.search(word):
        return word[:-1]
    return word


def noun_phrase(words: str, *, counted: bool = False) -> str | None:
    """The concept that a few lower-case words name, with which "a …" or "an …" is right.

    Args:
        words: E.g. ``"red apple"``.
        counted: Somebody wrote an article before them, so that they are known to be countable.

    Returns:
        E.g. ``"red-apple"``; None for more than `MOST_WORDS` words, anything that is no plain
        word, relations ("horse with rider"), plurals and what is not counted.
    """
    parts = words.split()
    if not 1 <= len(parts) <= MOST_WORDS or not all(_WORD.fullmatch(part) for part in parts):
        return None
    if _RELATIONS & set(parts) or singular(parts[-1]) != parts[-1]:
        return None
    if not counted and parts[-1] in _UNCOUNTED:
        return None
    return "-".join(parts)


def listing(folder: Path, files: Iterable[Path]) -> str:
    """A short name for the state of a folder: paths and sizes of its files."""
    lines = (f"{path.relative_to(folder)} {path.stat().st_size}" for path in files)
    return digest("\n".join(lines).encode())


def sha256_of(paths: Iterable[Path]) -> str:
    """Of the contents of files, in their order."""
    found = hashlib.sha256()
    for path in paths:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def remembered(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was found out once, by a name that says from what and by which rules.

    Args:
        name: Of the file in the cache folder.
        make: Finds it out: a JSON object.
    """
    path = cache_folder() / "sources" / f"{name}.json"
    if path.is_file():
        try:
            return json.loads(path.read_text())
        except ValueError:
            path.unlink()  # half a file: found out anew
    found = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(found, file, sort_keys=True)
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return found
