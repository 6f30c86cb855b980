"""DreamBench (DreamBooth's data set), and any folder of folders of one subject each."""

from __future__ import annotations

import re
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
    lines_of,
    spoken,
    text_beside,
)
from instruct_imagen.data.corpora.records import SubjectSet

_LIST = "prompts_and_classes.txt"
_ALIVE = ("cat", "dog")
_PROMPT = re.compile(r"^'(.*)'\.format\(unique_token, class_token\),?$")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An entry: a folder and the word for what it shows."""

    folder: str
    name: str


class DreamBench(Corpus[SubjectSet]):
    """Subjects with four to six images and 25 prompts each.

    Without ``prompts_and_classes.txt`` it reads subject folders of your own: the folder's name is
    the subject's, ``prompts.txt`` in it has one prompt a line, ``name.txt`` beside ``name.jpg`` is
    its caption.
    """

    name = "dreambench"
    about = About(
        title="DreamBench",
        source="30 subjects, Ruiz et al. 2023 (DreamBooth): https://github.com/google/dreambooth",
        licence="images of unsplash.com under the Unsplash licence, all others by the authors and "
        "their friends; see its references_and_licenses.txt",
        download="Clone https://github.com/google/dreambooth (dataset/ is what is read), or make "
        "one folder of images for each subject of your own",
        layout="[dataset/]<subject>/*.jpg [prompts_and_classes.txt], or <subject>/*.jpg "
        "[<subject>/prompts.txt]",
    )
    record = SubjectSet

    def __init__(self, folder: Path, reading: Reading) -> None:
        """Opens it."""
        self._prompts: dict[str, tuple[str, ...]] = {}
        super().__init__(folder, reading)

    def find(self) -> Listing[Subject]:
        """The subjects of the list, or all folders with images."""
        self._root = first_of(self.folder, "dataset") or self.folder
        if (self._root / _LIST).is_file():
            subjects, self._prompts = read_list(self._root / _LIST)
            return Listing([Subject(folder=one, name=subjects[one]) for one in sorted(subjects)])
        found = [
            Subject(folder=folder.name, name=spoken(folder.name))
            for folder in folders_in(self._root)
            if images_in(folder)
        ]
        if not found:
            raise self.missing("folder of a subject with images")
        return Listing(found)

    def read(self, entry: Subject, reader: Reader) -> SubjectSet:
        """One subject."""
        folder = self._root / entry.folder
        if not folder.is_dir() or not (paths := images_in(folder)):
            raise EntryError(f"{reader.name(folder)}: no folder with images")
        images = reader.images({path: path for path in paths})
        own = folder / "prompts.txt"
        kind = "live" if entry.name in _ALIVE else "object"
        prompts = self._prompts.get(kind, ())
        return SubjectSet(
            key=entry.folder,
            name=entry.name,
            images=tuple(images.values()),
            captions=tuple(text_beside(path) for path in images),
            prompts=tuple(prompt.replace("{}", entry.name) for prompt in prompts)
            or tuple(lines_of(own, EntryError) if own.is_file() else ()),
            about={"kind": kind} if prompts else {},
        )


def read_list(path: Path) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Reads ``prompts_and_classes.txt``.

    Returns:
        Subject -> class, and ``live`` or ``object`` -> its prompts with ``{}`` for the class; the
        place of DreamBooth's rare token is closed.

    Raises:
        CorpusError: The file has another form.
    """
    subjects: dict[str, str] = {}
    prompts: dict[str, list[str]] = {"object": [], "live": []}
    section = ""
    for line in lines_of(path):
        prompt = _PROMPT.match(line)
        if line == "subject_name,class":
            section = "classes"
        elif line.endswith("Prompts"):
            section = "live" if line.startswith("Live") else "object"
        elif prompt and section in prompts:
            prompts[section].append(prompt.group(1).replace("{0} ", "").replace("{1}", "{}"))
        elif section == "classes" and line.count(",") == 1:
            name, _, word = line.partition(",")
            subjects[name] = word
    if not subjects or not prompts["object"] or not prompts["live"]:
        raise CorpusError(f"{path} lacks classes or prompts: download it anew")
    return subjects, {kind: tuple(texts) for kind, texts in prompts.items()}


CORPUS = DreamBench
