"""The rows of all clusters, as what writes shards reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.rows import SCHEMA
from instruct_imagen.data.clusters.steps.base import ID, PART_IDS, WHOLE, Step, table_of
from instruct_imagen.data.clusters.steps.cut import CutClusters
from instruct_imagen.data.clusters.writing import write_members

MEMBERS = "all.arrow"


@dataclass(frozen=True, kw_only=True)
class Members(Step):
    """``all.arrow``: rows of clusters, five of a cluster after each other, the tightest first.

    Besides the columns of rows: ``id``, ``domain``, and ``similarity`` to the first of the five.

    Attributes:
        cut: The clusters.
    """

    name: ClassVar[str] = "members"

    cut: CutClusters

    def parts(self) -> Sequence[str]:
        """One."""
        return [WHOLE]

    def settings(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Clusters, and the rows that they are of."""
        found, cut = {}, self.cut.records()
        for record in (*cut, *self._pixels.records()):
            found |= (
                record.hashes(".npy") if record in cut else record.hashes(table_of(record.part))
            )
        return found

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Finds the rows part by part of the corpus."""
        domains = list(self.cut.parts())
        ids, alike = (
            np.concatenate(
                [np.load(self.cut.path(f"{domain}{ending}")) for domain in domains]
                or [np.empty((0, CLUSTER_SIZE), dtype)]
            )
            for ending, dtype in ((".npy", np.int64), (".alike.npy", np.float32))
        )
        sizes = [self.cut.record(domain).counts["clusters"] for domain in domains]
        names = np.repeat(np.array(domains, object), sizes)
        # By the loosest member, and equals by their first number: the same whatever came first.
        order = np.lexsort((ids[:, 0], -alike[:, -1])) if len(ids) else np.empty(0, np.int64)
        wanted = ids[order].ravel()
        table = self._rows(wanted)
        table = table.append_column(ID, pa.array(wanted))
        table = table.append_column(
            "domain", pa.array(np.repeat(names[order], CLUSTER_SIZE).tolist(), pa.string())
        )
        table = table.append_column("similarity", pa.array(alike[order].ravel()))
        write_members(draft.path(MEMBERS), table)
        draft.count("clusters", len(order))

    @property
    def _pixels(self) -> Any:
        return self.cut.duplicates.candidates.search.plan.gather.domains.embed.pixels

    def _rows(self, wanted: np.ndarray) -> pa.Table:
        """Rows by their numbers, in this order; from each part of the corpus in turn."""
        tables, places = [], []
        owners = wanted // PART_IDS
        by_owner = np.argsort(owners, kind="stable")  # once: parts times rows would be too many
        sorted_owners = owners[by_owner]
        for name in self._pixels.parts():
            start, stop = np.searchsorted(sorted_owners, [int(name), int(name) + 1])
            mine = by_owner[start:stop]
            if not len(mine):
                continue
            table = pq.read_table(self._pixels.path(table_of(name)))
            rows = np.searchsorted(table[ID].to_numpy(), wanted[mine])
            tables.append(table.select(SCHEMA.names).take(rows))
            places.append(mine)
        if not tables:
            return SCHEMA.empty_table()
        back = np.argsort(np.concatenate(places), kind="stable")
        return pa.concat_tables(tables).take(back).cast(SCHEMA)
