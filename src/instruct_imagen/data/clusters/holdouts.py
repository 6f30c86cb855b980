"""Pictures of an evaluation that a corpus must not have: folders of any kind, and the starter's.

They are pictures alone: no caption is needed. A part is one tar, or a range of images or of rows.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.corpora.base import (
    MAX_BYTES,
    NO_RIGHT,
    EntryError,
    Problems,
    Reader,
    Reading,
    no_right,
    part_range,
)
from instruct_imagen.data.corpora.captioned_table import PATH_COLUMNS, holds_images, named_column
from instruct_imagen.data.corpora.folders import IMAGE_SUFFIXES, files_below
from instruct_imagen.data.corpora.separated import SEPARATED
from instruct_imagen.data.corpora.tables import SUFFIXES, Tables, image_of, named_file, table_files
from instruct_imagen.data.corpora.tars import check_end

PART_IMAGES = 1000
"""Images of a part, or rows of a table."""

STARTER = "starter"
"""Name of the hold-out of this project's own world, see `starter_holdout`."""

Held = tuple[str, bytes]
"""A picture's name in its hold-out, and the encoded image."""


class HeldSet(Protocol):
    """The pictures of one hold-out; small, so that it can be sent to other processes.

    Attributes:
        parts: How many there are, at least 1.
    """

    @property
    def name(self) -> str:
        """As reports show it."""

    @property
    def parts(self) -> int:
        """See above."""

    def about(self) -> Mapping[str, Any]:
        """How it is laid out, as plain JSON types; not where it lies."""

    def inputs(self, part: int) -> Mapping[str, str]:
        """What the pictures of a part follow from; see `ledger.PartRecord`."""

    def images(self, part: int) -> Iterator[Held | EntryError]:
        """The pictures of a part, or why one cannot be read; one in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class HeldFiles:
    """A hold-out that lies in a folder.

    Attributes:
        folder: Where.
        kind: ``tars``, of which each image in them is one; ``tables``, each cell with an image; or
            ``images``, each file.
        parts: How many there are.
    """

    folder: Path
    kind: str
    parts: int

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.name

    def about(self) -> Mapping[str, Any]:
        """See `HeldSet`."""
        return {"name": self.name, "kind": self.kind, "parts": self.parts}

    def inputs(self, part: int) -> Mapping[str, str]:
        """Names, lengths and times of the files, and of those that a table names."""
        digest = hashlib.sha256()
        named = _named(self.folder, part, self.parts) if self.kind == "tables" else ()
        for name in (*self._files(part), *named):
            try:
                found = (self.folder / name).stat()
                known = f"{found.st_size} {found.st_mtime_ns}"
            except OSError:
                known = "gone"
            digest.update(f"{name}\0{known}\n".encode())
        return {"files": digest.hexdigest()}

    def images(self, part: int) -> Iterator[Held | EntryError]:
        """See `HeldSet`."""
        if self.kind == "tables":
            yield from _of_tables(self.folder, part, self.parts)
        elif self.kind == "tars":
            for name in self._files(part):
                yield from _of_tar(self.folder / name, name)
        else:
            reader = Reader(self.folder, _problems(self.folder), decode=False)
            for name in self._files(part):
                try:
                    yield name, reader.image(self.folder / name).data
                except EntryError as error:
                    yield error

    def _files(self, part: int) -> Sequence[str]:
        """Those of a part; of tables all, as rows are counted through them."""
        names = _names(self.folder, self.kind)
        if self.kind == "tables":
            return names
        own = part_range(len(names), part, self.parts)
        return names[own.start : own.stop]


def open_holdout(given: str | Path) -> HeldSet:
    """A hold-out by its folder; ``starter`` is that of this project's own world.

    Raises:
        ClusterError: The folder is not there, or holds no images.
        WorldUnavailable: The starter's artwork is not installed and cannot be.
    """
    folder = Path(given)
    if str(given) == STARTER:  # a folder of that name is ./starter
        from instruct_imagen.data.clusters.starter_holdout import open_starter

        return open_starter()
    _names.cache_clear()  # files may have come or gone since it was filled
    if not folder.is_dir():
        raise ClusterError(
            f"the hold-out '{given}' is no folder: name one with images, tars or tables, or write "
            f"{STARTER} for the starter world's own"
        )
    folder = folder.resolve()
    kinds = [kind for kind in ("tars", "tables", "images") if _names(folder, kind)]
    if not kinds:
        raise ClusterError(
            f"the hold-out {folder} holds no images: it must be a folder with images, with .tar "
            "files that have some, or with tables (.parquet, .arrow, .csv, .tsv)"
        )
    if len(kinds) > 1 and not _lists_images(folder, kinds):
        # None of them may be passed over in silence.
        raise ClusterError(
            f"the hold-out {folder} holds {' and '.join(kinds)}: give each a folder of its own, "
            "and --holdout for each"
        )
    names, kind = _names(folder, kinds[-1]), kinds[-1]
    count = len(names)
    if kind == "tables":
        rows = Tables(folder, [folder / one for one in names], ()).size(0, 1)
        count = -(-rows // PART_IMAGES)
    elif kind == "images":
        count = -(-count // PART_IMAGES)
    return HeldFiles(folder=folder, kind=kind, parts=max(1, count))


def _lists_images(folder: Path, kinds: Sequence[str]) -> bool:
    """Whether tables only say something about the images beside them, which are looked for all."""
    lists = all(Path(name).suffix in SEPARATED for name in _names(folder, "tables"))
    return kinds == ["tables", "images"] and lists


@lru_cache(maxsize=8)
def _names(folder: Path, kind: str) -> tuple[str, ...]:
    if kind == "tars":
        return tuple(files_below(folder, ".tar"))
    if kind == "images":
        return tuple(files_below(folder, *IMAGE_SUFFIXES))
    found = table_files(folder, SUFFIXES) or table_files(folder, SEPARATED)
    return tuple(path.relative_to(folder).as_posix() for _, path in found)


def _of_tar(path: Path, name: str) -> Iterator[Held | EntryError]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            for member in tar:
                if not member.name.lower().endswith(tuple(IMAGE_SUFFIXES)) or not member.isfile():
                    continue
                if member.size > MAX_BYTES:
                    yield EntryError(f"{name}/{member.name}: too large", "too many bytes")
                    continue
                file = tar.extractfile(member)
                assert file is not None  # it is a file
                yield f"{name}/{member.name}", file.read()
            check_end(tar, path)
    except PermissionError:
        yield EntryError(no_right(name), NO_RIGHT)
    except (tarfile.TarError, OSError) as error:
        yield EntryError(f"{name} breaks off: {' '.join(str(error).split())}", "tar breaks off")


def _of_tables(folder: Path, part: int, parts: int) -> Iterator[Held | EntryError]:
    files = [folder / name for name in _names(folder, "tables")]
    schema = Tables(folder, files[:1], None).schema
    columns = [field.name for field in schema if holds_images(field.type)]
    columns = columns or named_column(PATH_COLUMNS, schema)
    if not columns:
        raise ClusterError(
            f"the hold-out {folder} has no column of images in {files[0].name}; its columns are "
            f"{', '.join(schema.names)}"
        )
    reader = Reader(folder, _problems(folder), decode=False)
    for row in Tables(folder, files, columns).entries(part, parts, 0):
        if isinstance(row, EntryError):
            yield row
            continue
        for column in columns:
            if row.values[column] is None:
                continue
            try:
                image = image_of(row.values[column], row.place, folder, reader, column)
            except EntryError as error:
                yield error
                continue
            yield (f"{row.place}/{column}" if len(columns) > 1 else row.place), image.data


def _named(folder: Path, part: int, parts: int) -> Iterator[str]:
    """The images that the rows of a part name by their paths, where they hold none themselves."""
    files = [folder / name for name in _names(folder, "tables")]
    schema = Tables(folder, files[:1], None).schema
    columns = named_column(PATH_COLUMNS, schema)
    if not columns or any(holds_images(field.type) for field in schema):
        return
    for row in Tables(folder, files, columns).entries(part, parts, 0):
        if isinstance(row, EntryError) or not isinstance(name := row.values[columns[0]], str):
            continue  # is named when it is read
        try:
            yield named_file(name, folder, row.place).as_posix()
        except EntryError:
            yield name


def _problems(folder: Path) -> Problems:
    """Of a reader whose errors are given on; it adds none itself."""
    return Problems(folder.name, Reading(), None)
