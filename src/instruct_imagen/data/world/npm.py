"""Installs the artwork that npm has, by lock files of ours, into the cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CACHE_VARIABLE = "INSTRUCT_IMAGEN_CACHE"
_SECONDS = 600


class WorldUnavailable(RuntimeError):
    """The artwork is not here and cannot be installed; the message says what to do."""


def cache_folder() -> Path:
    """Where installed artwork and rendered sprites live; not created here."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "instruct-imagen"


def digest(*contents: bytes) -> str:
    """A short name for contents, of twelve hexadecimal digits."""
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]


def install(
    folder: Path, files: Mapping[str, bytes], finish: Callable[[Path], None] | None = None
) -> Path:
    """Fill a folder by ``npm ci`` if it is not there yet.

    Safe when several processes do it at once: each fills its own folder and the first rename wins.

    Args:
        folder: Where to; named by the content of `files`.
        files: ``package.json``, ``package-lock.json`` and what else `finish` needs, by name.
        finish: What remains to be done in the folder after npm, before it counts as there.

    Returns:
        ``folder``, which holds ``node_modules``.

    Raises:
        WorldUnavailable: No npm on the path, or npm failed; the message names the cure.
    """
    if folder.is_dir():
        return folder
    npm = program("npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.unfinished-", dir=folder.parent))
    try:
        for name, content in files.items():
            (unfinished / name).write_bytes(content)
        call = "check that npm reaches its registry"
        run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], unfinished, "npm ci", call)
        if finish is not None:
            finish(unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first with the same content
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def program(name: str) -> str:
    """Where a program of Node.js is.

    Raises:
        WorldUnavailable: It is not on the path.
    """
    found = shutil.which(name)
    if found is None:
        raise WorldUnavailable(
            f"{name} is not on the path, so the world's artwork cannot be installed: install "
            f"Node.js (Debian: `apt install nodejs npm`), or set {CACHE_VARIABLE} to a cache "
            "folder that already holds the artwork"
        )
    return found


def run(command: Sequence[str], folder: Path, name: str, cure: str) -> None:
    """Run a program in a folder.

    Args:
        command: Program and arguments.
        folder: Where it runs.
        name: How messages call it.
        cure: What to do when it fails.

    Raises:
        WorldUnavailable: It failed, or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WorldUnavailable(
            f"`{name}` took more than {_SECONDS} s: check the network and run it again"
        ) from error
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-8:]
        raise WorldUnavailable(
            f"`{name}` failed with status {done.returncode}; {cure}: " + " | ".join(last)
        )
