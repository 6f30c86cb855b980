"""Any captioned images in tars: WebDataset's layout, as img2dataset writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from instruct_imagen.data.corpora.base import (
    About,
    Corpus,
    CorpusError,
    EntryError,
    Reader,
    Reading,
)
from instruct_imagen.data.corpora.folders import (
    IMAGE_SUFFIXES,
    NO_CAPTION,
    NO_IMAGE,
    NO_TEXT,
    files_below,
    one_line,
)
from instruct_imagen.data.corpora.records import Captioned, Place
from instruct_imagen.data.corpora.stored_rows import plain_rows
from instruct_imagen.data.corpora.tars import Sample, Tars

_IMAGES = tuple(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
_TEXTS = ("txt", "caption")
_LOOK = 100  # samples that are looked at for an image before the tars are refused
_LONGEST = 1000  # characters of what is kept of the metadata


class CaptionedTars(Corpus[Captioned]):
    """Images with ``.txt`` (or ``.json`` with ``caption``) beside them, in tars of any number.

    What img2dataset's ``.json`` say of each image, its parquet file says of all images of a tar. A
    sample without ``.json`` is looked up there, by the column ``key``.
    """

    name = "captioned_tars"
    about = About(
        title="a set of tars with captioned images",
        source="your own; or a list of addresses fetched with "
        "https://github.com/rom1504/img2dataset (--output_format webdataset); the layout: "
        "https://github.com/webdataset/webdataset",
        licence="that of each image and caption; what you fetch is yours to check",
        download="Put the .tar files into one folder, uncompressed",
        layout="<n>.tar with <key>.jpg (or .png, .webp …), <key>.txt and/or <key>.json; other "
        "files are passed over, but <n>.parquet stands in for missing .json",
    )
    record = Captioned

    def __init__(self, folder: Path, reading: Reading) -> None:
        self._table: tuple[str, Mapping[str, Mapping[str, Any]]] = ("", {})
        super().__init__(folder, reading)

    def find(self) -> Tars:
        """The tars, and a look into the first one."""
        files = [self.folder / name for name in files_below(self.folder, ".tar")]
        if not files:
            packed = files_below(self.folder, ".tar.gz", ".tgz", ".tar.zst")
            raise self.missing(f"tar but {packed[0]}, to be uncompressed" if packed else "tar")
        tars = Tars(self.folder, files, (*_IMAGES, *_TEXTS, "json"))
        looked = list(islice(tars.entries(0, 1, 0), 1))
        if not looked:
            raise self.missing(f"sample in {files[0].name}")
        if not _may_be_image(looked[0]) and not any(
            map(_may_be_image, islice(tars.entries(0, 1, 1), _LOOK))
        ):
            raise self.missing(f"image in the first sample, {looked[0].place}")
        return tars

    def read(self, entry: Sample, reader: Reader) -> Captioned:
        """One sample."""
        found = [extension for extension in _IMAGES if extension in entry.files]
        if len(found) != 1:
            raise EntryError(
                f"{entry.place}: {' and '.join(found) or 'no image'} in one sample", NO_IMAGE
            )
        about = _json(entry) if "json" in entry.files else self._looked_up(entry, reader)
        caption = next((_text(entry, name) for name in _TEXTS if name in entry.files), "")
        caption = caption or one_line(str(about.get("caption") or ""))
        if not caption:
            raise EntryError(f"{entry.place}: no caption", NO_CAPTION)
        offset = entry.offsets.get(found[0])
        place = None if offset is None else Place(file=entry.tar, offset=offset)
        return Captioned(
            key=entry.place,
            image=reader.stored(entry.files[found[0]], f"{entry.place}.{found[0]}", place),
            caption=caption,
            about={
                name: str(value)[:_LONGEST]
                for name, value in about.items()
                if name != "caption" and isinstance(value, (str, int, float)) and value != ""
            },
        )

    def _looked_up(self, sample: Sample, reader: Reader) -> Mapping[str, Any]:
        """What the parquet file beside the tar says of a sample; nothing where there is none."""
        stem = sample.tar.rpartition(".")[0]
        if self._table[0] != stem:
            rows: Mapping[str, Mapping[str, Any]] = {}
            path = self.folder / f"{stem}.parquet"
            if path.is_file():
                try:
                    rows = {str(row.get("key")): row for row in plain_rows(path)}
                except CorpusError as error:  # once a tar: its samples may do without
                    reader.problems.add(EntryError(str(error), "broken metadata"))
            self._table = stem, rows
        return self._table[1].get(sample.place.rpartition("/")[2], {})


def _may_be_image(entry: Sample | EntryError) -> bool:
    return isinstance(entry, EntryError) or bool(set(_IMAGES) & set(entry.files))


def _text(sample: Sample, name: str) -> str:
    try:
        return one_line(sample.files[name].decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise EntryError(f"{sample.place}.{name} is not UTF-8 text", NO_TEXT) from error


def _json(sample: Sample) -> dict[str, Any]:
    try:
        found = json.loads(sample.files.get("json", b"{}"))
    except (ValueError, RecursionError) as error:
        raise EntryError(f"{sample.place}.json is no JSON", "broken metadata") from error
    return found if isinstance(found, dict) else {}


CORPUS = CaptionedTars
