"""What the steps of a build have left: parts that are whole, and what each was made of.

A step has a folder, in which each part is some files and a manifest, ``<part>.json``, that is
written last. A part is done if its manifest says that it was made with these settings of these
inputs, and its files are there. Inputs are named by the hashes in the manifests of the step before,
so a part is made anew when what it came from has other bytes, and only then. Nothing else is
remembered: a build that ended at any moment goes on with the parts that are not done.

A worker may outlive its build, and finish a part while the next build is at work on it. So a build
claims its folder with a word of its own, which its workers carry; files get their names under a
lock, and only while the word is still that of whoever made them.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instruct_imagen.data.clusters.rows import LINES, ClusterError, Tally
from instruct_imagen.data.corpora.base import no_right
from instruct_imagen.data.shards.layout import (
    DRAFTS,
    draft_of,
    sha256_of,
    sync_folder,
    write_whole,
)

FORMAT = 1
"""Of manifests; those of another one are not read, and their parts made anew."""

MANIFEST = ".json"

CLAIM = ".claim"
"""Beside the folders of steps: the word of the build that may write there."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)

_PARSED = 8192  # manifests that are kept parsed: some 3 KB each

NOTED = 5
"""Lines for a person that `Draft.count` keeps of each count."""


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """What a part of a step has left.

    Attributes:
        part: Its name, e.g. ``"00017"``.
        inputs: What it was made of: a name → what tells its bytes (a hash, or size and time).
        files: Its files by name in the step's folder: length in bytes and SHA-256.
        counts: How many of what, e.g. ``{"kept": 990, "too small": 10}``.
        notes: The first lines that a person should see of each count.
    """

    part: str
    inputs: Mapping[str, str]
    files: Mapping[str, tuple[int, str]]
    counts: Mapping[str, int]
    notes: Mapping[str, tuple[str, ...]]

    def hashes(self, ending: str = "") -> dict[str, str]:
        """SHA-256 of the files whose names end so, by name: the inputs of a later step."""
        return {name: sha for name, (_, sha) in self.files.items() if name.endswith(ending)}


