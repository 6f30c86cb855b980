"""WikiArt: paintings in folders of their styles, or the same as parquet from Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from instruct_imagen.data.corpora.base import (
    About,
    Corpus,
    CorpusError,
    EntryError,
    Listing,
    Reader,
    Reading,
)
from instruct_imagen.data.corpora.folders import (
    first_of,
    folders_in,
    images_in,
    inside,
    lines_of,
    of_split,
    spoken,
    text_beside,
)
from instruct_imagen.data.corpora.records import Styled
from instruct_imagen.data.corpora.tables import Row, Tables, image_of, table_files, text_of

_YEAR = re.compile(r"(?:^|-)(1[0-9]{3}|20[0-2][0-9])(?:-[0-9]+)?$")
_COPY = re.compile(r"\([0-9]+\)$")


@dataclass(frozen=True, kw_only=True)
class Painting:
    """An entry of the folders, e.g. ``Impressionism/claude-monet_water-lilies-1917-4.jpg``."""

    file: str
    split: str


class WikiArt(Corpus[Styled]):
    """Paintings with their style.

    The paper captions them with PaLI ([Hu24] §3.2), and nothing published does. Here a caption is
    ``name.txt`` beside the image, else the title in the file's name; parquet has no titles, so
    there it is the genre. It may be empty.
    """

    name = "wikiart"
    about = About(
        title="WikiArt",
        source="81,444 images of wikiart.org, as refined by Tan et al. for ArtGAN: "
        "https://github.com/cs-chan/ArtGAN (WikiArt Dataset); the same as parquet: "
        "https://huggingface.co/datasets/huggan/wikiart",
        licence="non-commercial research only; rights in each image are its artist's, and "
        "wikiart.org's terms of use hold",
        download="Unpack ArtGAN's wikiart.zip, and wikiart_csv.zip into the same folder for splits "
        "and genres; or download data/*.parquet and dataset_infos.json of huggan/wikiart",
        layout="<Style>/<artist>_<title>.jpg [style_train.csv style_val.csv genre_*.csv "
        "genre_class.txt], or data/*.parquet with image, style, artist, genre",
    )
    record = Styled

    def __init__(self, folder: Path, reading: Reading, *, split: str | None = None) -> None:
        """Opens it; `split` is ``train`` or ``valid``, if the lists are there."""
        self._split = split
        self._genres: Mapping[str, str] = {}
        self._tables: Tables | None = None
        self._root = folder
        super().__init__(folder, reading)

    def find(self) -> Listing[Painting] | Tables:
        """The tables if there are any, else the listed images, else all images."""
        tables = table_files(self.folder)
        if tables:
            self._tables = Tables(self.folder, of_split(tables, self._split, self.folder), None)
            self._check_columns(self._tables)
            return self._tables
        self._root = first_of(self.folder, "wikiart") or self.folder
        listed = dict(self._listed("style"))
        if not listed:
            listed = {
                f"{style.name}/{image.name}": ""
                for style in folders_in(self._root)
                for image in images_in(style)
            }
        if not listed:
            raise self.missing("folder of a style with images", "parquet file")
        classes = self._csv("genre_class.txt")
        names = dict(line.partition(" ")[::2] for line in lines_of(classes)) if classes else {}
        self._genres = {
            file: names[number]
            for file, (_, number) in self._listed_numbers("genre").items()
            if number in names
        }
        pairs = [(listed[f], Painting(file=f, split=listed[f])) for f in sorted(listed)]
        return Listing(of_split(pairs, self._split, self._root))

    def read(self, entry: Painting | Row, reader: Reader) -> Styled:
        """One painting."""
        return (
            self._read_row(entry, reader) if isinstance(entry, Row) else self._read(entry, reader)
        )

    def _read(self, painting: Painting, reader: Reader) -> Styled:
        path = inside(self._root, painting.file)
        artist, title, year = parts_of(path.stem)
        about = {"artist": artist, "year": year, "split": painting.split}
        about["genre"] = spoken(self._genres.get(painting.file, ""))
        return Styled(
            key=painting.file,
            style=spoken(path.parent.name),
            image=reader.image(path),
            caption=text_beside(path) or title,
            about={name: text for name, text in about.items() if text},
        )

    def _read_row(self, row: Row, reader: Reader) -> Styled:
        style, artist, genre = (
            "" if word.startswith("unknown") else word
            for word in (spoken(self._word(name, row)) for name in ("style", "artist", "genre"))
        )
        if not style:
            raise EntryError(f"{row.place}: no style")
        about = {"artist": artist, "genre": genre}
        return Styled(
            key=row.place,
            style=style,
            image=image_of(row.values["image"], row.place, self.folder, reader),
            caption=genre,
            about={name: text for name, text in about.items() if text},
        )

    def _word(self, column: str, row: Row) -> str:
        value = row.values.get(column)
        if isinstance(value, int):
            names = self._tables.class_names(column) if self._tables else ()
            return names[value] if 0 <= value < len(names) else ""
        return text_of(value)

    def _check_columns(self, tables: Tables) -> None:
        lacking = [name for name in ("image", "style") if name not in tables.schema.names]
        if lacking:
            raise self.missing(*(f"column {name}" for name in lacking))
        is_number = str(tables.schema.field("style").type).startswith("int")
        if is_number and not tables.class_names("style"):
            raise CorpusError(
                f"{self.folder} does not say what the numbers of column style mean: put "
                "dataset_infos.json of the same download there"
            )

    def _listed(self, task: str) -> Iterator[tuple[str, str]]:
        for file, (split, _) in self._listed_numbers(task).items():
            yield file, split

    def _listed_numbers(self, task: str) -> dict[str, tuple[str, str]]:
        """File -> split and number of its class, from ArtGAN's lists; empty if they are not here.

        The lists' ``val`` is what we call ``valid``.
        """
        found = {}
        for split, stem in (("train", "train"), ("valid", "val")):
            path = self._csv(f"{task}_{stem}.csv")
            for line in lines_of(path) if path else ():
                file, _, number = line.rpartition(",")
                found[file] = (split, number)
        return found

    def _csv(self, name: str) -> Path | None:
        task = name.partition("_")[0].capitalize()
        for place in (self._root, self.folder):
            path = first_of(place, name, f"wikiart_csv/{name}", f"{task}/{name}")
            if path is not None:
                return path
        return None


def parts_of(stem: str) -> tuple[str, str, str]:
    """Artist, title and year in the name of a file; empty where it has none."""
    artist, _, title = _COPY.sub("", stem).partition("_")
    found = _YEAR.search(title)
    year = found.group(1) if found else ""
    return spoken(artist), spoken(title[: found.start()] if found else title), year


CORPUS = WikiArt
