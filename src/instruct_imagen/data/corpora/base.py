"""What a corpus is: a folder in a published layout, checked on opening, read as a stream.

A corpus finds its entries when it is opened (names and counts, never pixels) and reads them one by
one. What cannot be read is named, counted and passed over; too much of it is an error, because a
corpus that is silently smaller would be missed by nobody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from instruct_imagen.data.corpora.records import Place, Record, StoredImage
from instruct_imagen.images import ImageError, TooManyPixels

E = TypeVar("E")
R = TypeVar("R", bound=Record, covariant=True)

MAX_BYTES = 256 * 2**20
"""Of one encoded image; a file beyond it is no image, or not one for training."""

SHOWN = 5
"""Problems that an error names, and `Problems.first` unless `Reading.shown` says otherwise."""


class CorpusError(ValueError):
    """A corpus that cannot be read; one line that names the place and the cure."""


NO_RIGHT = "may not be read"
"""Reason of problems with files that are there, but of somebody else."""


def no_right(path: Path | str) -> str:
    """One line for what is there and may not be read: cause and cure."""
    return f"{path} may not be read (Permission denied): let yourself read it, or take it away"


class EntryError(ValueError):
    """One entry, or one image of it, that cannot be read; one line that names it.

    Attributes:
        reason: What kind of problem it is, in a few words, by which problems are counted.
    """

    def __init__(self, line: str, reason: str = "cannot be read") -> None:
        super().__init__(line)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class About:
    """What a user must know of a data set; shown by ``instruct-imagen corpus list``.

    Attributes:
        title: Its name, e.g. ``"CelebA"``.
        source: Who made it and where it is.
        licence: What may be done with it, as its makers say.
        download: What to get and how to lay it out.
        layout: The files that `Corpus` looks for.
    """

    title: str
    source: str
    licence: str
    download: str
    layout: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a corpus is read; the same for all.

    Attributes:
        part: Which part of it, from 0. All parts together give every entry once.
        parts: Into how many it is divided.
        decode: Whether each image is decoded as a check; otherwise its header is read, which does
            not show that a file ends early.
        tolerated: Problems that are passed over, however small the corpus.
        tolerated_share: The same as a share of the entries; the larger of both counts. Of the
            entries read so far, where their number is not known beforehand.
        shown: Problems that are kept as lines; the others are counted.
    """

    part: int = 0
    parts: int = 1
    decode: bool = False
    tolerated: int = 10
    tolerated_share: float = 0.01
    shown: int = SHOWN

    def __post_init__(self) -> None:
        if not 0 <= self.part < self.parts:
            raise CorpusError(f"part must be from 0 to parts - 1, not {self.part} of {self.parts}")
        if self.tolerated < 0 or not 0 <= self.tolerated_share <= 1:
            raise CorpusError(
                "tolerated must be at least 0 and tolerated_share from 0 to 1, not "
                f"{self.tolerated} and {self.tolerated_share}"
            )


class Problems:
    """What could not be read so far.

    Attributes:
        seen: Entries that were tried.
        count: Problems; a set of images can have several.
        reasons: How many there are of each kind.
        first: The first ones, each as one line.
    """

    def __init__(self, name: str, reading: Reading, size: int | None) -> None:
        self.seen = 0
        self.count = 0
        self.reasons: Counter[str] = Counter()
        self.first: list[str] = []
        self._name, self._reading, self._size = name, reading, size

    def add(self, problem: EntryError) -> None:
        """Count a problem.

        Raises:
            CorpusError: There are more than are tolerated; names the first ones.
        """
        self.count += 1
        self.reasons[problem.reason] += 1
        if len(self.first) < self._reading.shown:
            self.first.append(str(problem))
        entries = self.seen if self._size is None else self._size
        allowed = max(self._reading.tolerated, int(self._reading.tolerated_share * entries))
        if self.count > allowed:
            raise CorpusError(
                f"{self._name}: {self.count} problems in {self.seen} entries, {allowed} are "
                "tolerated; mend the files, or raise tolerated or tolerated_share; the first: "
                + "; ".join(self.first[:SHOWN])
            )


class Source(Protocol[E]):
    """Where the entries of a corpus come from: a list, tables or tars."""

    def size(self, part: int, parts: int) -> int | None:
        """How many entries a part has; None if only reading tells."""
        ...

    def entries(self, part: int, parts: int, start: int) -> Iterator[E | EntryError]:
        """The entries of a part from number `start` on; an error stands for one it cannot give."""
        ...


