"""CelebA-HQ: 30,000 faces at 1024 pixels, in the layout of CelebAMask-HQ, by who they show."""

from __future__ import annotations

from pathlib import Path

from instruct_imagen.data.corpora.base import About, Corpus, CorpusError, Listing, Reader, Reading
from instruct_imagen.data.corpora.faces import (
    Person,
    people,
    read_attributes,
    read_pairs,
    read_person,
)
from instruct_imagen.data.corpora.folders import first_of, lines_of, of_split
from instruct_imagen.data.corpora.records import Identity

_IMAGES = "CelebA-HQ-img"
_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_ATTRIBUTES = "CelebAMask-HQ-attribute-anno.txt"
_IDENTITY = "identity_CelebA.txt"


class CelebAHQ(Corpus[Identity]):
    """Faces; captions are made of the attributes, or stand in ``name.txt`` beside an image."""

    name = "celeba_hq"
    about = About(
        title="CelebA-HQ",
        source="30,000 images, Karras et al. 2018, as published with CelebAMask-HQ, Lee et al. "
        "2020: https://github.com/switchablenorms/CelebAMask-HQ; identities: "
        "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="non-commercial research only, no passing on; identities on request to CelebA's "
        "makers",
        download="Unpack CelebAMask-HQ.zip, and put CelebA's identity_CelebA.txt and (for splits) "
        "list_eval_partition.txt into its folder",
        layout=f"{_IMAGES}/<number>.jpg {_MAPPING} {_ATTRIBUTES} {_IDENTITY} "
        "[list_eval_partition.txt]",
    )
    record = Identity

    def __init__(self, folder: Path, reading: Reading, *, split: str | None = None) -> None:
        """Opens it; `split` is ``train``, ``valid`` or ``test``, if the partition is there."""
        self._split = split
        super().__init__(folder, reading)

    def find(self) -> Listing[Person]:
        """The people whom the mapping and the identity file name together."""
        lacking = [
            name
            for name in (_IMAGES, _MAPPING, _ATTRIBUTES, _IDENTITY)
            if not (self.folder / name).exists()
        ]
        if lacking:
            raise self.missing(*lacking)
        self._images = self.folder / _IMAGES
        self._attributes = read_attributes(self.folder / _ATTRIBUTES)
        identities = read_pairs(self.folder / _IDENTITY)
        originals = read_mapping(self.folder / _MAPPING)
        strangers = [name for name in originals.values() if name not in identities]
        if strangers:
            raise CorpusError(
                f"{self.folder / _IDENTITY} does not say who {strangers[0]} shows, and "
                f"{len(strangers) - 1} others: take the one that belongs to CelebA"
            )
        partition = first_of(self.folder, "list_eval_partition.txt")
        found = people(originals.items(), identities, partition)
        return Listing(of_split(found, self._split, self.folder))

    def read(self, entry: Person, reader: Reader) -> Identity:
        """One person."""
        return read_person(entry, self._images, self._attributes, reader)


def read_mapping(path: Path) -> dict[str, str]:
    """``0.jpg`` and so on -> the name that the image has in CelebA.

    Raises:
        CorpusError: The file has another form.
    """
    found = {}
    lines = lines_of(path)
    if next(lines, "").split() != ["idx", "orig_idx", "orig_file"]:
        raise CorpusError(f"{path} does not begin with idx orig_idx orig_file: download it anew")
    for line in lines:
        words = line.split()
        if len(words) != 3:
            raise CorpusError(f"{path}: {line[:60]!r} has not three columns")
        found[f"{words[0]}.jpg"] = words[2]
    return found


CORPUS = CelebAHQ
