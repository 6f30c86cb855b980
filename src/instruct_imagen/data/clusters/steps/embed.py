"""Vectors of images and captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.embedding import embed_part
from instruct_imagen.data.clusters.encoders import ImageEncoder, WordEncoder
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.reading import loader
from instruct_imagen.data.clusters.steps.base import (
    Step,
    gpus_of,
    rows_and_ids,
    table_of,
    write_array,
)
from instruct_imagen.data.clusters.steps.pixels import Pixels
from instruct_imagen.data.clusters.vector_store import VectorStore


@dataclass(frozen=True, kw_only=True)
class Embed(Step):
    """``<part>.images.npy`` and ``.texts.npy``: (N, D) float16; ``.ids.npy``: (N,) int64 numbers.

    Attributes:
        pixels: The rows that are left.
        images: Embeds images.
        words: Embeds captions.
        store: Folder where vectors are kept between builds; None for none.
    """

    name: ClassVar[str] = "embed"

    pixels: Pixels
    images: ImageEncoder
    words: WordEncoder
    store: Path | None = None

    @property
    def gpus(self) -> int:
        """One if a network runs on it."""
        return gpus_of(self.images, self.words)

    def parts(self) -> Sequence[str]:
        """Those of the corpus."""
        return self.pixels.parts()

    def settings(self) -> Mapping[str, Any]:
        """What embeds."""
        return {"images": self.images.fingerprint, "words": self.words.fingerprint}

    def inputs(self, part: str) -> Mapping[str, str]:
        """The rows of the part."""
        return {table_of(part): self.pixels.record(part).hashes()[table_of(part)]}

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Embeds what the store has not."""
        rows, ids = rows_and_ids(self.pixels.path(table_of(part)))
        load = loader(self.pixels.repeats.words.read.corpus)
        store = None if self.store is None else VectorStore(self.store)
        found = embed_part(rows, load, self.images, self.words, store)
        assert found.texts is not None  # words are given
        write_array(found.images, draft.path(f"{part}.images.npy"))
        write_array(found.texts, draft.path(f"{part}.texts.npy"))
        numbers = np.array([ids[row.key] for row in found.rows], np.int64)
        write_array(numbers, draft.path(f"{part}.ids.npy"))
        draft.count("embedded", len(found.rows))
        draft.tally(found.tally)
