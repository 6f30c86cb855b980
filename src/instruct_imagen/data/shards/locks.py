"""Locks of files and folders that processes share; the system frees them however one ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, *, flags: int, shared: bool = False, busy: Exception) -> Iterator[None]:
    """Holds a lock for as long as the block runs; waits for nobody.

    Args:
        path: A file, or a folder that is opened for reading alone.
        flags: With which it is opened.
        shared: Whether others may share it, who do likewise.
        busy: Is raised where somebody else has it.
    """
    handle = os.open(path, flags, 0o666)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(handle)
