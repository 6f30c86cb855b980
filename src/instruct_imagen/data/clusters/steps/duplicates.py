"""Which rows are near-duplicates: candidates are proposed, then compared part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.near_duplicates import (
    Measured,
    Thresholds,
    candidate_pairs,
    measure,
    metadata_pairs,
    near_duplicates,
)
from instruct_imagen.data.clusters.steps.base import Step, write_array
from instruct_imagen.data.clusters.steps.gather import METADATA
from instruct_imagen.data.clusters.steps.search import Search, split_part

PAIRS = 200_000
"""Of a part."""

_AT_ONCE = 4096  # pairs whose vectors and small copies are in memory


@dataclass(frozen=True, kw_only=True)
class Candidates(Step):
    """``<domain>.npy``: (M, 2) int64 rows that may be near-duplicates.

    Attributes:
        search: The neighbours.
        thresholds: Their radius says how far hashes may differ.
    """

    name: ClassVar[str] = "candidates"

    search: Search
    thresholds: Thresholds

    def parts(self) -> Sequence[str]:
        """Domains."""
        return self.search.plan.parts()

    def settings(self) -> Mapping[str, Any]:
        """The radius."""
        return {"hash_radius": self.thresholds.hash_radius}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Neighbours and hashes."""
        found = dict(self.search.plan.gather.record(part).hashes("hashes.npy"))
        for one in self.search.parts_of(part):
            found |= self.search.record(one).hashes("ids.npy")
        return found

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Proposes pairs."""
        ids = self.search.ids_of(part)
        hashes = np.load(self.search.plan.gather.path(f"{part}.hashes.npy"))
        pairs = candidate_pairs(ids, hashes, self.thresholds.hash_radius)
        write_array(pairs, draft.path(f"{part}.npy"))
        draft.count("pairs", len(pairs))


@dataclass(frozen=True, kw_only=True)
class Duplicates(Step):
    """``<domain>.<range>.npy``: (m, 2) int64 near-duplicates.

    Attributes:
        candidates: What is compared.
        thresholds: From where on a pair is one.
        pairs: Of a part.
    """

    name: ClassVar[str] = "duplicates"
    version: ClassVar[int] = 2

    candidates: Candidates
    thresholds: Thresholds
    pairs: int = PAIRS

    def parts(self) -> Sequence[str]:
        """Ranges of pairs of all domains."""
        return [name for domain in self.candidates.parts() for name in self.parts_of(domain)]

    def parts_of(self, domain: str) -> list[str]:
        """Ranges of a domain's pairs; one at least, which has those of equal metadata, too."""
        total = self.candidates.record(domain).counts["pairs"]
        return [f"{domain}.{number:05d}" for number in range(max(1, -(-total // self.pairs)))]

    def settings(self) -> Mapping[str, Any]:
        """Thresholds, and how many pairs a part has."""
        return {"thresholds": asdict(self.thresholds), "pairs": self.pairs}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Pairs and small copies."""
        domain, _ = split_part(part)
        gathered = self.candidates.search.plan.gather.record(domain)
        return {
            **{
                f"pairs/{name}": sha
                for name, sha in self.candidates.record(domain).hashes().items()
            },
            **gathered.hashes("thumbs.npy"),
            **gathered.hashes("vectors.npy"),
            **gathered.hashes("metadata.npy"),
        }

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Compares a range of pairs."""
        domain, number = split_part(part)
        stored = np.load(self.candidates.path(f"{domain}.npy"), mmap_mode="r")
        pairs = np.array(stored[number * self.pairs : (number + 1) * self.pairs])
        measured = self.measured(domain, pairs)
        same = near_duplicates(measured, self.thresholds)
        found = [pairs[same]]
        draft.count("by sight", int(same.sum()))
        if number == 0:
            columns = np.load(self._file(domain, "metadata"))
            by_metadata = metadata_pairs(
                {name: columns[:, place] for place, name in enumerate(METADATA)}
            )
            found.append(by_metadata)
            draft.count("by metadata", len(by_metadata))
        draft.count("pairs", len(pairs))
        write_array(np.concatenate(found), draft.path(f"{part}.npy"))

    def measured(self, domain: str, pairs: np.ndarray) -> Measured:
        """What is measured of pairs (P, 2) of a domain's rows."""
        thumbs = np.load(self._file(domain, "thumbs"), mmap_mode="r")
        vectors = np.load(self._file(domain, "vectors"), mmap_mode="r")
        return measured_of(pairs, thumbs, vectors)

    def of(self, domain: str) -> np.ndarray:
        """All near-duplicates of a domain: (M, 2) int64."""
        return np.concatenate([np.load(self.path(f"{part}.npy")) for part in self.parts_of(domain)])

    def _file(self, domain: str, what: str) -> Any:
        return self.candidates.search.plan.gather.path(f"{domain}.{what}.npy")


def measured_of(pairs: np.ndarray, thumbs: np.ndarray, vectors: np.ndarray) -> Measured:
    """What is measured of pairs (P, 2) of rows; small copies and vectors may be mapped files."""
    found = [
        _measured(pairs[start : start + _AT_ONCE], thumbs, vectors)
        for start in range(0, max(1, len(pairs)), _AT_ONCE)
    ]
    return Measured(
        similarity=np.concatenate([one.similarity for one in found]),
        correlation=np.concatenate([one.correlation for one in found]),
        difference=np.concatenate([one.difference for one in found]),
    )


def _measured(pairs: np.ndarray, thumbs: np.ndarray, vectors: np.ndarray) -> Measured:
    rows, places = np.unique(pairs, return_inverse=True)
    local = places.reshape(pairs.shape)
    near = np.asarray(vectors[rows], np.float32)
    near /= np.maximum(np.linalg.norm(near, axis=1, keepdims=True), 1e-12)
    alike = np.einsum("pd,pd->p", near[local[:, 0]], near[local[:, 1]])
    return measure(local, np.asarray(thumbs[rows]), alike)
