"""What shards are a function of, and the examples that follow from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from instruct_imagen.data.corpora.records import StoredImage
from instruct_imagen.data.example import Example, Photograph, Picture
from instruct_imagen.data.mixture import Mixture, left_out
from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.shards.layout import (
    TARGET,
    ShardError,
    StoredExample,
    StoredReference,
    encode_picture,
    examples_hash,
    key_of,
)
from instruct_imagen.data.tasks.base import Task
from instruct_imagen.data.tasks.registry import is_heldout
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.vocabulary import Vocabulary

_BATCH = 64  # examples that are rendered at once
_PROBE = 64  # examples that tell whether code, artwork and encoder are still the same


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """What the examples are a function of.

    Attributes:
        recipe: Its name, or what else tells people where the rest comes from.
        tasks: What makes each task, by name.
        ratios: Weight of each task; see `data.mixture`.
        vocabulary: What may be drawn.
        atlas: Has all its sprites.
        photographs: The user's own at `size`, where a task shows them.
        size: Side of the pictures in pixels.
        seed: Of the stream of examples.
        targets: See `Mixture`.
        examples: How many, at least 1.
        shard: Examples a shard, at least 1; the last one may have fewer.
    """

    recipe: str
    tasks: Mapping[str, Callable[[], Task]]
    ratios: Mapping[str, float]
    vocabulary: Vocabulary
    atlas: Atlas
    photographs: Photographs | None = None
    size: int
    seed: int
    targets: int = 1
    examples: int
    shard: int

    def __post_init__(self) -> None:
        for name in ("size", "targets", "examples", "shard"):
            if getattr(self, name) < 1:
                raise ShardError(f"{name}={getattr(self, name)} must be 1 or more")

    @property
    def shards(self) -> int:
        """See `building.Job`."""
        return -(-self.examples // self.shard)

    def mixture(self) -> Mixture:
        """The stream of examples."""
        return Mixture(self.tasks, self.ratios, self.vocabulary, self.seed, self.targets)

    def range_of(self, number: int) -> range:
        """See `building.Job`."""
        return range(number * self.shard, min((number + 1) * self.shard, self.examples))

    def opened(self) -> Callable[[range], Iterator[StoredExample]]:
        """See `building.Job`."""
        return partial(examples_of, self, self.mixture())

    def settings(self) -> dict[str, Any]:
        """See `building.Job`.

        `first_examples` is the hash of the first 64 examples as files: it differs when the code,
        the artwork or the image encoder would make others.
        """
        mixture = self.mixture()
        first = examples_of(self, mixture, range(min(_PROBE, self.examples)))
        faces = (face.pair for face in self.vocabulary.faces)
        variety = dataclasses.asdict(self.vocabulary.variety)
        pairs = json.dumps([*self.vocabulary.pairs, *faces, variety]).encode()
        photographs = self.photographs
        return {
            "recipe": self.recipe,
            "ratios": mixture.ratios,
            "size": self.size,
            "seed": self.seed,
            "targets": self.targets,
            "examples": self.examples,
            "shard": self.shard,
            "vocabulary": hashlib.sha256(pairs).hexdigest(),
            "sprites": hashlib.sha256(np.ascontiguousarray(self.atlas.sprites)).hexdigest(),
            "photographs": photographs.sha256 if photographs is not None else "",
            "first_examples": examples_hash(first),
        }

    def sources(self) -> dict[str, Mapping[str, str]]:
        """See `building.Job`."""
        found: dict[str, Mapping[str, str]] = dict(self.atlas.sources)
        if self.photographs is not None:
            own = {"sha256": self.photographs.sha256, "licence": "the user's own"}
            found["photographs"] = own
        return found

    def remarks(self) -> list[str]:
        """See `building.Job`: which tasks are left out, and which are held out of training."""
        held = [name for name in self.ratios if is_heldout(self.tasks.get(name))]
        return [
            *left_out(self.tasks, self.ratios, self.vocabulary),
            *(f"{name} is held out: these examples are to evaluate models by" for name in held),
        ]


def stored_examples(
    examples: Sequence[Example],
    first: int,
    atlas: Atlas,
    size: int,
    photographs: Photographs | None = None,
) -> list[StoredExample]:
    """Renders and encodes examples, the first of which has the index `first`."""
    pictures = [
        picture
        for example in examples
        for picture in (*(one.picture for one in example.references), example.target)
    ]
    pixels = render_pictures(pictures, atlas, size, photographs=photographs).numpy()
    images = iter(zip(pictures, pixels, strict=True))

    def encoded(name: str, lossy: bool = False) -> StoredImage:
        picture, own = next(images)
        grey = isinstance(picture, Picture) and picture.kind != "image"
        return StoredImage(data=encode_picture(own, grey=grey, lossy=lossy), name=name)

    found = []
    for index, example in enumerate(examples, start=first):
        key = key_of(index)
        references = tuple(
            StoredReference(
                marker=one.marker,
                text=one.text,
                role=one.role,
                image=encoded(f"{key}.ref{place}", isinstance(one.picture, Photograph)),
            )
            for place, one in enumerate(example.references, start=1)
        )
        found.append(
            StoredExample(
                index=index,
                task=example.task,
                text=example.text,
                caption=example.caption,
                references=references,
                target=encoded(f"{key}.{TARGET}"),
                size=size,
            )
        )
    return found


def examples_of(job: ShardJob, mixture: Mixture, indices: range) -> Iterator[StoredExample]:
    """The examples at some indices, a batch at a time."""
    for first in indices[::_BATCH]:
        drawn = mixture.examples(first, min(first + _BATCH, indices.stop))
        yield from stored_examples(drawn, first, job.atlas, job.size, job.photographs)