def part_range(size: int, part: int, parts: int) -> range:
    """The entries of one part: neighbours, and as many as in any other part, give or take one."""
    return range(size * part // parts, size * (part + 1) // parts)


class Listing(Generic[E]):
    """Entries that are known on opening; any start costs nothing."""

    def __init__(self, entries: Sequence[E]) -> None:
        self._entries = entries

    def size(self, part: int, parts: int) -> int:
        """How many entries a part has."""
        return len(part_range(len(self._entries), part, parts))

    def entries(self, part: int, parts: int, start: int) -> Iterator[E]:
        """The entries of a part from number `start` on."""
        for index in part_range(len(self._entries), part, parts)[start:]:
            yield self._entries[index]


class Reader:
    """Reads and checks the images of entries.

    Attributes:
        problems: Where an entry that can do without a file reports it.
    """

    def __init__(self, root: Path, problems: Problems, decode: bool) -> None:
        self.problems = problems
        self._root, self._decode = root, decode

    def name(self, path: Path) -> str:
        """A path as messages and keys show it: relative to the corpus, with forward slashes."""
        return path.relative_to(self._root).as_posix()

    def image(self, path: Path) -> StoredImage:
        """The image in a file.

        Raises:
            EntryError: It is missing, or no image that can be used.
        """
        try:
            size = path.stat().st_size
            if size > MAX_BYTES:
                raise EntryError(
                    f"{self.name(path)}: {size} bytes, the limit is {MAX_BYTES}", "too many bytes"
                )
            data = path.read_bytes()
        except OSError as error:
            raise EntryError(f"{self.name(path)}: {error.strerror or error}", "no file") from error
        return self.stored(data, self.name(path), Place(file=self.name(path)))

    def stored(self, data: bytes, name: str, place: Place | None = None) -> StoredImage:
        """The image in bytes, checked; `name` is for messages, `place` where it lies.

        Raises:
            EntryError: It is no image that can be used.
        """
        image = StoredImage(data=data, name=name, place=place)
        try:
            image.load() if self._decode else image.check()
        except TooManyPixels as error:
            raise EntryError(str(error), "too many pixels") from error
        except ImageError as error:
            raise EntryError(str(error), "broken image") from error
        return image

    def images(self, paths: Mapping[E, Path]) -> dict[E, StoredImage]:
        """Those of a set of images, at least one, that can be used; the others are problems.

        Raises:
            EntryError: None of them can.
            CorpusError: There are more problems than are tolerated.
        """
        found, errors = {}, []
        for key, path in paths.items():
            try:
                found[key] = self.image(path)
            except EntryError as error:
                errors.append(error)
        last = errors.pop() if not found else None  # the caller counts it, with the set
        for error in errors:
            self.problems.add(error)
        if last is not None:
            raise EntryError(f"{last} (no image is left of its set)", last.reason)
        return found


class Stream(Iterator[R]):
    """The records of a part, one at a time.

    Attributes:
        position: The entry that comes next; `Corpus.records` goes on from there.
        problems: What was passed over since the start of this stream.
    """

    def __init__(self, corpus: Corpus[R], start: int) -> None:
        if start < 0:
            raise CorpusError(f"start must be at least 0, not {start}")
        reading = corpus.reading
        self.position = start
        self.problems = Problems(f"{corpus.name} in {corpus.folder}", reading, corpus.size)
        self._corpus = corpus
        self._entries = corpus.source.entries(reading.part, reading.parts, start)
        self._reader = Reader(corpus.folder, self.problems, reading.decode)

    def __next__(self) -> R:
        for entry in self._entries:
            self.position += 1
            self.problems.seen += 1
            if isinstance(entry, EntryError):
                self.problems.add(entry)
                continue
            try:
                return self._corpus.read(entry, self._reader)
            except EntryError as error:
                self.problems.add(error)
        raise StopIteration


class Corpus(ABC, Generic[R]):
    """A folder that holds a data set in its published layout.

    A module of this folder that defines ``CORPUS`` (the class) is found by
    `instruct_imagen.data.corpora.registry`. Keyword arguments of a class's own `__init__` are
    options that the command line takes as ``KEY=VALUE``: texts.

    Attributes:
        name: As users name it; also that of its file.
        about: Where the data comes from, its licence, its layout.
        record: The class of its records.
        folder: Where it lies.
        reading: How it is read.
        source: Its entries.
    """

    name: ClassVar[str]
    about: ClassVar[About]
    record: ClassVar[type[Record]]

    def __init__(self, folder: Path, reading: Reading) -> None:
        self.folder, self.reading = folder, reading
        self.source: Source[Any] = self.find()

    @classmethod
    def open(cls, folder: str | Path, reading: Reading | None = None, **options: str) -> Corpus[R]:
        """Checks the layout and finds the entries; no image is read.

        Raises:
            CorpusError: The folder does not hold this data set; names what is missing and where to
                get it.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise CorpusError(
                f"{folder} is no folder: name that of {cls.about.title}. {cls.about.download}"
            )
        return cls(folder, reading or Reading(), **options)

    @abstractmethod
    def find(self) -> Source[Any]:
        """Checks the layout and finds the entries.

        Raises:
            CorpusError: As for `open`.
        """

    @abstractmethod
    def read(self, entry: Any, reader: Reader) -> R:
        """The record of an entry.

        Raises:
            EntryError: It cannot be read.
        """

    def read_as(self, reading: Reading) -> Corpus[R]:
        """The same, read otherwise; its entries are not looked for again."""
        other = copy(self)
        other.reading = reading
        return other

    @property
    def size(self) -> int | None:
        """Entries of this part, with those that will be passed over; None if only reading tells."""
        return self.source.size(self.reading.part, self.reading.parts)

    def records(self, start: int = 0) -> Stream[R]:
        """A stream of records.

        Args:
            start: Entries of this part that are passed over, as `Stream.position` counts them.
        """
        return Stream(self, start)

    def __iter__(self) -> Stream[R]:
        """All records of this part."""
        return self.records()

    def missing(self, *what: str) -> CorpusError:
        """The error for files that are not there; to be raised."""
        return CorpusError(
            f"{self.folder} is not {self.about.title} as it is published: there is no "
            f"{' and no '.join(what)}. {self.about.download}"
        )
