"""How the neighbours of each domain are searched: exactly, or through cells."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.cells import Cells
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.neighbours import RECALL, Plan, plan_search
from instruct_imagen.data.clusters.steps.base import Step
from instruct_imagen.data.clusters.steps.gather import Gather
from instruct_imagen.data.clusters.vectors import UnitVectors

CANDIDATES = 10
"""Of each row, before near-duplicates are left out ([Hu24] A.2.2)."""


@dataclass(frozen=True, kw_only=True)
class PlanSearch(Step):
    """``<domain>.npz``: cells and scales of a plan, its numbers as JSON; see `neighbours.Plan`.

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
        """Domains."""
        return self.gather.parts()

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
        about = {
            "method": plan.method, "reason": plan.reason, "recall": plan.recall,
            "probes": plan.probes, "count": plan.count,
        }  # fmt: skip
        arrays = {"scales": plan.vectors.scales}
        if plan.cells is not None:
            arrays |= {f"cells.{one.name}": getattr(plan.cells, one.name) for one in fields(Cells)}
        with draft.path(f"{part}.npz").open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
        draft.count(plan.method, note=f"{part}: {plan.method}, {plan.reason}")
        draft.count("rows", len(vectors))

    def vectors(self, domain: str) -> np.ndarray:
        """Of a domain, mapped."""
        return np.load(self.gather.path(f"{domain}.vectors.npy"), mmap_mode="r")

    def plan_of(self, domain: str) -> Plan:
        """The plan that was made."""
        with np.load(self.path(f"{domain}.npz")) as stored:
            about = json.loads(str(stored["about"]))
            cells = {
                one.name: stored[f"cells.{one.name}"]
                for one in fields(Cells)
                if f"cells.{one.name}" in stored
            }
            vectors = UnitVectors(stored=self.vectors(domain), scales=stored["scales"])
        return Plan(vectors=vectors, cells=Cells(**cells) if cells else None, **about)
