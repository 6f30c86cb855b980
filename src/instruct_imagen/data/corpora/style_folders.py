"""Style images as StyleDrop uses them: a folder a style, or a list of image, subject and style."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from instruct_imagen.data.corpora.base import About, Corpus, CorpusError, Listing, Reader
from instruct_imagen.data.corpora.folders import (
    first_of,
    folders_in,
    images_in,
    inside,
    json_of,
    lines_of,
    one_line,
    spoken,
    text_beside,
)
from instruct_imagen.data.corpora.records import Styled

_LIST = "data.json"


@dataclass(frozen=True, kw_only=True)
class StyleImage:
    """An entry: an image below the root, its style, and its caption in the list."""

    file: str
    style: str
    caption: str


class StyleFolders(Corpus[Styled]):
    """Images with the words for their style.

    In folders, ``style.txt`` has the words for the style (else the folder's name is taken), and
    ``name.txt`` beside ``name.jpg`` is its caption.
    """

    name = "style_folders"
    about = About(
        title="a set of style images",
        source="your own; or the style images of StyleDrop (Sohn et al. 2023) with their "
        "descriptions: https://github.com/zideliu/StyleDrop-PyTorch/tree/main/data",
        licence="that of each image; StyleDrop's are of several makers and are published without "
        "a licence of their own",
        download="Make one folder of images for each style, or take the folder data of "
        "StyleDrop-PyTorch",
        layout="<style>/*.jpg [<style>/style.txt <style>/<name>.txt], or data.json "
        '({"image.jpg": ["A bay", "in watercolor painting style"]}) with its images',
    )
    record = Styled

    def find(self) -> Listing[StyleImage]:
        """The images of the list, or those of all folders."""
        if (self.folder / _LIST).is_file():
            return Listing(self._listed())
        found = []
        for folder in folders_in(self.folder):
            images = images_in(folder)
            style = self._style_of(folder) if images else ""
            found += [
                StyleImage(file=f"{folder.name}/{path.name}", style=style, caption="")
                for path in images
            ]
        if not found:
            raise self.missing("folder of a style with images", _LIST)
        return Listing(found)

    def read(self, entry: StyleImage, reader: Reader) -> Styled:
        """One image."""
        path = inside(self.folder, entry.file)
        return Styled(
            key=entry.file,
            style=entry.style,
            image=reader.image(path),
            caption=entry.caption or text_beside(path),
        )

    def _style_of(self, folder: Path) -> str:
        words = first_of(folder, "style.txt")
        text = one_line(" ".join(lines_of(words))) if words else spoken(folder.name)
        if not text:
            raise CorpusError(f"{words} is empty: write how the style is called")
        return text

    def _listed(self) -> list[StyleImage]:
        path = self.folder / _LIST
        listed = json_of(path)
        found = []
        for file, words in listed.items() if isinstance(listed, dict) else ():
            if not (isinstance(words, list) and [type(word) for word in words] == [str, str]):
                raise CorpusError(f"{path}: {file} is not given as [subject, style]")
            found.append(
                StyleImage(
                    file=file,
                    style=one_line(words[1]).removeprefix("in ").removesuffix(" style"),
                    caption=one_line(words[0]),
                )
            )
        if not found:
            raise CorpusError(f"{path} lists no image")
        return sorted(found, key=lambda one: one.file)


CORPUS = StyleFolders
