"""Builds shards: several processes, each of which makes whole ones.

Shard k holds the examples from k · n on and is a function of the job and of k alone, so it does
not matter who makes it, or when. It gets its name when the disk has it; beside it lies its SHA-256,
in the form that ``sha256sum -c`` reads, until the manifest has those of all shards. A build that
ended at any moment goes on: shards whose bytes are those that were written are kept.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from instruct_imagen.data.corpora.base import CorpusError
from instruct_imagen.data.shards.layout import (
    DRAFTS,
    FORMAT,
    MANIFEST,
    Manifest,
    ShardEntry,
    ShardError,
    StoredExample,
    draft_of,
    read_manifest,
    sha256_of,
    shard_name,
    sync_folder,
    write_manifest,
    write_tar,
    write_whole,
)
from instruct_imagen.data.shards.locks import locked
from instruct_imagen.images import ImageError

SETTINGS = "settings.json"
SUM = ".sha256"

Fate = Literal["kept", "built", "rebuilt"]

Examples = Callable[[range], Iterator[StoredExample]]
"""Makes the examples at some indices."""


class Job(Protocol):
    """What shards are a function of: a world and its tasks, or a corpus.

    It can be sent to other processes.
    """

    @property
    def shards(self) -> int:
        """How many there will be."""
        ...

    def range_of(self, number: int) -> range:
        """Indices of the examples of a shard; all shards' together count from 0 without a gap."""
        ...

    def opened(self) -> Examples:
        """What makes the examples, once for each process; equal indices give equal examples."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What two builds must share to go into one folder, as plain JSON types."""
        ...

    def sources(self) -> Mapping[str, Mapping[str, str]]:
        """Where the pictures come from, and their licences, by names of its own."""
        ...

    def remarks(self) -> Sequence[str]:
        """What the user should know of the examples, a line each."""
        ...


@dataclass(frozen=True, kw_only=True)
class Made:
    """One shard that is there now; `rebuilt` ones had other bytes than were written."""

    number: int
    fate: Fate
    entry: ShardEntry


def build_shards(
    folder: Path,
    job: Job,
    *,
    workers: int = 1,
    report: Callable[[Made], None] = lambda made: None,
) -> Manifest:
    """Makes what is missing or damaged of the shards of a job, and the manifest.

    Args:
        folder: Of these shards alone; made if it is not there.
        job: What they hold.
        workers: Processes; their number changes no byte.
        report: Is told of each shard, in any order.

    Raises:
        ShardError: The folder holds something else, or shards of other settings, or another
            process builds there; or a worker or the disk failed.
    """
    settings = json.loads(json.dumps(dict(job.settings())))
    folder.mkdir(parents=True, exist_ok=True)
    busy = ShardError(
        f"another process builds shards in {folder}: wait for it to end, or name another folder"
    )
    with locked(folder, flags=os.O_RDONLY, busy=busy):
        return _build(folder, job, settings, workers, report)


def _build(
    folder: Path,
    job: Job,
    settings: dict[str, Any],
    workers: int,
    report: Callable[[Made], None],
) -> Manifest:
    """As `build_shards`, in a folder that nobody else writes to."""
    known = _claim(folder, settings)
    _remove_drafts(folder)
    found: dict[int, ShardEntry] = {}
    try:
        # Closed before the drafts go, whatever happens: then no worker writes any more.
        with closing(_made(folder, job, known, min(workers, job.shards))) as all_made:
            for made in all_made:
                found[made.number] = made.entry
                report(made)
    finally:
        _remove_drafts(folder)
    shards = tuple(found[number] for number in range(job.shards))
    manifest = Manifest(settings=settings, sources=job.sources(), shards=shards)
    write_manifest(folder, manifest)
    for number in range(job.shards):
        (folder / (shard_name(number) + SUM)).unlink(missing_ok=True)
    (folder / SETTINGS).unlink(missing_ok=True)
    return manifest


