"""The rows of each domain side by side, as the search for neighbours needs them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq

from instruct_imagen.data.clusters.appended import appended
from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE
from instruct_imagen.data.clusters.embedding import TEXT_WEIGHT, joint
from instruct_imagen.data.clusters.hashes import THUMB, perceptual_hashes
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.steps.base import ID, Step, table_of
from instruct_imagen.data.clusters.steps.domains import Domains

METADATA = ("url", "page")
"""Columns whose equal values make two rows one."""


@dataclass(frozen=True, kw_only=True)
class Gather(Step):
    """Of a domain's N rows, in the corpus' order: ``<domain>.<what>.npy``.

    ``vectors`` (N, D) float16 of image and caption in one, ``ids`` (N,) int64, ``thumbs``
    (N, THUMB, THUMB, 3) uint8, ``hashes`` (N, 2) uint64 and ``metadata`` (N, 2) uint64, of
    `METADATA`, 0 where unknown.

    Attributes:
        domains: Which domain a row is of.
        text_weight: Of the caption's similarity in that of rows, from 0 to 1.
    """

    name: ClassVar[str] = "gather"

    domains: Domains
    text_weight: float = TEXT_WEIGHT

    def parts(self) -> Sequence[str]:
        """Domains that have rows; of those with too few for a cluster no files are made."""
        return [name for name, count in self._totals().items() if count]

    def domains_enough(self) -> Sequence[str]:
        """Domains that have rows enough for a cluster: the parts of the steps that come after."""
        return [name for name, count in self._totals().items() if count >= CLUSTER_SIZE]

    def _totals(self) -> Mapping[str, int]:
        """Rows of each domain."""
        records = self.domains.records()
        return {
            name: sum(one.counts.get(name, 0) for one in records) for name in self.domains.names
        }

    def settings(self) -> Mapping[str, Any]:
        """How image and caption are mixed."""
        return {"text_weight": self.text_weight}

    def inputs(self, part: str) -> Mapping[str, str]:
        """All of the parts that have such rows."""
        found = {}
        for record in self.domains.records():
            if record.counts.get(part):
                for step, own in (
                    ("domains", record),
                    ("embed", self.domains.embed.record(record.part)),
                    ("pixels", self.domains.embed.pixels.record(record.part)),
                ):
                    found |= {f"{step}/{name}": sha for name, sha in own.hashes().items()}
        return found

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """One part of the corpus at a time is in memory."""
        records = [one for one in self.domains.records() if one.counts.get(part)]
        total = sum(one.counts[part] for one in records)
        if total < CLUSTER_SIZE:
            draft.count(f"too few of {part} for a cluster", total)
            return
        shapes = {
            what: (draft.path(f"{part}.{what}.npy"), array.dtype, (total, *array.shape[1:]))
            for what, array in self._of(records[0].part, part).items()
        }
        with appended(shapes) as files:
            for record in records:
                for what, array in self._of(record.part, part).items():
                    files.add(what, array)
        draft.count("rows", total)

    def _of(self, part: str, domain: str) -> dict[str, np.ndarray]:
        """What a part of the corpus has of a domain."""
        embed, pixels = self.domains.embed, self.domains.embed.pixels
        mine = np.load(self.domains.path(f"{part}.npy")) == self.domains.names.index(domain)
        ids = np.load(embed.path(f"{part}.ids.npy"))[mine]
        images, texts = (
            np.load(embed.path(f"{part}.{kind}.npy"), mmap_mode="r")[mine]
            for kind in ("images", "texts")
        )
        table = pq.read_table(pixels.path(table_of(part)), columns=[ID, *METADATA])
        # Rows that could not be embedded are in the table and not in `ids`; both ascend.
        places = np.searchsorted(table[ID].to_numpy(), ids)
        thumbs = np.load(pixels.path(f"{part}.thumbs.npy"), mmap_mode="r")[places]
        chosen = table.take(places)
        return {
            "vectors": joint(images, texts, self.text_weight),
            "ids": ids,
            "thumbs": thumbs.reshape(-1, THUMB, THUMB, 3),
            "hashes": perceptual_hashes(thumbs).reshape(-1, 2),
            "metadata": np.stack(
                [_short(chosen[name].to_pylist()) for name in METADATA], axis=1
            ).reshape(-1, len(METADATA)),
        }


def _short(values: Sequence[str | None]) -> np.ndarray:
    """The first 64 bits of the SHA-256 of each text; 0 where there is none."""

    def each() -> Iterator[int]:
        for value in values:
            digest = hashlib.sha256((value or "").encode()).digest()
            yield int.from_bytes(digest[:8], "little") if value else 0

    return np.fromiter(each(), np.uint64, len(values))
