"""Ratings on disk: one SQLite file, in which a click is safe before the page moves on.

A click is a row that is never changed: who rates an image again adds one, and the last one counts.
So nothing that a rater gave is ever lost. The file is in write-ahead mode with full
synchronisation: a row that was confirmed survives a killed server and a lost power supply.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
import time
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.base import SCORES

SCHEMA = 1
"""Version of the tables, in the file's ``user_version``."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE assignments (
    rater TEXT NOT NULL, position INTEGER NOT NULL, case_id TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (rater, position), UNIQUE (rater, case_id)
) STRICT;
CREATE TABLE clicks (
    number INTEGER PRIMARY KEY AUTOINCREMENT, click TEXT NOT NULL UNIQUE,
    rater TEXT NOT NULL, case_id TEXT NOT NULL, method TEXT NOT NULL,
    sc REAL NOT NULL CHECK (sc IN (0, 0.5, 1)), pq REAL NOT NULL CHECK (pq IN (0, 0.5, 1)),
    image TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE INDEX clicks_of ON clicks (rater, case_id, method);
"""


@dataclass(frozen=True, kw_only=True)
class Rating:
    """What a rater gave an image.

    Attributes:
        case: Id of the case.
        method: Whose image.
        rater: Who, as `rater_name` gives it.
        sc: Semantic consistency, 0, 0.5 or 1.
        pq: Perceptual quality, 0, 0.5 or 1.
        image: `items.pixels_id` of the image that was shown; empty where it is not known, as in
            imported ratings.
        at: When, in seconds since 1970.
    """

    case: str
    method: str
    rater: str
    sc: float
    pq: float
    image: str = ""
    at: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """What a rater can rate once."""
        return self.case, self.method, self.rater


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A case that a rater was given, at a time in seconds since 1970."""

    rater: str
    case: str
    at: float


def rater_name(text: str) -> str:
    """A rater's name as it is kept: so that "Ann" is "ann" on another day, and a file name.

    Raises:
        EvaluationError: It is empty, longer than 40 characters or has other signs.
    """
    name = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    if not re.fullmatch(r"[^\W_](?:[^\W_]|[ .-]){0,39}", name) or name.endswith("."):
        raise EvaluationError(
            f"'{name[:60]}' cannot be a rater's name: use up to 40 letters, digits, spaces, dots "
            "and hyphens, first a letter or a digit"
        )
    return name


class Store:
    """The ratings of one suite.

    Every call opens the file anew, so any number of threads and servers may use it at once.

    Args:
        path: Of the file, made if missing along with its folders.
        create: False to refuse a missing file.

    Raises:
        EvaluationError: It is no such file, is of another version, or (without `create`) missing.
    """

    def __init__(self, path: Path | str, *, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise EvaluationError(f"there are no ratings at '{self.path}': check its path")
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._open() as rows:
                self._prepare(rows)
        except sqlite3.DatabaseError as error:
            raise EvaluationError(f"'{self.path}' is no store of ratings: {error}") from error

    def _prepare(self, rows: sqlite3.Connection) -> None:
        (version,) = rows.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA):
            raise EvaluationError(
                f"'{self.path}' has version {version} of the ratings' tables, and this program "
                f"reads version {SCHEMA}: use the program that wrote it"
            )
        if version == 0:
            with _transaction(rows):
                version = rows.execute("PRAGMA user_version").fetchone()[0]
                if version == 0 and rows.execute("SELECT 1 FROM sqlite_master").fetchone():
                    raise EvaluationError(
                        f"'{self.path}' is a database of something else: name another file"
                    )
                # another process may have made them while this one waited for its turn
                if version == 0:
                    for statement in _TABLES.split(";\n"):
                        rows.execute(statement)
                    secret = secrets.token_hex(16)
                    rows.execute("INSERT INTO meta VALUES ('secret', ?)", (secret,))
                    rows.execute(f"PRAGMA user_version = {SCHEMA}")
        self.secret: str = rows.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        rows = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            rows.execute("PRAGMA journal_mode = WAL")
            rows.execute("PRAGMA synchronous = FULL")
            yield rows
        finally:
            rows.close()

    def bind(self, suite: str, sha256: str) -> None:
        """Says of which suite the ratings are, on first use; later it must be the same.

        Raises:
            EvaluationError: It holds ratings of another suite or of other cases.
        """
        wanted = f"{suite} {sha256}"
        with self._open() as rows, _transaction(rows):
            rows.execute("INSERT OR IGNORE INTO meta VALUES ('suite', ?)", (wanted,))
            (held,) = rows.execute("SELECT value FROM meta WHERE key = 'suite'").fetchone()
        if held != wanted:
            raise EvaluationError(
                f"'{self.path}' holds ratings of the suite {held.split()[0]} in other cases than "
                f"those of {suite}: name another --store"
            )

    def assignments(self, rater: str | None = None) -> list[Assignment]:
        """All of them, or a rater's; those of a rater in their order."""
        with self._open() as rows:
            return _assignments(rows, rater)

    def ratings(self, rater: str | None = None) -> list[Rating]:
        """The last rating of each image by each rater, or by one, in the order of the clicks."""
        with self._open() as rows:
            return _ratings(rows, rater)

    @contextmanager
    def assigning(self) -> Iterator[Assigning]:
        """While it lasts nobody else is given a case."""
        with self._open() as rows, _transaction(rows):
            yield Assigning(rows)

    def add(self, rating: Rating, click: str) -> None:
        """Stores a click; on return it is on the disk.

        Args:
            rating: What was given.
            click: Unique name of the click: sent twice, as after a lost answer, it is stored once.
        """
        _check_scores(rating)
        with self._open() as rows, _transaction(rows):
            _insert(rows, rating, click, "OR IGNORE ")

    def add_all(self, ratings: Iterable[Rating]) -> int:
        """Stores ratings from elsewhere, all or none; those that it has already are left out.

        Returns:
            How many are new.

        Raises:
            EvaluationError: A rater has rated an image otherwise.
        """
        with self._open() as rows, _transaction(rows):
            held = {rating.key: rating for rating in _ratings(rows)}
            new = 0
            for rating in ratings:
                _check_scores(rating)
                old = held.get(rating.key)
                if old is not None and (old.sc, old.pq) != (rating.sc, rating.pq):
                    raise EvaluationError(
                        f"{rating.rater} gave {rating.case} of {rating.method} "
                        f"[{old.sc:g}, {old.pq:g}] in '{self.path}', not [{rating.sc:g}, "
                        f"{rating.pq:g}]: import into a new store"
                    )
                if old is None:
                    _insert(rows, rating, f"import-{secrets.token_hex(16)}")
                    held[rating.key] = rating
                    new += 1
            return new


class Assigning:
    """A transaction in which cases are given out; see `Store.assigning`."""

    def __init__(self, rows: sqlite3.Connection) -> None:
        self._rows = rows

    def assignments(self) -> list[Assignment]:
        """As of now."""
        return _assignments(self._rows)

    def ratings(self) -> list[Rating]:
        """As of now."""
        return _ratings(self._rows)

    def assign(self, rater: str, case: str) -> None:
        """Gives a case to a rater, after those that they have."""
        self._rows.execute(
            "INSERT INTO assignments SELECT ?, coalesce(max(position), -1) + 1, ?, ? "
            "FROM assignments WHERE rater = ?",
            (rater, case, time.time(), rater),
        )


@contextmanager
def _transaction(rows: sqlite3.Connection) -> Iterator[None]:
    rows.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        rows.execute("ROLLBACK")
        raise
    rows.execute("COMMIT")


def _assignments(rows: sqlite3.Connection, rater: str | None = None) -> list[Assignment]:
    found = rows.execute(
        "SELECT rater, case_id, at FROM assignments WHERE ?1 IS NULL OR rater = ?1 "
        "ORDER BY rater, position",
        (rater,),
    )
    return [Assignment(rater=rater, case=case, at=at) for rater, case, at in found]


def _ratings(rows: sqlite3.Connection, rater: str | None = None) -> list[Rating]:
    whose = "" if rater is None else "WHERE rater = ?"
    found = rows.execute(
        "SELECT case_id, method, rater, sc, pq, image, at FROM clicks WHERE number IN "
        f"(SELECT max(number) FROM clicks {whose} GROUP BY rater, case_id, method) "
        "ORDER BY number",
        () if rater is None else (rater,),
    )
    names = ("case", "method", "rater", "sc", "pq", "image", "at")
    return [Rating(**dict(zip(names, row, strict=True))) for row in found]


def _insert(rows: sqlite3.Connection, rating: Rating, click: str, how: str = "") -> None:
    rows.execute(
        f"INSERT {how}INTO clicks (click, rater, case_id, method, sc, pq, image, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            click,
            rating.rater,
            rating.case,
            rating.method,
            rating.sc,
            rating.pq,
            rating.image,
            rating.at or time.time(),
        ),
    )


def _check_scores(rating: Rating) -> None:
    for name, value in (("SC", rating.sc), ("PQ", rating.pq)):
        if value not in SCORES:
            raise EvaluationError(f"{name} {value} of {rating.case}: must be 0, 0.5 or 1")
