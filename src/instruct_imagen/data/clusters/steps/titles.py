"""Rows whose caption is the title of a collection: many share it, and their pictures differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq

from instruct_imagen.data.clusters.engine import sharing
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.shared_captions import likeness
from instruct_imagen.data.clusters.steps.base import (
    ID,
    PART_IDS,
    WHOLE,
    Step,
    table_of,
    write_array,
)
from instruct_imagen.data.clusters.steps.embed import Embed

REASON = "caption of a collection"

OF_ALL = 0.5
"""Share of all rows from which on a caption is what the corpus is of."""


@dataclass(frozen=True, kw_only=True)
class Titles(Step):
    """``all.npy``: numbers of the rows that go no further, int64; ``all.jsonl``: captions.

    Numbers ascend. A line for each caption that more images share than `most`, in any case and
    with any spaces, the most shared first: ``caption`` as its first row has it, ``images``,
    ``alike`` (see `shared_captions`), and whether it is ``kept``.

    Attributes:
        embed: The vectors of images.
        most: Images that may share a caption, whatever they show.
        alike: From where on the pictures of more are of one kind.
    """

    name: ClassVar[str] = "titles"

    embed: Embed
    most: int
    alike: float

    def parts(self) -> Sequence[str]:
        """One, of the whole corpus."""
        return [WHOLE]

    def settings(self) -> Mapping[str, Any]:
        """The rule."""
        return {"most": self.most, "alike": self.alike}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Captions and vectors of all parts."""
        found = {}
        for one in self.embed.parts():
            found |= self.embed.pixels.record(one).hashes(table_of(one))
            for ending in (".ids.npy", ".images.npy"):
                found |= self.embed.record(one).hashes(ending)
        return found

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Counts captions, and looks at the pictures of those that many share."""
        tables = [self.embed.pixels.path(table_of(one)) for one in self.embed.parts()]
        ids, groups = sharing(tables, "caption", ID, self.most)
        alike = likeness(ids, groups, self._vectors)
        # What many of all pictures have is what the corpus is of, and no title of a part of it.
        rows = sum(len(numbers) for numbers, _ in self._vectors())
        alike[np.bincount(groups, minlength=len(alike)) > OF_ALL * rows] = 1.0
        left_out = ids[(alike < self.alike)[groups]]
        write_array(left_out, draft.path(f"{WHOLE}.npy"))
        first = np.unique(groups, return_index=True)[1]
        captions = self._captions(ids[first])
        sizes = np.bincount(groups)
        with draft.path(f"{WHOLE}.jsonl").open("w", encoding="utf-8") as file:
            for group in np.argsort(-sizes, kind="stable").tolist():
                kept = bool(alike[group] >= self.alike)
                caption, images, value = captions[group], int(sizes[group]), float(alike[group])
                line = {"caption": caption, "images": images, "alike": value, "kept": kept}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                if not kept:
                    shown = f"{caption[:80]!r}, {images:,} images, alike {value:.2f}"
                    draft.count(REASON, 0, note=shown)
        for numbers, _ in self._vectors():
            # Those of a part lie side by side.
            ends = (numbers.min(), numbers.max() + 1) if len(numbers) else (0, 0)
            first, last = np.searchsorted(left_out, ends).tolist()
            out = last - first
            draft.count("kept", len(numbers) - out)
            if out:
                draft.count(REASON, out)

    def ids(self, part: str) -> np.ndarray:
        """Numbers of the rows of a part of the corpus that go no further: (L,) int64."""
        every = np.load(self.path(f"{WHOLE}.npy"), mmap_mode="r")
        bounds = [int(part) * PART_IDS, (int(part) + 1) * PART_IDS]
        start, stop = np.searchsorted(every, bounds)
        return np.array(every[start:stop])

    def share(self, part: str) -> dict[str, str]:
        """What tells `ids`: as an input, it is not changed by rows of other parts."""
        return {self.name: hashlib.sha256(self.ids(part).tobytes()).hexdigest()}

    def _vectors(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in self.embed.parts():
            yield (
                np.load(self.embed.path(f"{part}.ids.npy")),
                np.load(self.embed.path(f"{part}.images.npy"), mmap_mode="r"),
            )

    def _captions(self, ids: np.ndarray) -> list[str]:
        """Of some rows, in their order, which is that of no part."""
        found = [""] * len(ids)
        for part in np.unique(ids // PART_IDS).tolist():
            mine = np.flatnonzero(ids // PART_IDS == part)
            path = self.embed.pixels.path(table_of(f"{part:05d}"))
            table = pq.read_table(path, columns=[ID, "caption"])
            rows = np.searchsorted(table[ID].to_numpy(), ids[mine])
            for place, caption in zip(mine.tolist(), table["caption"].take(rows), strict=True):
                found[place] = caption.as_py()
        return found