def _claim(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """Makes the folder one of these settings; the hashes that a finished build has left, by file.

    Raises:
        ShardError: It is one of others, or holds something else.
    """
    known: dict[str, str] = {}
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        there: Mapping[str, Any] | None = manifest.settings
        known = {shard.file: shard.sha256 for shard in manifest.shards}
    elif (folder / SETTINGS).is_file():
        try:
            there = dict(json.loads((folder / SETTINGS).read_bytes()))
        except (TypeError, ValueError) as error:
            raise ShardError(f"{folder / SETTINGS} is damaged ({error}): delete {folder}") from None
    else:
        there = None
        foreign = [path.name for path in folder.iterdir() if not path.match(DRAFTS)]
        if foreign:
            raise ShardError(f"{folder} holds {min(foreign)} and no shards: name an empty folder")
    if there is None:
        write_whole(folder / SETTINGS, json.dumps({**settings, "format": FORMAT}, indent=1) + "\n")
        return known
    for name, value in settings.items():
        if name in there and there[name] == value:
            continue
        if name in ("vocabulary", "sprites", "first_examples", "content"):
            raise ShardError(
                f"{folder} was built with other {name.replace('_', ' ')}: the code, the artwork, "
                "the data set or the image encoder has changed since; name another folder"
            )
        raise ShardError(
            f"{folder} was built with {name}={there.get(name)}, not {value}: give the same "
            "settings, or name another folder"
        )
    return known


def _remove_drafts(folder: Path) -> None:
    for path in folder.glob(DRAFTS):
        path.unlink(missing_ok=True)


def _made(
    folder: Path, job: Job, known: Mapping[str, str], workers: int
) -> Generator[Made, None, None]:
    """All shards, made here or by several processes."""
    numbers = range(job.shards)
    if workers == 1:
        examples = job.opened()
        for number in numbers:
            yield make_shard(folder, job, examples, number, known)
        return
    # Not forked: a child of a process whose torch has threads may hang.
    context = multiprocessing.get_context("spawn")
    waiting: dict[Connection, Any] = {}
    # Ctrl-C reaches the parent alone, which ends its workers; they inherit what is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    processes = []
    try:
        try:
            for _ in range(workers):
                own, other = context.Pipe()
                process = context.Process(target=_work, args=(other,), daemon=True)
                process.start()
                other.close()
                processes.append(process)
                waiting[own] = process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # Only now, as it is large: a start would wait until the process before has read it.
        for first, own in enumerate(waiting):
            with suppress(BrokenPipeError):  # it has ended; why is found out below
                own.send((folder, job, known, numbers[first::workers]))
        yield from _received(waiting)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _received(waiting: dict[Connection, Any]) -> Generator[Made, None, None]:
    """What workers tell, until all have ended."""
    while waiting:
        for ready in wait(list(waiting)):
            try:
                made = ready.recv()
            except (EOFError, ConnectionResetError):
                process = waiting.pop(ready)
                process.join()
                if process.exitcode:
                    raise ShardError(
                        f"a worker ended with status {process.exitcode}: run the same command "
                        "again, it goes on (-9 is often too little memory: fewer workers)"
                    ) from None
                continue
            if isinstance(made, ShardError):
                raise made
            yield made


def _work(connection: Connection) -> None:
    """One process: is told its shards, makes them and tells of each."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    folder, job, known, numbers = connection.recv()
    try:
        examples = job.opened()
    except CorpusError as error:
        connection.send(ShardError(str(error)))
        return
    for number in numbers:
        try:
            made: Made | ShardError = make_shard(folder, job, examples, number, known)
        except ShardError as error:
            made = error
        except (CorpusError, ImageError) as error:  # of files that were whole when it began
            made = ShardError(str(error))
        except OSError as error:
            made = ShardError(f"{folder / shard_name(number)}: {error.strerror or error}")
        connection.send(made)
        if isinstance(made, ShardError):
            return


def _end_with_parent() -> None:
    """Ends this process when its parent was killed: the next build is alone in the folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def make_shard(
    folder: Path, job: Job, examples: Examples, number: int, known: Mapping[str, str]
) -> Made:
    """Makes one shard, unless it is there with the bytes that were written.

    Args:
        folder: Where it belongs.
        job: What it holds.
        examples: Of the job, opened in this process.
        number: From 0.
        known: Hashes of a finished build, by file.

    Raises:
        ShardError: What comes out has not the hash that is known of it.
    """
    path = folder / shard_name(number)
    note = path.with_name(path.name + SUM)
    digest, fate = _kept(path, note, known.get(path.name)), "kept"
    if not digest:
        fate = "rebuilt" if path.is_file() else "built"
        draft = draft_of(path)
        try:
            write_tar(draft, examples(job.range_of(number)))
            digest = sha256_of(draft)
            if known.get(path.name, digest) != digest:
                raise ShardError(
                    f"{path} comes out other than its manifest says: the code, the artwork, the "
                    "data set or the image encoder has changed since; name another folder"
                )
            write_whole(note, f"{digest}  {path.name}\n")
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(folder)
    entry = ShardEntry(
        file=path.name,
        examples=len(job.range_of(number)),
        bytes=path.stat().st_size,
        sha256=digest,
    )
    return Made(number=number, fate=fate, entry=entry)


def _kept(path: Path, note: Path, known: str | None) -> str:
    """The hash of a shard that is what was written; empty if it is not, or not there."""
    if not path.is_file():
        return ""
    if known is None and note.is_file():
        known = note.read_text(encoding="utf-8", errors="replace").partition(" ")[0]
    digest = sha256_of(path)
    return digest if digest == known else ""
