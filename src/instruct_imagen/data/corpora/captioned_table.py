"""Any captioned images in tables: a data set of Hugging Face as parquet, or saved to disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from instruct_imagen.data.corpora.base import (
    About,
    Corpus,
    CorpusError,
    EntryError,
    Reader,
    Reading,
)
from instruct_imagen.data.corpora.folders import of_split
from instruct_imagen.data.corpora.records import Captioned
from instruct_imagen.data.corpora.tables import Row, Tables, image_of, table_files, text_of

_CAPTIONS = ("caption", "text", "prompt", "captions", "description", "sentence", "alt_text")
_LONGEST = 1000  # characters of what is kept of the other columns


class CaptionedTable(Corpus[Captioned]):
    """Rows with an image and a caption; other columns of texts and numbers go into `about`."""

    name = "captioned_table"
    about = About(
        title="a table of captioned images",
        source="any data set of https://huggingface.co/datasets with an image and a caption "
        "column, or one saved with datasets' save_to_disk",
        licence="that of the data set's page",
        download="Download the data set's parquet files, or call save_to_disk",
        layout="*.parquet or *.arrow in any folders; images as bytes or {bytes, path}; "
        "image=COLUMN caption=COLUMN where the names do not tell",
    )
    record = Captioned

    def __init__(
        self,
        folder: Path,
        reading: Reading,
        *,
        image: str | None = None,
        caption: str | None = None,
        split: str | None = None,
    ) -> None:
        """Opens it; `image` and `caption` are columns, `split` ``train``, ``valid`` or ``test``."""
        self._image, self._caption, self._split = image or "", caption or "", split
        super().__init__(folder, reading)

    def find(self) -> Tables:
        """The tables of the split, and which columns are which."""
        found = table_files(self.folder)
        if not found:
            raise self.missing("parquet or arrow file")
        files = of_split(found, self._split, self.folder)
        whole = Tables(self.folder, files[:1], None)
        schema = whole.schema
        images = [field.name for field in schema if _holds_images(field.type)]
        self._image = self._image or _only(images, "image", schema, self.folder)
        captions = [name for name in _CAPTIONS if name in schema.names][:1]
        self._caption = self._caption or _only(captions, "caption", schema, self.folder)
        self._others = [
            field.name
            for field in schema
            if field.name not in (self._image, self._caption) and _is_plain(field.type)
        ]
        tables = Tables(self.folder, files, (self._image, self._caption, *self._others))
        self._names = {name: tables.class_names(name) for name in self._others}
        return tables

    def read(self, entry: Row, reader: Reader) -> Captioned:
        """One row."""
        caption = text_of(entry.values[self._caption])
        if not caption:
            raise EntryError(f"{entry.place}: no caption")
        about = {name: self._word(name, entry.values[name]) for name in self._others}
        return Captioned(
            key=entry.place,
            image=image_of(entry.values[self._image], entry.place, self.folder, reader),
            caption=caption,
            about={name: text for name, text in about.items() if text},
        )

    def _word(self, column: str, value: object) -> str:
        names = self._names[column]
        if names and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else ""
        return "" if value is None else str(value)[:_LONGEST]


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {kind.field(index).name for index in range(kind.num_fields)}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_plain(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )


def _only(found: Sequence[str], what: str, schema: pa.Schema, folder: Path) -> str:
    if len(found) != 1:
        raise CorpusError(
            f"{folder}: {'no column' if not found else 'columns ' + ' and '.join(found)} may be "
            f"the {what}: name it, {what}=COLUMN, of {', '.join(schema.names)}"
        )
    return found[0]


CORPUS = CaptionedTable
