"""DreamBench++: one image and nine prompts a subject."""

from __future__ import annotations

from pathlib import Path

from instruct_imagen.data.corpora.base import About, Corpus, EntryError, Listing, Reader
from instruct_imagen.data.corpora.folders import (
    IMAGE_SUFFIXES,
    files_below,
    first_of,
    lines_of,
    one_line,
)
from instruct_imagen.data.corpora.records import SubjectSet


class DreamBenchPlus(Corpus[SubjectSet]):
    """Subjects of the kinds animal, human, object and style; ``about["kind"]`` says which."""

    name = "dreambench_plus"
    about = About(
        title="DreamBench++",
        source="150 images, 1,350 prompts, Peng et al. 2024: "
        "https://github.com/yuangpeng/dreambench_plus, "
        "https://huggingface.co/datasets/yuangpeng/dreambench_plus",
        licence="Apache-2.0 as its page says; images of unsplash.com, rawpixel.com, web search and "
        "the authors, checked by them for academic use",
        download="Unpack data.zip of https://huggingface.co/datasets/yuangpeng/dreambench_plus",
        layout="[data/]images/<kind>/<number>.jpg captions/<kind>/<number>.txt (first line: the "
        "subject, then a prompt a line)",
    )
    record = SubjectSet

    def find(self) -> Listing[Path]:
        """The images, by their paths below ``images``."""
        root = next(
            (p for p in (self.folder, self.folder / "data") if (p / "captions").is_dir()),
            self.folder,
        )
        self._images, self._captions = root / "images", root / "captions"
        lacking = [path.name for path in (self._images, self._captions) if not path.is_dir()]
        if lacking:
            raise self.missing(*lacking)
        # A text without its image is a problem, and so is an image without its text.
        stems = {
            Path(name).with_suffix("")
            for root, suffixes in (
                (self._images, tuple(IMAGE_SUFFIXES)),
                (self._captions, (".txt",)),
            )
            for name in files_below(root, *suffixes)
        }
        if not stems:
            raise self.missing("image below images")
        return Listing(sorted(stems, key=lambda path: path.as_posix()))

    def read(self, entry: Path, reader: Reader) -> SubjectSet:
        """One subject."""
        names = [f"{entry}{suffix}" for suffix in (".jpg", *sorted(IMAGE_SUFFIXES))]
        image = first_of(self._images, *names) or self._images / names[0]
        text = self._captions / f"{entry}.txt"
        if not text.is_file():
            raise EntryError(f"{reader.name(text)}: No such file or directory")
        name, *prompts = [one_line(line) for line in lines_of(text, EntryError)] or [""]
        if not name or not prompts:
            raise EntryError(f"{reader.name(text)}: has no subject or no prompts")
        return SubjectSet(
            key=entry.as_posix(),
            name=name,
            images=(reader.image(image),),
            captions=("",),
            prompts=tuple(prompts),
            about={"kind": entry.parent.name},
        )


CORPUS = DreamBenchPlus
