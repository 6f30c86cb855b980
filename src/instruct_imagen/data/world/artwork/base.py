"""What a source of drawings is, and what adapters share: names, lists that are made once, files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from ..npm import WorldUnavailable, cache_folder, digest


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


BY_NPM = "installed by npm when first needed (apt install nodejs npm)"
"""How the sources come that are no packages of Debian."""

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
    """A short name for the state of a folder: paths, sizes and times of change of its files."""
    states = ((path, path.stat()) for path in files)
    lines = (f"{path.relative_to(folder)} {at.st_size} {at.st_mtime_ns}" for path, at in states)
    return digest("\n".join(lines).encode())


def sha256_of(paths: Iterable[Path]) -> str:
    """Of the contents of files, in their order."""
    found = hashlib.sha256()
    for path in paths:
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def debian_version(package: str) -> str:
    """The version of an installed Debian package; "unknown" where dpkg does not know it."""
    try:
        text = Path("/var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    found = re.search(rf"^Package: {re.escape(package)}\n(?:.+\n)*?Version: (.+)$", text, re.M)
    return found.group(1) if found else "unknown"


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


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptFiles(ABC):
    """Those files of a folder that are kept as drawings, in one style: `Drawings` of files.

    Attributes:
        folder: Where they are.
        paths: Concept → path below it.
        authors: Who drew them, as far as the files say so.
        looked_at: How many files there are, kept or not.
        sha256: Of the contents of those that are kept.
    """

    style: ClassVar[str]
    folder: Path
    paths: Mapping[str, str]
    authors: tuple[str, ...] = ()
    looked_at: int
    sha256: str

    def names(self) -> set[str]:
        """All concepts."""
        return set(self.paths)

    @abstractmethod
    def manifest(self) -> dict[str, str]:
        """See `Drawings`."""

    @abstractmethod
    def draw(self, name: str, side: int) -> np.ndarray | None:
        """See `Drawings`."""


@dataclass(frozen=True, kw_only=True)
class DebianFiles(ABC):
    """A source whose drawings are files of a Debian package; see `Source`.

    Attributes:
        package: Name of the package.
        suffix: Of the files that are looked at.
        also: Suffix of files beside them that matter as well; may be empty.
        rules: Counts up whenever what is kept changes, so that no stale list is used.
        drawings: What `read` gives.
        folder: Where the package puts them.
    """

    name: ClassVar[str]
    content: ClassVar[str]
    package: ClassVar[str]
    suffix: ClassVar[str]
    also: ClassVar[str] = ""
    rules: ClassVar[int]
    drawings: ClassVar[type[KeptFiles]]
    folder: Path

    @property
    def get(self) -> str:
        """See `Source`."""
        return f"apt install {self.package}"

    @property
    def styles(self) -> tuple[str, ...]:
        """See `Source`."""
        return (self.drawings.style,)

    @abstractmethod
    def keep(self) -> tuple[dict[str, str], set[str]]:
        """Concept → path below the folder of each file that is kept, and their authors.

        Raises:
            WorldUnavailable: Something that it takes is not here.
        """

    def depends_on(self) -> str:
        """A short name for what else decides what is kept."""
        return ""

    def find(self) -> Path | None:
        """See `Source`."""
        return self.folder if self.folder.is_dir() else None

    def read(self) -> Mapping[str, KeptFiles]:
        """See `Source`; looks through all files once."""
        if self.find() is None:
            raise WorldUnavailable(f"there is no folder {self.folder}: {self.get}")
        files = sorted(
            path for path in self.folder.rglob("*") if path.suffix in (self.suffix, self.also)
        )
        looked_at = sum(path.suffix == self.suffix for path in files)

        def look() -> dict[str, Any]:
            print(f"source {self.name}: looking through {looked_at:,} files once", file=sys.stderr)
            paths, authors = self.keep()
            if not paths:
                raise WorldUnavailable(
                    f"{self.folder} holds no {self.content}: apt install --reinstall {self.package}"
                )
            sha256 = sha256_of(self.folder / path for path in paths.values())
            return {"paths": paths, "authors": sorted(authors), "sha256": sha256}

        state = "-".join(filter(None, (listing(self.folder, files), self.depends_on())))
        known = remembered(f"{self.name}-{self.rules}-{state}", look)
        kept = self.drawings(
            folder=self.folder,
            paths=known["paths"],
            authors=tuple(known["authors"]),
            looked_at=looked_at,
            sha256=known["sha256"],
        )
        return {kept.style: kept}
