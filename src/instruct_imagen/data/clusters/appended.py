"""Arrays on disk that are written block after block, when there is room for all of them.

Ordinary writes and no mapped file: what is written is the system's to keep, not this process'
memory, and a full disk is an error, where a mapped file would end the process.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from instruct_imagen.data.clusters.rows import ClusterError


class Appended:
    """Open ``.npy`` files; see `appended`."""

    def __init__(self, files: Mapping[str, object], left: dict[str, int]) -> None:
        self._files, self._left = files, left

    def add(self, name: str, block: np.ndarray) -> None:
        """Writes further rows of an array.

        Raises:
            ValueError: It gets more rows than were said.
        """
        self._left[name] -= len(block)
        if self._left[name] < 0:
            raise ValueError(f"{name}: {-self._left[name]} rows more than were said")
        self._files[name].write(np.ascontiguousarray(block).data)  # type: ignore[attr-defined]


@contextmanager
def appended(
    arrays: Mapping[str, tuple[Path, np.dtype, tuple[int, ...]]],
) -> Iterator[Appended]:
    """Begins ``.npy`` files of known shapes; all of their room is taken at once.

    Args:
        arrays: Name -> file, dtype and shape.

    Raises:
        ClusterError: The disk has too little room; says how many bytes are missing.
        ValueError: A file has got fewer rows than were said when the block ends.
    """
    sizes = {
        name: int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        for name, (_, dtype, shape) in arrays.items()
    }
    left = {name: shape[0] for name, (_, _, shape) in arrays.items()}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(path.open("wb")) for name, (path, _, _) in arrays.items()
        }
        folder = next(iter(arrays.values()))[0].parent
        _check_room(folder, sum(sizes.values()))
        for name, (_, dtype, shape) in arrays.items():
            about = {
                "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False,
                "shape": shape,
            }  # fmt: skip
            np.lib.format.write_array_header_1_0(files[name], about)
            files[name].flush()
            if not sizes[name]:
                continue
            try:
                # Behind what is there: where a disk cannot do it the C library writes zeros, and
                # reads what lies before the end first, which a file open for writing refuses.
                os.posix_fallocate(files[name].fileno(), files[name].tell(), sizes[name])
            except OSError as error:  # a quota, or somebody else who was faster
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise
                _check_room(folder, sum(sizes.values()))
                raise _no_room(folder, sum(sizes.values()), error.strerror) from error
        yield Appended(files, left)
    if any(left.values()):
        raise ValueError(f"fewer rows than were said: {left}")


def _check_room(folder: Path, needed: int) -> None:
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if needed > free:
        raise _no_room(folder, needed, f"{free:,} are free, {needed - free:,} are missing")


def _no_room(folder: Path, needed: int, why: str) -> ClusterError:
    return ClusterError(
        f"the disk of {folder} has no room for the {needed:,} bytes of this step ({why}): make "
        "room and build again, it goes on"
    )
