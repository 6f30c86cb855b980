"""Several pictures of one subject or of one person -> Subject2Img, Face2Img ([Hu24] §3.2).

One picture is the target, one to four others are its references and share marker 1, as the
paper's. A reference never has the target's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_imagen.data.corpora.records import Identity, StoredImage, SubjectSet
from instruct_imagen.data.corpus_tasks.base import (
    Draft,
    Maker,
    Shown,
    Tools,
    distinct,
    in_sentence,
    templates_of,
    worded,
)
from instruct_imagen.data.tasks.base import marker
from instruct_imagen.data.tasks.face import FaceImages
from instruct_imagen.data.tasks.face_hq import FaceImagesHQ
from instruct_imagen.data.tasks.my_subject import names_subject
from instruct_imagen.data.tasks.subject import Subject, mark_subject
from instruct_imagen.data.world.scenes import article

REFERENCES = 4
"""Other pictures that an example shows, at most."""

PERSON = "person"


def others_of(
    rng: np.random.Generator, images: Sequence[StoredImage], target: int
) -> list[StoredImage]:
    """One to four of the images, none of which is the target's equal, in random order."""
    left: dict[bytes, StoredImage] = {image.data: image for image in images}
    left.pop(images[target].data)
    pictures = list(left.values())
    count = 1 + int(rng.random() * min(REFERENCES, len(pictures)))
    return [pictures[place] for place in rng.permutation(len(pictures))[:count]]


def set_draft(
    rng: np.random.Generator,
    task: str,
    name: str,
    words: str,
    role: str,
    images: Sequence[StoredImage],
    target: int,
    tools: Tools,
) -> Draft:
    """The example of a set, in the wordings of a task.

    Args:
        rng: Source of randomness.
        task: Whose templates; they may ask for the caption with the marker in it (``scene``), for
            the marked name (``subject`` or ``person``), the marker (``ref1``) and the caption.
        name: What all pictures show, e.g. ``"dog"``.
        words: Caption of the target. Where it does not name the subject, no template asks for it
            with the marker in it; where it is empty, "a dog" is the caption, and only such
            templates are used: "draw the [ref#1] dog: a dog" would say nothing twice.
        role: Of the references.
        images: Of the set.
        target: Which of them is drawn.
        tools: See `Tools`.
    """
    caption = words or f"{article(name.lower())} {name}"
    values = {}
    if words:
        named = f"{marker(1)} {name}"
        values = {"subject": named, "person": named, "ref1": marker(1), "caption": words}
    if names_subject(caption, name):
        values["scene"] = mark_subject(caption, name, 1)
    references = tuple(
        Shown(marker=1, text=name, role=role, image=tools.square(image), lossy=True)
        for image in others_of(rng, images, target)
    )
    # A caption alone, without a marker, would not say what the references are for.
    marked = [one for one in templates_of(task) if any(f"{{{m}}}" in one for m in _MARKED)]
    return Draft(
        text=worded(task, rng, marked, **values),
        caption=caption,
        references=references,
        target=tools.square(images[target]),
    )


_MARKED = ("subject", "person", "ref1", "scene", "Scene")


class SubjectOfSet(Maker[SubjectSet]):
    """Pictures of a subject; the target's caption, or "a dog" where it has none."""

    record = SubjectSet
    lack = "a subject with a single image (or with equal ones) has no other to refer to"

    @property
    def task(self) -> str:
        """See `Maker`."""
        return Subject.name

    def targets(self, record: SubjectSet) -> tuple[int, ...]:
        """All images of a set of two or more."""
        return distinct(record.images) if in_sentence(record.name) else ()

    def draft(
        self, rng: np.random.Generator, record: SubjectSet, target: int, tools: Tools
    ) -> Draft:
        """One image, and others of the set."""
        name = in_sentence(record.name)
        words = in_sentence(record.captions[target])
        return set_draft(rng, self.task, name, words, "subject", record.images, target, tools)


class FaceOfPerson(Maker[Identity]):
    """Pictures of a person's face; the target's caption, or "a person" where it has none."""

    record = Identity
    lack = "a person with a single image (or with equal ones) has no other to refer to"

    @property
    def task(self) -> str:
        """``face``, the mixture's part of CelebA."""
        return FaceImages.name

    def targets(self, record: Identity) -> tuple[int, ...]:
        """All images of a person who has two or more."""
        return distinct(record.images)

    def draft(self, rng: np.random.Generator, record: Identity, target: int, tools: Tools) -> Draft:
        """One image, and others of the same person."""
        words = in_sentence(record.captions[target])
        return set_draft(rng, self.task, PERSON, words, "face", record.images, target, tools)


class FaceOfPersonHQ(FaceOfPerson):
    """The same as the mixture's other part, which the paper takes from CelebA-HQ."""

    @property
    def task(self) -> str:
        """``face_hq``."""
        return FaceImagesHQ.name


MAKERS = (SubjectOfSet, FaceOfPerson, FaceOfPersonHQ)
