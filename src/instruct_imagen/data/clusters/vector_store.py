"""Vectors on disk by content: what one run has embedded, the next one reads.

Annotations are kept as one file each (`annotators.cache`); vectors are a thousandth of a picture,
and there are as many as images in the corpus, so they are rows of one SQLite file. It takes several
processes of one machine, survives a kill at any moment, and costs memory for what is asked alone.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from instruct_imagen.data.clusters.rows import ClusterError

FILE = "vectors.sqlite"
_WAIT_S = 600  # for another process that writes
_ASKED = 500  # keys in one question: SQLite takes 999 and more


class VectorStore:
    """float16 vectors by the content that was embedded and by what embedded it.

    Args:
        folder: Made if it is not there; not on a disk that several machines share.

    Raises:
        ClusterError: It cannot be made, or its file is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / FILE
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ClusterError(
                f"vectors cannot be kept in {folder} ({error.strerror or error}): name another "
                "folder"
            ) from error
        with self._opened() as file:
            file.execute("PRAGMA journal_mode=WAL")
            file.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) "
                "WITHOUT ROWID"
            )

    def read(self, fingerprint: str, contents: Sequence[str], width: int) -> dict[str, np.ndarray]:
        """The vectors that are there.

        Args:
            fingerprint: Of what embedded them.
            contents: SHA-256 of what was embedded, hexadecimal.
            width: Of a vector; one of another width is not taken.

        Returns:
            Content -> (width,) float16.
        """
        names = {_key(fingerprint, content): content for content in contents}
        keys = list(names)
        found = {}
        with self._opened() as file:
            for start in range(0, len(keys), _ASKED):
                some = keys[start : start + _ASKED]
                marks = ",".join("?" * len(some))
                asked = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
                for key, data in file.execute(asked, some):
                    if len(data) == 2 * width:
                        found[names[key]] = np.frombuffer(data, np.float16)
        return found

    def write(self, fingerprint: str, vectors: Mapping[str, np.ndarray]) -> None:
        """Keeps float16 vectors by content: all of them, or none if the process ends meanwhile."""
        rows = [
            (_key(fingerprint, content), np.ascontiguousarray(vector, np.float16).tobytes())
            for content, vector in vectors.items()
        ]
        with self._opened() as file, file:
            file.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def __len__(self) -> int:
        with self._opened() as file:
            return int(file.execute("SELECT COUNT(*) FROM vectors").fetchone()[0])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own each time, so that a store can be sent to other processes."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S)) as file:
                yield file
        except sqlite3.Error as error:
            raise ClusterError(
                f"the vectors in {self.path} cannot be read and written ({error}): free some room, "
                "or remove the file: they are made anew"
            ) from error


def _key(fingerprint: str, content: str) -> bytes:
    return hashlib.sha256(f"{fingerprint}\n{content}".encode()).digest()
