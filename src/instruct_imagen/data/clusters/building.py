"""Builds clusters of a corpus, step by step; what is done is not done again."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from instruct_imagen.data.clusters.engine import elsewhere, run_parts
from instruct_imagen.data.clusters.ledger import claim, total, unwritable
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.steps.base import WHOLE, Step
from instruct_imagen.data.clusters.steps.members import MEMBERS, Members
from instruct_imagen.data.one_thread import one_thread
from instruct_imagen.data.shards.layout import sha256_of, sync_folder, write_whole
from instruct_imagen.data.shards.locks import locked

LOCK = ".lock"

BUILD = "build.json"
"""In the folder of a build, while its clusters are those of its last settings and inputs: what it
was made of."""

Report = Callable[[Step, int, int], None]
"""Is told of a step, how many of its parts are done, and how many it has."""


def build(
    root: Path,
    steps: Sequence[Step],
    *,
    workers: int = 1,
    report: Report = lambda step, done, parts: None,
    about: Mapping[str, Any] | None = None,
    begin: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, int]]:
    """Makes the parts of steps that are not done.

    Args:
        root: Folder of the build; made if it is not there.
        steps: In their order; each one's inputs are of those before it.
        workers: Processes; their number changes no byte.
        report: Is told how far it is.
        about: What the build is made of, for `made_of`, as plain JSON types; None keeps no such
            note.
        begin: Is called first, while no other build is at work there.

    Returns:
        Step → what its parts counted.

    Raises:
        ClusterError: A step cannot be done, another build is at work there, or the folder cannot
            be written to.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(root, error) from None
    counts = {}
    asked = None if about is None else json.loads(json.dumps(about))

    def told(step: Step, done: int, parts: int) -> None:
        if done < parts:
            _unfinish(root)
        report(step, done, parts)

    with _locked(root, shared=False):
        begin()
        word = secrets.token_hex(8)
        claim(root, word)
        known = _noted(root)
        if asked is None or any(known.get(name) != value for name, value in asked.items()):
            _unfinish(root)
        for step in steps:
            step.folder.word = word
            counts[step.name] = run_step(step, workers=workers, report=told)
        last = steps[-1] if steps else None
        if asked is not None and isinstance(last, Members):
            members = last.record(WHOLE).hashes()[MEMBERS]
            note = {**asked, "members": members}
            write_whole(root / BUILD, json.dumps(note, indent=1) + "\n")
    return counts


def made_of(root: Path) -> Mapping[str, Any]:
    """What the clusters of a folder were made of; see `build`.

    Raises:
        ClusterError: There are none, or a build with other settings or of another corpus has begun
            since and has not come to its end.
    """
    members = root / Members.name / MEMBERS
    if not members.is_file():
        raise ClusterError(
            f"{root} holds no clusters: build them first, instruct-imagen clusters build"
        )
    note = _noted(root)
    if not note or note.get("members") != sha256_of(members):
        raise ClusterError(
            f"the last build in {root} has not come to its end, and its clusters are of an earlier "
            "one: build again, it goes on"
        )
    return note


def _noted(root: Path) -> Mapping[str, Any]:
    """What `BUILD` holds; empty where there is none, or one of another form."""
    try:
        note = json.loads((root / BUILD).read_bytes())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _unfinish(root: Path) -> None:
    """Says that what is there of clusters is none of what was asked for last."""
    if (root / BUILD).exists():
        (root / BUILD).unlink()
        sync_folder(root)


def run_step(step: Step, *, workers: int, report: Report) -> dict[str, int]:
    """Makes the parts of a step that are not done; what all of its parts counted.

    Raises:
        ClusterError: See `build`.
    """
    parts, missing = step.parts(), step.missing()
    done = len(parts) - len(missing)
    report(step, done, len(parts))
    step.folder.clear()
    if missing and not elsewhere() and (workers == 1 or len(missing) == 1):
        # Without other processes: a single part needs none, and errors keep their traces.
        make = step.opened()
        for part in missing:
            with one_thread():
                make(part)
            done += 1
            report(step, done, len(parts))
    else:
        for _ in run_parts(step, missing, workers=workers, gpus=step.gpus):
            done += 1
            report(step, done, len(parts))
    step.folder.prune(parts)
    return total(step.records())


@contextmanager
def reading(root: Path) -> Iterator[Mapping[str, Any]]:
    """What the clusters of a folder were made of (`made_of`); no build begins there meanwhile.

    Raises:
        ClusterError: See `made_of`; or a build is at work there.
    """
    made_of(root)  # where there is no build, no file is left behind
    if not (root / LOCK).exists() and not os.access(root, os.W_OK):
        yield made_of(root)  # a copy of somebody else's, in which nobody builds
        return
    with _locked(root, shared=True):
        yield made_of(root)


def _locked(root: Path, *, shared: bool) -> AbstractContextManager[None]:
    """Keeps builds out of a folder: for a build, which is alone there, or shared by its readers."""
    # A file and not the folder: shared disks lock what is open for writing alone, and for others
    # what is open for reading.
    writes = not shared or not (root / LOCK).exists()
    what = "builds" if shared else "reads or builds"
    busy = ClusterError(
        f"another process {what} clusters in {root}: wait for it to end, or name another folder"
    )
    flags = os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY
    return locked(root / LOCK, flags=flags, shared=shared, busy=busy)
