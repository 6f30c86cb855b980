"""Of images with the same bytes, the first one that has words worth keeping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.engine import first_of_each
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.steps.base import ID, WHOLE, Step, table_of, write_array
from instruct_imagen.data.clusters.steps.words import Words


@dataclass(frozen=True, kw_only=True)
class Repeats(Step):
    """``all.npy``: numbers of the rows that are kept, ascending int64.

    Attributes:
        words: The rows that are left.
    """

    name: ClassVar[str] = "repeats"

    words: Words

    def parts(self) -> Sequence[str]:
        """One, of the whole corpus."""
        return [WHOLE]

    def settings(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def inputs(self, part: str) -> Mapping[str, str]:
        """The tables of all parts."""
        return {
            table_of(record.part): record.hashes()[table_of(record.part)]
            for record in self.words.records()
        }

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Which rows are the first of theirs."""
        tables = [self.words.path(table_of(one)) for one in self.words.parts()]
        rows = sum(record.counts["kept"] for record in self.words.records())
        kept = first_of_each(tables, "sha256", ID).astype(np.int64, copy=False)
        write_array(kept, draft.path(f"{WHOLE}.npy"))
        draft.count("kept", len(kept))
        if rows > len(kept):
            draft.count("repeat of an earlier image", rows - len(kept))
