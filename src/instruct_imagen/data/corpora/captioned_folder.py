"""Any captioned images in folders: ``name.txt`` beside ``name.jpg``."""

from __future__ import annotations

from instruct_imagen.data.corpora.base import About, Corpus, EntryError, Listing, Reader
from instruct_imagen.data.corpora.folders import (
    IMAGE_SUFFIXES,
    NO_CAPTION,
    files_below,
    text_beside,
)
from instruct_imagen.data.corpora.records import Captioned


class CaptionedFolder(Corpus[Captioned]):
    """Images with texts beside them, in folders of any depth."""

    name = "captioned_folder"
    about = About(
        title="a folder of captioned images",
        source="your own; or a list of addresses fetched with "
        "https://github.com/rom1504/img2dataset (--output_format files)",
        licence="that of each image and caption; what you fetch is yours to check",
        download="Put name.txt beside each name.jpg",
        layout="[<folder>/]<name>.jpg (or .png, .webp …) with <name>.txt beside it",
    )
    record = Captioned

    def find(self) -> Listing[str]:
        """All images, by their relative paths."""
        found = files_below(self.folder, *IMAGE_SUFFIXES)
        if not found:
            raise self.missing("image")
        return Listing(found)

    def read(self, entry: str, reader: Reader) -> Captioned:
        """One image."""
        path = self.folder / entry
        caption = text_beside(path)
        if not caption:
            raise EntryError(f"{entry}: no caption in {path.stem}.txt beside it", NO_CAPTION)
        return Captioned(key=entry, image=reader.image(path), caption=caption)


CORPUS = CaptionedFolder
