"""How the neighbours of each domain are searched: exactly, or through cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.neighbours import RECALL, Plan, plan_search
from instruct_imagen.data.clusters.steps.base import Step
from instruct_imagen.data.clusters.steps.gather import Gather

CANDIDATES = 10
"""Of each row, before near-duplicates are left out ([Hu24] A.2.2)."""


@dataclass(frozen=True, kw_only=True)
class PlanSearch(Step):
    """``<domain>.npz``: see `neighbours.Plan.arrays`.

    Attributes:
        gather: The vectors.
        candidates: Neighbours of each row that are looked for.
        recall: Least share of true neighbours that cells must find; else the search is exact.
        seed: Of cells and sample.
    """

    name: ClassVar[str] = "plan"

    gather: Gather
    candidates: int = CANDIDATES
    recall: float = RECALL
    seed: int = 0

    def parts(self) -> Sequence[str]:
        """Domains that have rows enough."""
        return self.gather.domains_enough()

    def settings(self) -> Mapping[str, Any]:
        """What the plan depends on."""
        return {"candidates": self.candidates, "recall": self.recall, "seed": self.seed}

    def inputs(self, part: str) -> Mapping[str, str]:
        """The vectors."""
        return self.gather.record(part).hashes("vectors.npy")

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Learns cells and measures their recall."""
        vectors = self.vectors(part)
        count = min(self.candidates, len(vectors) - 1)
        plan = plan_search(vectors, count, recall=self.recall, seed=self.seed)
        with draft.path(f"{part}.npz").open("wb") as file:
            np.savez(file, **plan.arrays())
        draft.count(plan.method, note=f"{part}: {plan.method}, {plan.reason}")
        draft.count("rows", len(vectors))

    def vectors(self, domain: str) -> np.ndarray:
        """Of a domain, mapped."""
        return np.load(self.gather.path(f"{domain}.vectors.npy"), mmap_mode="r")

    def plan_of(self, domain: str) -> Plan:
        """The plan that was made."""
        with np.load(self.path(f"{domain}.npz")) as stored:
            return Plan.of(self.vectors(domain), dict(stored))
