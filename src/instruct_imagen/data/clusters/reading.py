"""Step 1: a corpus of captioned images on disk, read part by part.

A part is one tar, or a range of a table's rows or of a folder's files. Its rows are a function of
the files' bytes alone. What cannot be read is a line and a count, and the others are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from instruct_imagen.data.clusters.rows import LINES, ClusterError, Row, Tally, printable
from instruct_imagen.data.corpora import Corpus, CorpusError, Reading, open_corpus
from instruct_imagen.data.corpora.base import EntryError, Listing, part_range
from instruct_imagen.data.corpora.folders import IMAGE_SUFFIXES, NO_TEXT, files_below
from instruct_imagen.data.corpora.places import GONE, bytes_at
from instruct_imagen.data.corpora.records import Captioned
from instruct_imagen.data.corpora.separated import SEPARATED
from instruct_imagen.data.corpora.tables import SUFFIXES, Tables
from instruct_imagen.data.corpora.tars import Tars

PART_ROWS = 10_000
"""Rows of a part of a table or folder; img2dataset puts as many into a tar."""

LONGEST_CAPTION = 2**16
"""Characters; a longer text is a page, not a caption, and would travel through every step."""

Loader = Callable[[Sequence[Row]], Iterator["bytes | EntryError"]]
"""Gives the encoded images of rows, in their order, or why one cannot be read again.

