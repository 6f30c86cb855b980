"""Clusters of exactly five of every domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.cutting import cut, inside_pairs
from instruct_imagen.data.clusters.hashes import unique_pairs
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.near_duplicates import near_duplicates
from instruct_imagen.data.clusters.steps.base import Step, write_array
from instruct_imagen.data.clusters.steps.duplicates import Duplicates

LEAST = 0.5
"""Similarity to its seed that every member must have."""


@dataclass(frozen=True, kw_only=True)
class CutClusters(Step):
    """``<domain>.npy``: (C, 5) int64 numbers in the corpus; ``.alike.npy`` (C, 5) float32.

    Attributes:
        duplicates: Rows that are the same.
        least: See `LEAST`.
    """

    name: ClassVar[str] = "cut"

    duplicates: Duplicates
    least: float = LEAST

    def parts(self) -> Sequence[str]:
        """Domains."""
        return self.duplicates.candidates.parts()

    def settings(self) -> Mapping[str, Any]:
        """The least similarity."""
        return {"least": self.least, "thresholds": self.duplicates.settings()["thresholds"]}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Neighbours and near-duplicates."""
        search = self.duplicates.candidates.search
        gathered = search.plan.gather.record(part)
        found = {
            f"gather/{name}": sha
            for what in ("ids", "thumbs", "vectors")
            for name, sha in gathered.hashes(f"{what}.npy").items()
        }
        for one in search.parts_of(part):
            found |= search.record(one).hashes()
        for one in self.duplicates.parts_of(part):
            own = self.duplicates.record(one).hashes()
            found |= {f"duplicates/{name}": sha for name, sha in own.items()}
        return found

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Cuts, and cuts again until no two of a cluster are near-duplicates."""
        search = self.duplicates.candidates.search
        numbers = np.load(search.plan.gather.path(f"{part}.ids.npy"))
        ids, alike = search.of(part)
        same, rounds = self.duplicates.of(part), 0
        while True:
            found = cut(ids, alike, same, keys=numbers, least=self.least)
            inside = inside_pairs(found.clusters)
            # Near-duplicates of each other that neither neighbours nor hashes had proposed.
            again = near_duplicates(
                self.duplicates.measured(part, inside), self.duplicates.thresholds
            )
            if not again.any():
                break
            same, rounds = unique_pairs([same, inside[again]]), rounds + 1
        write_array(numbers[found.clusters], draft.path(f"{part}.npy"))
        write_array(found.similarities, draft.path(f"{part}.alike.npy"))
        draft.count("clusters", len(found.clusters))
        for reason, count in found.counts().items():
            draft.count(reason, count)
        draft.count("cut again", rounds)
