"""Step 1: the rows of every part of the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.reading import WebCorpus, read_part
from instruct_imagen.data.clusters.rows import to_table
from instruct_imagen.data.clusters.steps.base import ID, PART_IDS, Step, table_of, write_table

_BESIDE = {"captioned_folder": ".txt", "captioned_tars": ".parquet"}


@dataclass(frozen=True, kw_only=True)
class Read(Step):
    """``<part>.parquet``: the rows of a part, with their numbers.

    Attributes:
        corpus: What is read.
    """

    name: ClassVar[str] = "read"

    corpus: WebCorpus

    def parts(self) -> Sequence[str]:
        """Those of the corpus."""
        return [f"{number:05d}" for number in range(self.corpus.parts)]

    def settings(self) -> Mapping[str, Any]:
        """How the corpus is laid out; not where it lies, nor how much else there is of it."""
        return {"kind": self.corpus.kind, "options": dict(self.corpus.options)}

    def inputs(self, part: str) -> Mapping[str, str]:
        """Names, lengths and times of the files; reading them all to hash them takes too long.

        Of tables also which rows; of images also the texts beside them, and of tars the parquet.
        """
        digest = hashlib.sha256()
        for name, rows in self.corpus.pieces(int(part)):
            beside = Path(name).with_suffix(_BESIDE.get(self.corpus.kind, "")).as_posix()
            for one in dict.fromkeys((name, beside)):
                try:
                    found = (self.corpus.folder / one).stat()
                    known = f"{found.st_size} {found.st_mtime_ns}"
                except OSError:
                    known = "gone"
                digest.update(f"{one}\0{rows.start}-{rows.stop}\0{known}\n".encode())
        return {"files": digest.hexdigest()}

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Rows and what could not be read."""
        found = read_part(self.corpus, int(part))
        ids = int(part) * PART_IDS + np.arange(len(found.rows), dtype=np.int64)
        write_table(
            to_table(found.rows).append_column(ID, pa.array(ids)), draft.path(table_of(part))
        )
        draft.count("read", len(found.rows))
        draft.tally(found.tally)
