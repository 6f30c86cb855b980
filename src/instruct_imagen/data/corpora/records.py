"""What corpora are read into: records whose images are still encoded.

From them the tasks of [Hu24] §3.2 can be built: text to image from `Captioned`, subjects from
`SubjectSet`, faces from `Identity`, sketches from `Sketched`, styled generation and style transfer
from `Styled`, and the masked editing of Table 2 from `Edited`. Edges, depth and salient masks are
computed from the images of `Captioned`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from PIL import Image

from instruct_imagen.images import check_image, load_image


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the bytes of an image lie, so that they can be read again alone; see `places`.

    Attributes:
        file: Relative to the folder of the corpus, with forward slashes.
        offset: Of the first byte, in a tar; 0 elsewhere.
        row: In a table, from 0; -1 elsewhere.
        column: In a table; empty elsewhere.
    """

    file: str
    offset: int = 0
    row: int = -1
    column: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """An image as it lies on disk; two are equal if their bytes are.

    Attributes:
        data: The encoded file, in a format that `images.load_image` reads.
        name: Where it came from, for messages.
        place: Where it lies; None where a corpus does not say.
    """

    data: bytes = field(repr=False)
    name: str = field(compare=False)
    place: Place | None = field(default=None, compare=False, repr=False)

    @property
    def sha256(self) -> str:
        """Of the encoded file, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    def check(self) -> tuple[int, int]:
        """(width, height) from the header; see `images.check_image`."""
        with self._file() as file:
            return check_image(file)

    def load(self, **options: Any) -> Image.Image:
        """Decodes it; options and errors as for `images.load_image`."""
        with self._file() as file:
            return load_image(file, **options)

    def _file(self) -> io.BytesIO:
        """To be closed after use: Pillow's images are in cycles, and would hold the bytes long."""
        file = io.BytesIO(self.data)
        file.name = self.name  # type: ignore[attr-defined]  # what the decoder's errors name
        return file


@dataclass(frozen=True, kw_only=True)
class Record:
    """What all records have.

    Attributes:
        key: The same on every reading of the same files, and no other record of the corpus has it.
        about: What else the corpus says, e.g. ``{"artist": "claude monet"}``.
    """

    key: str
    about: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def pictures(self) -> tuple[StoredImage, ...]:
        """All of its images, in the order of its fields."""
        found: list[StoredImage] = []
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, StoredImage):
                found.append(value)
            elif isinstance(value, tuple):
                found.extend(item for item in value if isinstance(item, StoredImage))
        return tuple(found)

    @property
    def words(self) -> str:
        """Its text in one line, to show to people."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Captioned(Record):
    """An image and what it shows."""

    image: StoredImage
    caption: str

    @property
    def words(self) -> str:
        """The caption."""
        return self.caption


@dataclass(frozen=True, kw_only=True)
class SubjectSet(Record):
    """Images of one subject.

    Attributes:
        name: What it is, e.g. ``"stuffed animal"``.
        images: At least one.
        captions: One an image; empty texts where the corpus has none.
        prompts: What the corpus asks to be drawn with this subject, e.g. ``"a dog in the snow"``.
    """

    name: str
    images: tuple[StoredImage, ...]
    captions: tuple[str, ...]
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_one_each(self.key, self.images, captions=self.captions)

    @property
    def words(self) -> str:
        """The subject, and the first prompt."""
        return " – ".join((self.name, *self.prompts[:1]))


@dataclass(frozen=True, kw_only=True)
class Identity(Record):
    """Images of one person's face: one becomes the target, others the context ([Hu24] §3.2).

    Attributes:
        images: At least one; a person with a single image gives no example of the task.
        captions: One an image.
        attributes: One set an image, the names that the corpus gives, e.g. ``("Smiling",)``.
    """

    images: tuple[StoredImage, ...]
    captions: tuple[str, ...]
    attributes: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        _check_one_each(self.key, self.images, captions=self.captions, attributes=self.attributes)

    @property
    def words(self) -> str:
        """The first caption."""
        return self.captions[0]


@dataclass(frozen=True, kw_only=True)
class Sketched(Record):
    """A photograph and a drawing of it, aligned; the caption is empty where there is none."""

    sketch: StoredImage
    photo: StoredImage
    caption: str

    @property
    def words(self) -> str:
        """The caption."""
        return self.caption


@dataclass(frozen=True, kw_only=True)
class Edited(Record):
    """An image before and after an edit.

    Attributes:
        source: Before.
        mask: Where it may change, as the corpus stores it; None if there is none.
        target: After.
        instruction: What is to be done, e.g. ``"let the dog wear a hat"``.
        caption: What `target` shows; empty where the corpus does not say.
    """

    source: StoredImage
    mask: StoredImage | None
    target: StoredImage
    instruction: str
    caption: str

    @property
    def words(self) -> str:
        """The instruction."""
        return self.instruction


@dataclass(frozen=True, kw_only=True)
class Styled(Record):
    """An image, the name of its style, and what it shows."""

    style: str
    image: StoredImage
    caption: str

    @property
    def words(self) -> str:
        """The style and the caption."""
        return f"{self.style}: {self.caption}"


def _check_one_each(key: str, images: tuple[StoredImage, ...], **lists: tuple[Any, ...]) -> None:
    if not images:
        raise ValueError(f"{key} has no image")
    for name, values in lists.items():
        if len(values) != len(images):
            raise ValueError(f"{key}: {len(images)} images, but {len(values)} {name}")
