"""CelebA: aligned faces, grouped by who they show."""

from __future__ import annotations

from pathlib import Path

from instruct_imagen.data.corpora.base import About, Corpus, Listing, Reader, Reading
from instruct_imagen.data.corpora.faces import (
    Person,
    people,
    read_attributes,
    read_pairs,
    read_person,
)
from instruct_imagen.data.corpora.folders import first_of, of_split
from instruct_imagen.data.corpora.records import Identity


class CelebA(Corpus[Identity]):
    """Faces; captions are made of the attributes, or stand in ``name.txt`` beside an image."""

    name = "celeba"
    about = About(
        title="CelebA",
        source="202,599 images of 10,177 people, Liu et al. 2015: "
        "http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="non-commercial research only, no passing on; identities on request to its makers",
        download="Unpack img_align_celeba.zip, and put identity_CelebA.txt, list_attr_celeba.txt "
        "and (for splits) list_eval_partition.txt beside its folder",
        layout="img_align_celeba/<number>.jpg identity_CelebA.txt list_attr_celeba.txt "
        "[list_eval_partition.txt]; also with the makers' folders Img, Anno, Eval",
    )
    record = Identity

    def __init__(self, folder: Path, reading: Reading, *, split: str | None = None) -> None:
        """Opens it; `split` is ``train``, ``valid`` or ``test``, if the partition is there."""
        self._split = split
        super().__init__(folder, reading)

    def find(self) -> Listing[Person]:
        """The people of the identity file."""
        images = first_of(self.folder, "img_align_celeba", "Img/img_align_celeba")
        identity = first_of(self.folder, "identity_CelebA.txt", "Anno/identity_CelebA.txt")
        attributes = first_of(self.folder, "list_attr_celeba.txt", "Anno/list_attr_celeba.txt")
        if images is None or identity is None or attributes is None:
            raise self.missing(
                *["img_align_celeba"] * (images is None),
                *["identity_CelebA.txt"] * (identity is None),
                *["list_attr_celeba.txt"] * (attributes is None),
            )
        self._images, self._attributes = images, read_attributes(attributes)
        identities = read_pairs(identity)
        partition = first_of(self.folder, "list_eval_partition.txt", "Eval/list_eval_partition.txt")
        found = people(((file, file) for file in sorted(identities)), identities, partition)
        return Listing(of_split(found, self._split, self.folder))

    def read(self, entry: Person, reader: Reader) -> Identity:
        """One person."""
        return read_person(entry, self._images, self._attributes, reader)


CORPUS = CelebA