What it gives are the bytes that were read: a vector of others would stay under that row's name.
"""

_URLS = ("url", "image_url", "img_url", "image url")
_PAGES = (
    "page", "page_url", "pageurl", "page url", "source_page", "context_url", "referrer",
    "document_url", "foreign_landing_url",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class WebCorpus:
    """A corpus that can be read; small, so that it can be sent to other processes.

    Attributes:
        folder: Where it lies.
        kind: ``captioned_tars``, ``captioned_table`` or ``captioned_folder``.
        options: Of that kind, e.g. ``{"caption": "alt_text"}``.
        parts: How many there are, at least 1; all together give every entry once.
    """

    folder: Path
    kind: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    parts: int

    def opened(self, part: int) -> Corpus[Captioned]:
        """The data set, at one part; nothing in it is too broken.

        Raises:
            CorpusError: It cannot be opened any more, or has no such part.
        """
        corpus = _opened(self.kind, self.folder, tuple(sorted(self.options.items())))
        return corpus.read_as(
            Reading(part=part, parts=self.parts, tolerated_share=1.0, shown=LINES)
        )

    def pieces(self, part: int) -> tuple[tuple[str, range], ...]:
        """The files that a part's rows come from, as far as the listing tells: relative paths.

        Each with the rows of a table that are the part's; else an empty range. What stands beside
        images (captions, metadata) and the files that a CSV names are not in it.
        """
        source = self.opened(part).source
        if isinstance(source, Tars):
            tars = [source.files[index] for index in range(part, len(source.files), self.parts)]
            return tuple((one.relative_to(self.folder).as_posix(), range(0)) for one in tars)
        if isinstance(source, Tables):
            wanted = part_range(sum(rows for _, rows in source.files), part, self.parts)
            found, first = [], 0
            for path, rows in source.files:
                if first < wanted.stop and first + rows > wanted.start:
                    own = range(max(wanted.start - first, 0), min(wanted.stop - first, rows))
                    found.append((path.relative_to(self.folder).as_posix(), own))
                first += rows
            return tuple(found)
        assert isinstance(source, Listing)
        return tuple((name, range(0)) for name in source.entries(part, self.parts, 0))


@dataclass(frozen=True, kw_only=True)
class ReadPart:
    """What reading a part gives.

    Attributes:
        rows: In their order in the corpus.
        tally: Those that gave no row.
    """

    rows: tuple[Row, ...]
    tally: Tally


def open_web_corpus(
    folder: str | Path,
    *,
    kind: str = "",
    options: Mapping[str, str] | None = None,
    part_rows: int = PART_ROWS,
) -> WebCorpus:
    """Looks at a folder and divides it into parts; no image is read.

    Args:
        folder: Tars (WebDataset's or img2dataset's), tables (Hugging Face's parquet or Arrow, or
            CSV with the paths of images), or images with texts beside them.
        kind: Which of them; empty for the first that is there, in this order.
        options: Of the data set of that kind, see ``instruct-imagen corpus list``.
        part_rows: Rows of a part, at most, of tables and folders.

    Raises:
        CorpusError: The folder holds none of these, or not as that kind is laid out.
        ClusterError: `part_rows` is less than 1.
    """
    if part_rows < 1:
        raise ClusterError(f"part_rows={part_rows} must be 1 or more")
    folder = Path(folder)
    options = dict(options or {})
    _opened.cache_clear()  # files may have come or gone since it was filled
    kind = kind or _kind_of(folder)
    corpus = open_corpus(kind, folder, **options)
    if corpus.record is not Captioned:
        raise CorpusError(f"{kind} holds no captioned images: clusters are made of those alone")
    source = corpus.source
    parts = len(source.files) if isinstance(source, Tars) else -(-(corpus.size or 0) // part_rows)
    return WebCorpus(folder=folder, kind=kind, options=options, parts=max(parts, 1))


def read_part(corpus: WebCorpus, part: int) -> ReadPart:
    """The rows of a part, from 0 to ``corpus.parts - 1``.

    Headers of images are read, not their pixels: a file that ends early is found by the filter.

    Raises:
        CorpusError: The corpus cannot be opened any more, or has no such part.
    """
    stream = corpus.opened(part).records()
    rows = []
    for record in stream:
        try:
            rows.append(_row(record))
        except EntryError as error:
            stream.problems.add(error)
    problems = stream.problems
    counts = dict(sorted(problems.reasons.items()))
    tally = Tally(counts=counts, lines=tuple(printable(line) for line in problems.first))
    return ReadPart(rows=tuple(rows), tally=tally)


def loader(corpus: WebCorpus) -> Loader:
    """Reads the images of rows of a corpus again, and compares them with what was read."""

    def load(rows: Sequence[Row]) -> Iterator[bytes | EntryError]:
        found = bytes_at(corpus.folder, [(row.place, row.size) for row in rows])
        return map(unchanged, rows, found)

    return load


def unchanged(row: Row, data: bytes | EntryError) -> bytes | EntryError:
    """The image if its bytes are those that were read, by their hash; else what names the row."""
    if isinstance(data, EntryError):
        return EntryError(f"{row.key}: {data}", data.reason)
    if hashlib.sha256(data).hexdigest() != row.sha256:
        return EntryError(
            f"{row.key}: the image has changed since the corpus was read: build again, which reads "
            "it anew",
            GONE,
        )
    return data


def _row(record: Captioned) -> Row:
    image, about = record.image, record.about
    if len(record.caption) > LONGEST_CAPTION:
        raise EntryError(
            f"{record.key}: a caption of {len(record.caption)} characters, the limit is "
            f"{LONGEST_CAPTION}",
            "caption too long to read",
        )
    for text in (record.key, record.caption):
        if text != printable(text):
            raise EntryError(f"{record.key}: a name or caption that is no Unicode text", NO_TEXT)
    if image.place is None:
        raise EntryError(f"{record.key}: its bytes do not lie in one piece", "sparse file")
    width, height = image.check()
    names = {name.lower(): text for name, text in about.items()}
    return Row(
        key=record.key,
        caption=record.caption,
        width=width,
        height=height,
        original_width=_whole(names.get("original_width")),
        original_height=_whole(names.get("original_height")),
        sha256=image.sha256,
        url=_first(names, _URLS),
        page=_first(names, _PAGES),
        place=image.place,
        size=len(image.data),
    )


def _first(values: Mapping[str, str], names: Sequence[str]) -> str:
    found = (values[name].strip() for name in names if values.get(name, "").strip())
    # a column "page" may number the pages of a book: no address
    return printable(next((value for value in found if not value.isdigit()), ""))


def _whole(text: str | None) -> int:
    """A number of pixels; 0 for what is none. Tables with gaps write whole numbers as floats."""
    try:
        found = int(float(text or 0))
    except (ValueError, OverflowError):
        return 0
    return found if 0 < found < 2**31 else 0


def _kind_of(folder: Path) -> str:
    for kind, suffixes in (
        ("captioned_tars", (".tar",)),
        ("captioned_table", SUFFIXES),
        ("captioned_table", SEPARATED),
        ("captioned_folder", tuple(IMAGE_SUFFIXES)),
    ):
        if folder.is_dir() and files_below(folder, *suffixes):
            return kind
    raise CorpusError(
        f"{folder} holds no corpus: it must be a folder with .tar files, with tables (.parquet, "
        ".arrow, .csv, .tsv) or with images"
    )


@lru_cache(maxsize=4)
def _opened(kind: str, folder: Path, options: tuple[tuple[str, str], ...]) -> Any:
    return open_corpus(kind, folder, **dict(options))
