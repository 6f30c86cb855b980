"""MagicBrush: images before and after an edit that people asked for and made."""

from __future__ import annotations

from pathlib import Path

from instruct_imagen.data.corpora.base import About, Corpus, EntryError, Reader, Reading
from instruct_imagen.data.corpora.folders import of_split
from instruct_imagen.data.corpora.records import Edited
from instruct_imagen.data.corpora.tables import Row, Tables, image_of, table_files, text_of

_COLUMNS = ("img_id", "turn_index", "source_img", "mask_img", "instruction", "target_img")


class MagicBrush(Corpus[Edited]):
    """Edits in turns: the target of a turn is the source of the next one of the same image.

    The published test split is for evaluation alone, and its makers ask that it never be trained
    on or put online.
    """

    name = "magicbrush"
    about = About(
        title="MagicBrush",
        source="8,807 training and 528 development edits of COCO images, Zhang et al. 2023: "
        "https://huggingface.co/datasets/osunlp/MagicBrush, "
        "https://github.com/OSU-NLP-Group/MagicBrush",
        licence="CC BY 4.0; the test split must not be trained on or passed on",
        download="Download data/*.parquet of https://huggingface.co/datasets/osunlp/MagicBrush "
        "(22 GB)",
        layout="[data/]train-*.parquet dev-*.parquet with img_id, turn_index, source_img, "
        "mask_img, instruction, target_img",
    )
    record = Edited

    def __init__(self, folder: Path, reading: Reading, *, split: str | None = None) -> None:
        """Opens it; `split` is ``train`` or ``valid`` (its makers' ``dev``)."""
        self._split = split
        super().__init__(folder, reading)

    def find(self) -> Tables:
        """The tables of the split."""
        tables = table_files(self.folder)
        if not tables:
            raise self.missing("parquet file")
        return Tables(self.folder, of_split(tables, self._split, self.folder), _COLUMNS)

    def read(self, entry: Row, reader: Reader) -> Edited:
        """One edit."""
        values = entry.values
        instruction = text_of(values["instruction"])
        if not instruction:
            raise EntryError(f"{entry.place}: no instruction")
        source, target = (
            image_of(values[name], f"{entry.place} {name}", self.folder, reader)
            for name in ("source_img", "target_img")
        )
        mask = None
        if values["mask_img"] is not None:
            mask = image_of(values["mask_img"], f"{entry.place} mask_img", self.folder, reader)
        return Edited(
            key=entry.place,
            source=source,
            mask=mask,
            target=target,
            instruction=instruction,
            caption="",
            about={"image": str(values["img_id"]), "turn": str(values["turn_index"])},
        )


CORPUS = MagicBrush
