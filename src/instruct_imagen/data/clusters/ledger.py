"""What the steps of a build have left: parts that are whole, and what each was made of.

A step has a folder, in which each part is some files and a manifest, ``<part>.json``, that is
written last. A part is done if its manifest says that it was made with these settings of these
inputs, and its files are there. Inputs are named by the hashes in the manifests of the step before,
so a part is made anew when what it came from has other bytes, and only then. Nothing else is
remembered: a build that ended at any moment goes on with the parts that are not done.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instruct_imagen.data.clusters.rows import LINES, ClusterError, Tally
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
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)

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

    Raises:
        ClusterError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = json.loads(json.dumps(dict(settings)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None

    def kept(self, part: str, inputs: Mapping[str, str]) -> PartRecord | None:
        """The part, if it is done with these settings and inputs; else None.

        Files are told by their lengths; `damaged` compares their hashes.
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
        try:
            stored = json.loads((self.folder / f"{part}{MANIFEST}").read_bytes())
            if stored["format"] != FORMAT or stored["settings"] != self.settings:
                return None
            return PartRecord(
                part=part,
                inputs=stored["inputs"],
                files={name: (size, sha) for name, (size, sha) in stored["files"].items()},
                counts=stored["counts"],
                notes={name: tuple(lines) for name, lines in stored["notes"].items()},
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None  # not there, half of one, or another program's: the part is not done

    @contextmanager
    def making(self, part: str, inputs: Mapping[str, str]) -> Iterator[Draft]:
        """Makes a part: its files get their names, and it its manifest, when the block ends.

        Where the block raises, or the process ends, what is there of the part stays as it was.

        Raises:
            ClusterError: The disk is full or the folder cannot be written to.
        """
        draft = Draft(self.folder)
        try:
            try:
                yield draft
            except OSError as error:
                if error.errno not in _FULL:
                    raise  # an input that is gone, for example
                raise unwritable(self.folder, error) from error
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
            # The manifest of what was there goes first: it is never beside files of another making.
            (self.folder / f"{part}{MANIFEST}").unlink(missing_ok=True)
            sync_folder(self.folder)
            for name, path in draft._files.items():
                os.replace(path, self.folder / name)
            sync_folder(self.folder)
            record = {
                "format": FORMAT, "settings": self.settings, "inputs": dict(inputs), "files": files,
                "counts": draft.counts, "notes": draft.notes,
            }  # fmt: skip
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

    def damaged(self, part: str) -> list[str]:
        """Names of the part's files whose bytes are not those that were written."""
        record = self.record(part)
        if record is None:
            return [f"{part}{MANIFEST}"]
        return [
            name
            for name, (_, sha) in record.files.items()
            if not (self.folder / name).is_file() or sha256_of(self.folder / name) != sha
        ]


def unwritable(folder: Path, error: OSError) -> ClusterError:
    """One line for what the disk refused."""
    return ClusterError(
        f"cannot write to {folder} ({error.strerror or error}): name a folder on a disk with room "
        "that you may write to"
    )


def total(records: Iterable[PartRecord]) -> dict[str, int]:
    """Counts of all parts together, the largest first."""
    sums: dict[str, int] = {}
    for record in records:
        for what, number in record.counts.items():
            sums[what] = sums.get(what, 0) + number
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))
