"""Which images are kept by what is seen, and a small copy of each for the near-duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from instruct_imagen.data.clusters.filtering import FilterSettings, by_pixels
from instruct_imagen.data.clusters.hashes import THUMB, thumbnail
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.picture_quality import Quality
from instruct_imagen.data.clusters.reading import loader
from instruct_imagen.data.clusters.steps.base import (
    PART_IDS,
    WHOLE,
    Step,
    gpus_of,
    rows_and_ids,
    table_of,
    write_array,
    write_left_out,
    write_rows,
)
from instruct_imagen.data.clusters.steps.repeats import Repeats


@dataclass(frozen=True, kw_only=True)
class Pixels(Step):
    """``<part>.parquet``, ``<part>.left.parquet`` and small copies, ``<part>.thumbs.npy``.

    The latter are (N, THUMB, THUMB, 3) uint8.

    Attributes:
        repeats: The rows that are left.
        filters: What is kept.
        quality: Scores images.
    """

    name: ClassVar[str] = "pixels"
    version: ClassVar[int] = 2

    repeats: Repeats
    filters: FilterSettings
    quality: Quality

    @property
    def gpus(self) -> int:
        """One if a network runs on it."""
        return gpus_of(self.quality)

    def parts(self) -> Sequence[str]:
        """Those of the corpus."""
        return self.repeats.words.parts()

    def settings(self) -> Mapping[str, Any]:
        """Of what is seen."""
        return {
            "max_pixels": self.filters.max_pixels,
            "blank": self.filters.blank,
            "blank_near": self.filters.blank_near,
            "min_quality": self.filters.min_quality,
            "quality": self.quality.fingerprint,
        }

    def inputs(self, part: str) -> Mapping[str, str]:
        """The rows of the part, and which of all come for the first time.

        Only the part's own share of the latter: another part's new rows change nothing here.
        """
        rows = self.repeats.words.record(part).hashes()[table_of(part)]
        first = np.load(self.repeats.path(f"{WHOLE}.npy"), mmap_mode="r")
        bounds = [int(part) * PART_IDS, (int(part) + 1) * PART_IDS]
        start, stop = np.searchsorted(first, bounds)
        share = hashlib.sha256(np.array(first[start:stop]).tobytes()).hexdigest()
        return {table_of(part): rows, "repeats": share}

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Decodes and decides."""
        rows, ids = rows_and_ids(self.repeats.words.path(table_of(part)))
        first = np.load(self.repeats.path(f"{WHOLE}.npy"), mmap_mode="r")
        numbers = np.array([ids[row.key] for row in rows], np.int64)
        places = np.minimum(np.searchsorted(first, numbers), max(len(first) - 1, 0))
        is_first = first[places] == numbers if len(first) else np.zeros(len(rows), bool)
        rows = tuple(row for row, new in zip(rows, is_first, strict=True) if new)
        watched = _Watched(quality=self.quality)
        load = loader(self.repeats.words.read.corpus)
        found = by_pixels(rows, load, self.filters, watched)
        thumbs = [
            small
            for small, score in zip(watched.thumbs, watched.scores, strict=True)
            if score >= self.filters.min_quality
        ]
        empty = np.empty((0, THUMB, THUMB, 3), np.uint8)
        write_rows(found.rows, ids, draft.path(table_of(part)))
        write_left_out(found.left_out, draft.path(f"{part}.left.parquet"))
        write_array(np.stack(thumbs) if thumbs else empty, draft.path(f"{part}.thumbs.npy"))
        draft.count("kept", len(found.rows))
        draft.tally(found.tally)


@dataclass
class _Watched:
    """A quality measure that keeps small copies of what it was shown, so that all decode once."""

    quality: Quality
    thumbs: list[np.ndarray] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    @property
    def batch_size(self) -> int:
        return self.quality.batch_size

    @property
    def fingerprint(self) -> str:
        return self.quality.fingerprint

    def __call__(self, views: Sequence[Image.Image]) -> list[float]:
        scores = self.quality(views)
        self.thumbs += [thumbnail(view) for view in views]
        self.scores += scores
        return scores
