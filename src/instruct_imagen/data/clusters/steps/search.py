"""The nearest rows of every row, inside its domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.neighbours import Plan, search
from instruct_imagen.data.clusters.steps.base import Step, write_array
from instruct_imagen.data.clusters.steps.plan import PlanSearch

ROWS = 50_000
"""Of a part."""


@dataclass(frozen=True, kw_only=True)
class Search(Step):
    """``<domain>.<range>.ids.npy`` (n, k) int64, rows of the domain, and ``.alike.npy`` float32.

    Ranges are of `Plan.order`, so that the rows of a part lie in few cells.

    Attributes:
        plan: How.
        rows: Of a part.
    """

    name: ClassVar[str] = "search"
    version: ClassVar[int] = 2

    plan: PlanSearch
    rows: int = ROWS

    def parts(self) -> Sequence[str]:
        """Ranges of rows of all domains."""
        return [name for domain in self.plan.parts() for name in self.parts_of(domain)]

    def parts_of(self, domain: str) -> list[str]:
        """Ranges of rows of a domain, in order."""
        total = self.plan.gather.record(domain).counts["rows"]
        return [f"{domain}.{number:05d}" for number in range(-(-total // self.rows))]

    def settings(self) -> Mapping[str, Any]:
        """How many rows a part has."""
        return {"rows": self.rows}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Vectors and plan."""
        domain, _ = split_part(part)
        return {
            **self.plan.gather.record(domain).hashes("vectors.npy"),
            **self.plan.record(domain).hashes(),
        }

    def tools(self) -> dict[str, Plan]:
        """Plans that were opened, by domain: at most one, as parts come domain by domain."""
        return {}

    def make(self, part: str, draft: Draft, tools: dict[str, Plan]) -> None:
        """Searches a range."""
        domain, number = split_part(part)
        if domain not in tools:
            tools.clear()
            tools[domain] = self.plan.plan_of(domain)
        wanted = tools[domain].order()[number * self.rows : (number + 1) * self.rows]
        found = search(tools[domain], wanted)
        write_array(found.ids, draft.path(f"{part}.ids.npy"))
        write_array(found.similarities, draft.path(f"{part}.alike.npy"))
        draft.count("rows", len(wanted))

    def of(self, domain: str) -> tuple[np.ndarray, np.ndarray]:
        """Neighbours of all rows of a domain: ids (N, k) and similarities (N, k)."""
        return self._all(domain, "ids"), self._all(domain, "alike")

    def ids_of(self, domain: str) -> np.ndarray:
        """The first of these alone."""
        return self._all(domain, "ids")

    def _all(self, domain: str, what: str) -> np.ndarray:
        order = self.plan.plan_of(domain).order()
        parts = [np.load(self.path(f"{part}.{what}.npy")) for part in self.parts_of(domain)]
        found = np.empty((len(order), *parts[0].shape[1:]), parts[0].dtype)
        start = 0
        while parts:
            part = parts.pop(0)  # one after the other is given back
            found[order[start : start + len(part)]] = part
            start += len(part)
        return found


def split_part(part: str) -> tuple[str, int]:
    """Domain and number of a part that is a range of one."""
    domain, _, number = part.rpartition(".")
    return domain, int(number)
