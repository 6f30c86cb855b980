"""What turns a record into an example, and what all of them share: squares, captions, wordings.

A maker says which pictures of a record can be a target, and drafts the example of one of them. It
holds no state, so that an example is a pure function of the generator, the record and the
annotators.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np
from PIL import Image

from instruct_imagen.data.corpora.records import Record, StoredImage
from instruct_imagen.data.shards.layout import (
    TARGET,
    StoredExample,
    StoredReference,
    encode_picture,
    key_of,
)
from instruct_imagen.data.tasks.base import (
    TemplateError,
    fill,
    load_templates,
    pick,
    placeholders,
)
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.images import to_square

if TYPE_CHECKING:
    from instruct_imagen.data.annotators.base import Annotator

R = TypeVar("R", bound=Record)

_SENTENCE = ("A", "An", "The", "Some", "One")
_ROUND = str.maketrans("[]{}", "()()")


class CorpusTaskError(ValueError):
    """A task that cannot be made of a corpus; one line that names the cause and the cure."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A reference whose picture is not encoded yet.

    Attributes:
        marker: k of ``[ref#k]``, from 1.
        text: Short text.
        role: As in `data.example.ExampleReference`.
        image: RGB, or L for an annotation; a square of the example's size.
        lossy: May be stored as JPEG: what need not agree with the target pixel for pixel.
    """

    marker: int
    text: str
    role: str
    image: Image.Image
    lossy: bool = False


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An example whose pictures are not encoded yet; see `data.example.Example`."""

    text: str
    caption: str
    references: tuple[Shown, ...]
    target: Image.Image


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a maker may use besides its record.

    Attributes:
        size: Side of all pictures in pixels.
        annotators: By role: ``edge``, ``sketch``, ``depth``, ``mask``.
        others: Draws an image of the same group that has other bytes; only for makers with groups.
    """

    size: int
    annotators: Mapping[str, Annotator]
    others: Callable[[np.random.Generator, Record], StoredImage] | None = None

    def square(self, image: StoredImage) -> Image.Image:
        """The largest centred square of an image at the example's size."""
        return to_square(image.load(), self.size, "crop")

    def annotated(self, role: str, image: Image.Image) -> Image.Image:
        """An annotation of a square, mode L."""
        return self.annotators[role]([image])[0]


class Maker(ABC, Generic[R]):
    """Makes the examples of one task from one kind of record.

    Attributes:
        record: What it is made of.
        needs: Roles of annotators that it cannot do without -> the kind that is taken where the
            user names none; empty where one must be named.
        may: Roles of annotators that it uses where the user names them.
        lack: Why a record may give no example, for messages.
    """

    record: ClassVar[type[Record]]
    needs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    may: ClassVar[tuple[str, ...]] = ()
    lack: ClassVar[str]

    @property
    @abstractmethod
    def task(self) -> str:
        """Name of the task."""

    @abstractmethod
    def targets(self, record: R) -> tuple[int, ...]:
        """Numbers of the record's pictures that can be a target; others give no example."""

    def group(self, record: R) -> tuple[str, StoredImage] | None:
        """The group that the record is in and its picture there; None where no task needs it."""
        return None

    @abstractmethod
    def draft(self, rng: np.random.Generator, record: R, target: int, tools: Tools) -> Draft:
        """The example of a record with a picture of `targets` as its target."""


def stored(task: str, index: int, draft: Draft, size: int) -> StoredExample:
    """The example as it lies in shards."""
    key = key_of(index)
    references = tuple(
        StoredReference(
            marker=one.marker,
            text=one.text,
            role=one.role,
            image=StoredImage(data=_encoded(one.image, one.lossy), name=f"{key}.ref{place}"),
        )
        for place, one in enumerate(draft.references, start=1)
    )
    return StoredExample(
        index=index,
        task=task,
        text=draft.text,
        caption=draft.caption,
        references=references,
        target=StoredImage(data=_encoded(draft.target, False), name=f"{key}.{TARGET}"),
        size=size,
    )


def _encoded(image: Image.Image, lossy: bool) -> bytes:
    pixels = np.asarray(image)
    if image.mode == "L":
        return encode_picture(pixels[None], grey=True, lossy=lossy)
    return encode_picture(pixels.transpose(2, 0, 1), lossy=lossy)


def in_sentence(words: str) -> str:
    """A caption as templates take it: one line that goes on in the middle of a sentence.

    Its full stop goes, as templates bring one, and so does the capital of an article. Square and
    curly brackets become round: a caption must bring neither markers nor placeholders.
    """
    line = " ".join(words.split()).translate(_ROUND).rstrip(". ")
    first, space, rest = line.partition(" ")
    return first.lower() + space + rest if first in _SENTENCE else line


def as_request(words: str) -> str:
    """An edit instruction as templates take it: ``"Make it red!"`` -> ``"make it red"``.

    As `in_sentence`, and the first word of any kind loses its capital, unless it is "I" or all
    capitals ("TV"); question and exclamation marks at the end go as full stops do.
    """
    line = in_sentence(words).rstrip(".?! ")
    first, space, rest = line.partition(" ")
    if re.fullmatch(r"I|I['’].*", first) or (len(first) > 1 and first.isupper()):
        return line
    return first[:1].lower() + first[1:] + space + rest


def templates_of(task: str) -> tuple[str, ...]:
    """The templates of a task of the world.

    Raises:
        TemplateError: There is no such task, or its templates have faults.
    """
    found = all_tasks().get(task)
    return load_templates(task, *(found.forms if found is not None else ()))


def worded(
    task: str, rng: np.random.Generator, templates: Sequence[str] | None = None, **values: str
) -> str:
    """The text of an example, in one of the task's templates that need nothing else.

    Args:
        task: Whose templates.
        rng: Picks one.
        templates: Some of them; all by default.
        **values: What placeholders stand for.

    Raises:
        TemplateError: Each template has a placeholder that has no value.
    """
    every = templates_of(task) if templates is None else templates
    fitting = [template for template in every if placeholders(template) <= values.keys()]
    if not fitting:
        raise TemplateError(
            f"templates/{task}.txt: none has only {', '.join(sorted(values))}, which is what "
            "records of a corpus give; write some that do"
        )
    return fill(pick(rng, fitting), **values)


def distinct(images: Sequence[StoredImage]) -> tuple[int, ...]:
    """Numbers of the images beside which there is one of other bytes."""
    hashes = [image.sha256 for image in images]
    return tuple(range(len(images))) if len(set(hashes)) > 1 else ()
