"""The photo-sketch set: photographs with contour drawings that people traced over them.

The mixture of [Hu24] (§3.2) has a "photo-sketch" set of 15K examples. The Contour Drawing Dataset
of *Photo-Sketching* (Li et al. 2019) fits: 1,000 photographs × 5 drawings × the 3 stroke widths in
which they are published are 15,000 pairs, and drawings lie on their photographs, as a control must.
The other candidate, the Sketchy Database (12,500 photographs, 75,471 sketches from memory), fits
neither in number nor in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from instruct_imagen.data.corpora.base import About, Corpus, Listing, Reader, Reading
from instruct_imagen.data.corpora.folders import (
    SPLITS,
    folders_in,
    images_in,
    lines_of,
    of_split,
    text_beside,
)
from instruct_imagen.data.corpora.records import Sketched

DRAWINGS = 5
"""Of each photograph, ``<name>_01.png`` to ``<name>_05.png``."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """An entry: one drawing of a photograph at one stroke width."""

    photo: str
    width: str
    number: int
    split: str


class PhotoSketch(Corpus[Sketched]):
    """Pairs of a drawing and its photograph.

    It has no captions, which the task needs ("sketch + text"): write them as ``name.txt`` beside
    ``image/name.jpg``; they are empty otherwise.
    """

    name = "photo_sketch"
    about = About(
        title="Contour Drawing Dataset",
        source="1,000 photographs with 5 drawings each, Li et al. 2019 (Photo-Sketching): "
        "http://www.cs.cmu.edu/~mengtial/proj/sketch/, code: https://github.com/mtli/PhotoSketch",
        licence="not stated in the code's repository, whose weights are CC BY-NC-SA 4.0: ask on "
        "the project page before anything but research",
        download="Unpack the images and the rendered sketches of the project page into one folder",
        layout="image/<name>.jpg sketch-rendered/width-<n>/<name>_01.png … _05.png "
        "[list/train.txt list/val.txt list/test.txt]",
    )
    record = Sketched

    def __init__(
        self,
        folder: Path,
        reading: Reading,
        *,
        split: str | None = None,
        width: str | None = None,
    ) -> None:
        """Opens it; `split` is ``train``, ``valid`` or ``test``, `width` ``1``, ``3`` or ``5``."""
        self._split, self._width = split, width
        super().__init__(folder, reading)

    def find(self) -> Listing[Drawing]:
        """Every drawing of the photographs that are listed, or that are there if none is."""
        photos, rendered = self.folder / "image", self.folder / "sketch-rendered"
        lacking = [path.name for path in (photos, rendered) if not path.is_dir()]
        if lacking:
            raise self.missing(*lacking)
        widths = [
            path.name.removeprefix("width-")
            for path in folders_in(rendered)
            if path.name.startswith("width-")
            and self._width in (None, path.name.removeprefix("width-"))
        ]
        names = self._listed() or {path.stem: "" for path in images_in(photos)}
        if not widths or not names:
            raise self.missing(
                *[f"sketch-rendered/width-{self._width or '<n>'}"] * (not widths),
                *["image/<name>.jpg"] * (not names),
            )
        pairs = [
            (split, Drawing(photo=name, width=width, number=number, split=split))
            for name, split in sorted(names.items())
            for width in sorted(widths)
            for number in range(1, DRAWINGS + 1)
        ]
        return Listing(of_split(pairs, self._split, self.folder))

    def _listed(self) -> dict[str, str]:
        """Photograph -> split; empty if there are no lists."""
        found = {}
        for stem in ("train", "val", "test"):
            path = self.folder / "list" / f"{stem}.txt"
            for name in lines_of(path) if path.is_file() else ():
                found[name] = SPLITS[stem]
        return found

    def read(self, entry: Drawing, reader: Reader) -> Sketched:
        """One drawing."""
        photo = self.folder / "image" / f"{entry.photo}.jpg"
        file = f"{entry.photo}_{entry.number:02d}.png"
        sketch = self.folder / "sketch-rendered" / f"width-{entry.width}" / file
        about = {"width": entry.width, "drawing": str(entry.number), "split": entry.split}
        return Sketched(
            key=f"{entry.photo}_{entry.number:02d}/width-{entry.width}",
            sketch=reader.image(sketch),
            photo=reader.image(photo),
            caption=text_beside(photo),
            about={name: text for name, text in about.items() if text},
        )


CORPUS = PhotoSketch
