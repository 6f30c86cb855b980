"""Which rows are kept by what they say: size, aspect, caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from instruct_imagen.data.clusters.filtering import FilterSettings, by_words
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.steps.base import (
    Step,
    rows_and_ids,
    table_of,
    write_left_out,
    write_rows,
)
from instruct_imagen.data.clusters.steps.read import Read


@dataclass(frozen=True, kw_only=True)
class Words(Step):
    """``<part>.parquet``: rows that are kept; ``<part>.left.parquet``: keys of the others, and why.

    Attributes:
        read: What was read.
        filters: What is kept.
    """

    name: ClassVar[str] = "words"

    read: Read
    filters: FilterSettings

    def parts(self) -> Sequence[str]:
        """Those of the corpus."""
        return self.read.parts()

    def settings(self) -> Mapping[str, Any]:
        """Of what rows say; the others are of `Pixels`."""
        return {
            "min_side": self.filters.min_side,
            "max_aspect": self.filters.max_aspect,
            "captions": asdict(self.filters.captions),
        }

    def inputs(self, part: str) -> Mapping[str, str]:
        """The rows that were read."""
        return self.read.record(part).hashes()

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Decides row by row."""
        rows, ids = rows_and_ids(self.read.path(table_of(part)))
        found = by_words(rows, self.filters)
        write_rows(found.rows, ids, draft.path(table_of(part)))
        write_left_out(found.left_out, draft.path(f"{part}.left.parquet"))
        draft.count("kept", len(found.rows))
        draft.tally(found.tally)
