"""Any captioned images in tars: WebDataset's layout, as img2dataset writes it."""

from __future__ import annotations

import json
from typing import Any

from instruct_imagen.data.corpora.base import About, Corpus, EntryError, Reader
from instruct_imagen.data.corpora.folders import IMAGE_SUFFIXES, files_below, one_line
from instruct_imagen.data.corpora.records import Captioned
from instruct_imagen.data.corpora.tars import Sample, Tars

_IMAGES = tuple(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
_TEXTS = ("txt", "caption")
_LONGEST = 1000  # characters of what is kept of the metadata


class CaptionedTars(Corpus[Captioned]):
    """Images with ``.txt`` (or ``.json`` with ``caption``) beside them, in tars of any number.

    What img2dataset's parquet files say of a tar, its ``.json`` say of each image; they are not
    read.
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
        "files are passed over",
    )
    record = Captioned

    def find(self) -> Tars:
        """The tars, and a look into the first one."""
        files = [self.folder / name for name in files_below(self.folder, ".tar")]
        if not files:
            packed = files_below(self.folder, ".tar.gz", ".tgz", ".tar.zst")
            raise self.missing(f"tar but {packed[0]}, to be uncompressed" if packed else "tar")
        tars = Tars(self.folder, files, (*_IMAGES, *_TEXTS, "json"))
        first = next(tars.entries(0, 1, 0), None)
        if first is None:
            raise self.missing(f"sample in {files[0].name}")
        if isinstance(first, Sample) and not set(_IMAGES) & set(first.files):
            raise self.missing(f"image in the first sample, {first.place}")
        return tars

    def read(self, entry: Sample, reader: Reader) -> Captioned:
        """One sample."""
        found = [extension for extension in _IMAGES if extension in entry.files]
        if len(found) != 1:
            raise EntryError(f"{entry.place}: {' and '.join(found) or 'no image'} in one sample")
        about = _json(entry)
        caption = next((_text(entry, name) for name in _TEXTS if name in entry.files), "")
        caption = caption or one_line(str(about.get("caption") or ""))
        if not caption:
            raise EntryError(f"{entry.place}: no caption")
        return Captioned(
            key=entry.place,
            image=reader.stored(entry.files[found[0]], f"{entry.place}.{found[0]}"),
            caption=caption,
            about={
                name: str(value)[:_LONGEST]
                for name, value in about.items()
                if name != "caption" and isinstance(value, (str, int, float)) and value != ""
            },
        )


def _text(sample: Sample, name: str) -> str:
    try:
        return one_line(sample.files[name].decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise EntryError(f"{sample.place}.{name} is not UTF-8 text") from error


def _json(sample: Sample) -> dict[str, Any]:
    try:
        found = json.loads(sample.files.get("json", b"{}"))
    except (ValueError, RecursionError) as error:
        raise EntryError(f"{sample.place}.json is no JSON") from error
    return found if isinstance(found, dict) else {}


CORPUS = CaptionedTars
