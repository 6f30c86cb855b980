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
from instruct_imagen.data.corpora.folders import NO_CAPTION, of_split
from instruct_imagen.data.corpora.records import Captioned
from instruct_imagen.data.corpora.separated import SEPARATED
from instruct_imagen.data.corpora.stored_rows import is_plain
from instruct_imagen.data.corpora.tables import (
    SUFFIXES,
    Row,
    Tables,
    image_of,
    table_files,
    text_of,
)

_CAPTIONS = ("caption", "text", "prompt", "captions", "description", "sentence", "alt_text")
PATH_COLUMNS = (
    "image", "image_path", "img_path", "path", "filepath", "file_path", "file_name", "filename",
    "file",
)  # fmt: skip
_LONGEST = 1000  # characters of what is kept of the other columns


class CaptionedTable(Corpus[Captioned]):
    """Rows with an image and a caption; other columns of texts and numbers go into `about`."""

    name = "captioned_table"
    about = About(
        title="a table of captioned images",
        source="any data set of https://huggingface.co/datasets with an image and a caption "
        "column, one saved with datasets' save_to_disk, or a list of your own files",
        licence="that of the data set's page",
        download="Download the data set's parquet files, call save_to_disk, or put a .csv with a "
        "line of column names into the folder of your images",
        layout="*.parquet or *.arrow (else *.csv or *.tsv) in any folders; images as bytes, "
        "{bytes, path} or a file's path; image=COLUMN caption=COLUMN where the names do not tell",
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
        found = table_files(self.folder, SUFFIXES) or table_files(self.folder, SEPARATED)
        if not found:
            raise self.missing("parquet, arrow or csv file")
        files = of_split(found, self._split, self.folder)
        whole = Tables(self.folder, files[:1], None)
        schema = whole.schema
        images = [field.name for field in schema if holds_images(field.type)]
        images = images or named_column(PATH_COLUMNS, schema)
        self._image = self._image or _only(images, "image", schema, self.folder)
        captions = named_column(_CAPTIONS, schema)
        self._caption = self._caption or _only(captions, "caption", schema, self.folder)
        self._others = [
            field.name
            for field in schema
            if field.name not in (self._image, self._caption) and is_plain(field.type)
        ]
        tables = Tables(self.folder, files, (self._image, self._caption, *self._others))
        self._names = {name: tables.class_names(name) for name in self._others}
        return tables

    def read(self, entry: Row, reader: Reader) -> Captioned:
        """One row."""
        caption = text_of(entry.values[self._caption])
        if not caption:
            raise EntryError(f"{entry.place}: no caption", NO_CAPTION)
        about = {name: self._word(name, entry.values[name]) for name in self._others}
        return Captioned(
            key=entry.place,
            image=image_of(
                entry.values[self._image], entry.place, self.folder, reader, self._image
            ),
            caption=caption,
            about={name: text for name, text in about.items() if text},
        )

    def _word(self, column: str, value: object) -> str:
        names = self._names[column]
        if names and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else ""
        return "" if value is None else str(value)[:_LONGEST]


def holds_images(kind: pa.DataType) -> bool:
    """Whether a column of this type may hold encoded images."""
    if pa.types.is_struct(kind):
        return {"bytes", "path"} <= {kind.field(index).name for index in range(kind.num_fields)}
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def named_column(names: Sequence[str], schema: pa.Schema) -> list[str]:
    """The column that has the first of several names, in any case; none or one."""
    known = {name.lower(): name for name in reversed(schema.names)}
    return [known[name] for name in names if name in known][:1]


def _only(found: Sequence[str], what: str, schema: pa.Schema, folder: Path) -> str:
    if len(found) != 1:
        raise CorpusError(
            f"{folder}: {'no column' if not found else 'columns ' + ' and '.join(found)} may be "
            f"the {what}: name it, {what}=COLUMN, of {', '.join(schema.names)}"
        )
    return found[0]


CORPUS = CaptionedTable