@dataclass
class Draft:
    """A part at work; see `StepFolder.making`.

    Attributes:
        counts: See `PartRecord`.
        notes: See `PartRecord`.
    """

    _folder: Path
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    _files: dict[str, Path] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Where to write the file that shall be called `name`; a name nobody else writes to."""
        return self._files.setdefault(name, draft_of(self._folder / name))

    def count(self, what: str, number: int = 1, note: str | None = None) -> None:
        """Counts, and keeps the first `NOTED` lines of each."""
        self.counts[what] = self.counts.get(what, 0) + number
        if note is not None and len(kept := self.notes.setdefault(what, [])) < NOTED:
            kept.append(note)

    def tally(self, tally: Tally) -> None:
        """Counts what a step left out; its lines, which name their reasons, are kept together."""
        for what, number in tally.counts.items():
            self.count(what, number)
        if tally.lines:
            self.notes["left out"] = list(tally.lines[:LINES])


class StepFolder:
    """The parts of one step.

    Args:
        folder: Of this step alone; made if it is not there.
        settings: What its results depend on besides their inputs, as plain JSON types.
        word: Of the build that it is used by, see `claim`; empty for none.

    Raises:
        ClusterError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], word: str = "") -> None:
        self.folder = folder
        self.word = word
        self.settings = json.loads(json.dumps(dict(settings)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None

    def kept(self, part: str, inputs: Mapping[str, str]) -> PartRecord | None:
        """The part, if it is done with these settings and inputs; else None.

        Files are told by their lengths: to hash them all would take as long as to make some.
        """
        record = self.record(part)
        if record is None or dict(record.inputs) != dict(inputs):
            return None
        for name, (size, _) in record.files.items():
            try:
                if (self.folder / name).stat().st_size != size:
                    return None
            except OSError:
                return None
        return record

    def record(self, part: str) -> PartRecord | None:
        """What the part's manifest says, if it is one of these settings."""
        settings, record = _parsed(self.folder / f"{part}{MANIFEST}", part)
        return record if settings == self.settings else None

    @contextmanager
    def making(self, part: str, inputs: Mapping[str, str]) -> Iterator[Draft]:
        """Makes a part: its files get their names, and it its manifest, when the block ends.

        Where the block raises, or the process ends, what is there of the part stays as it was.

        Raises:
            ClusterError: The disk is full, the folder cannot be written to, or another build has
                claimed it since.
        """
        draft = Draft(self.folder)
        try:
            try:
                yield draft
            except OSError as error:
                if error.errno not in _FULL:
                    raise  # an input that is gone, for example
                raise refused(self.folder, error) from error
            self._keep(part, inputs, draft)
        finally:
            for path in draft._files.values():
                path.unlink(missing_ok=True)

    def _keep(self, part: str, inputs: Mapping[str, str], draft: Draft) -> None:
        """Gives the files their names, and writes the manifest."""
        try:
            files = {}
            for name, path in draft._files.items():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                files[name] = (path.stat().st_size, sha256_of(path))
            record = {
                "format": FORMAT, "settings": self.settings, "inputs": dict(inputs), "files": files,
                "counts": draft.counts, "notes": draft.notes,
            }  # fmt: skip
            with _claimed(self.folder.parent) as word:
                if word != self.word:
                    raise ClusterError(
                        f"another build has begun in {self.folder.parent} since this one made "
                        f"{self.folder.name} {part}, which is not kept: let the other one end"
                    )
                # The manifest of what was there goes first: it is never beside files of another
                # making.
                (self.folder / f"{part}{MANIFEST}").unlink(missing_ok=True)
                sync_folder(self.folder)
                for name, path in draft._files.items():
                    os.replace(path, self.folder / name)
                sync_folder(self.folder)
                _known.pop(self.folder / f"{part}{MANIFEST}", None)  # a clock may be coarse
                write_whole(self.folder / f"{part}{MANIFEST}", json.dumps(record, indent=1) + "\n")
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def clear(self) -> None:
        """Removes what processes that were ended have left half-written."""
        for path in self.folder.glob(DRAFTS):
            path.unlink(missing_ok=True)

    def prune(self, parts: Iterable[str]) -> None:
        """Removes what is not of these parts, such as those of an earlier, larger corpus."""
        known = set()
        for part in parts:
            record = self.record(part)
            known |= {f"{part}{MANIFEST}", *(record.files if record else ())}
        for path in self.folder.iterdir():
            if path.name not in known:
                path.unlink(missing_ok=True)


def claim(root: Path, word: str) -> None:
    """Makes the steps of a folder those of one build: no other one's worker finishes a part there.

    Raises:
        ClusterError: The folder cannot be written to.
    """
    try:
        # In place: who waits for the lock waits for that of this very file.
        with _claimed(root), (root / CLAIM).open("w", encoding="utf-8") as file:
            file.write(word)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(root, error) from error


@contextmanager
def _claimed(root: Path) -> Iterator[str]:
    """The word of the build that has claimed a folder, which no other one takes meanwhile."""
    with (root / CLAIM).open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        yield file.read()


_known: dict[Path, tuple[tuple[int, int, int], tuple[Any, PartRecord | None]]] = {}
"""Manifests that were read: time, length and inode, and what they say."""


def _parsed(path: Path, part: str) -> tuple[Any, PartRecord | None]:
    """Settings and record of a manifest, None for a bad one; parsed once as long as it stays."""
    try:
        found = path.stat()
    except OSError:
        return None, None
    stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
    known = _known.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    if len(_known) >= _PARSED:
        _known.clear()
    _known[path] = (stamp, _read(path, part))
    return _known[path][1]


def _read(path: Path, part: str) -> tuple[Any, PartRecord | None]:
    try:
        stored = json.loads(path.read_bytes())
        if stored["format"] != FORMAT:
            return None, None
        return stored["settings"], PartRecord(
            part=part,
            inputs=stored["inputs"],
            files={name: (size, sha) for name, (size, sha) in stored["files"].items()},
            counts=stored["counts"],
            notes={name: tuple(lines) for name, lines in stored["notes"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None, None  # half of one, or another program's: the part is not done


def unwritable(folder: Path, error: OSError) -> ClusterError:
    """One line for what the disk refused."""
    return ClusterError(
        f"cannot write to {folder} ({error.strerror or error}): name a folder on a disk with room "
        "that you may write to"
    )


def refused(folder: Path, error: OSError) -> ClusterError:
    """One line for what the disk refused to whoever makes a part: to write, or to read an input."""
    # Arrow's errors name files in their words alone.
    words = re.search(r"'(/[^']*)'", str(error))
    named = error.filename or (words and words[1])
    own = folder.parent.resolve()
    if error.errno == errno.EACCES and named and not Path(named).resolve().is_relative_to(own):
        return ClusterError(no_right(named))
    return unwritable(folder, error)


def total(records: Iterable[PartRecord]) -> dict[str, int]:
    """Counts of all parts together, the largest first."""
    sums: dict[str, int] = {}
    for record in records:
        for what, number in record.counts.items():
            sums[what] = sums.get(what, 0) + number
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))
