"""Which rows are pictures of a hold-out: they are named, and go no further."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq

from instruct_imagen.data.clusters.hashes import perceptual_hashes
from instruct_imagen.data.clusters.leakage import NEAREST, Pictures, leaks_of
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.near_duplicates import Thresholds
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.steps.base import ID, Step, table_of
from instruct_imagen.data.clusters.steps.embed import Embed
from instruct_imagen.data.clusters.steps.holdout import HoldOut


@dataclass(frozen=True, kw_only=True)
class Leaks(Step):
    """``<part>.jsonl``: a line for each row that is taken out, with what it is and why.

    Of each: ``key`` and ``id`` of the row, ``holdout`` and ``holdout_key`` of the picture that it
    is most alike, ``why``, and what was measured: ``similarity`` of the images' embeddings,
    ``correlation`` and ``difference`` (null: nothing in common).

    Attributes:
        embed: The rows, and their vectors.
        held: The pictures of hold-outs.
        thresholds: From where on a picture is one of them.
    """

    name: ClassVar[str] = "leaks"
    version: ClassVar[int] = 2

    embed: Embed
    held: HoldOut
    thresholds: Thresholds

    def parts(self) -> Sequence[str]:
        """Those of the corpus."""
        return self.embed.parts()

    def settings(self) -> Mapping[str, Any]:
        """Thresholds, and how many pairs are looked at."""
        return {"thresholds": asdict(self.thresholds), "nearest": NEAREST}

    def inputs(self, part: str) -> Mapping[str, str]:
        """What is compared."""
        found = {}
        for step, record in (
            ("embed", self.embed.record(part)),
            ("pixels", self.embed.pixels.record(part)),
            *(("holdout", record) for record in self.held.records()),
        ):
            found |= {
                f"{step}/{name}": sha
                for name, sha in record.hashes().items()
                if not name.endswith((".texts.npy", ".left.parquet"))
            }
        return found

    def tools(self) -> tuple[Pictures, list[tuple[str, str]]]:
        """The pictures of all hold-outs, and their names.

        Raises:
            ClusterError: None of them can be read.
        """
        pictures = self.held.pictures()
        if not len(pictures.sha256):
            lines = [line for one in self.held.records() for line in one.notes.get("left out", ())]
            first = f": {lines[0]}" if lines else ""
            raise ClusterError(f"no picture of the hold-out can be read, so none is found{first}")
        return pictures, self.held.names()

    def make(self, part: str, draft: Draft, tools: Any) -> None:
        """Compares a part of the corpus with all of them."""
        held, names = tools
        keys, ids, corpus = self._part(part)
        found = leaks_of(corpus, held, self.thresholds)
        with draft.path(f"{part}.jsonl").open("w", encoding="utf-8") as file:
            for leak in found:
                holdout, held_key = names[leak.held]
                line = {
                    "key": keys[leak.row], "id": int(ids[leak.row]), "holdout": holdout,
                    "holdout_key": held_key, "why": leak.why,
                    "similarity": _plain(leak.similarity), "correlation": _plain(leak.correlation),
                    "difference": _plain(leak.difference),
                }  # fmt: skip
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                draft.count(
                    f"in a hold-out: {leak.why}", note=f"{keys[leak.row]}: {holdout}, {held_key}"
                )
        draft.count("of no hold-out", len(ids) - len(found))

    def ids(self, part: str) -> np.ndarray:
        """Numbers of the rows of a part that are taken out: (L,) int64."""
        return np.array([line["id"] for line in read_leaks(self.path(f"{part}.jsonl"))], np.int64)

    def _part(self, part: str) -> tuple[list[str], np.ndarray, Pictures]:
        """Keys, numbers and pictures of a part's embedded rows."""
        pixels = self.embed.pixels
        ids = np.load(self.embed.path(f"{part}.ids.npy"))
        table = pq.read_table(pixels.path(table_of(part)), columns=[ID, "key", "sha256"])
        # Rows that could not be embedded are in the table and not in `ids`; both ascend.
        places = np.searchsorted(table[ID].to_numpy(), ids)
        chosen = table.take(places)
        thumbs = np.load(pixels.path(f"{part}.thumbs.npy"), mmap_mode="r")[places]
        pictures = Pictures(
            sha256=chosen["sha256"].to_pylist(),
            thumbs=thumbs,
            hashes=perceptual_hashes(thumbs).reshape(-1, 2),
            vectors=np.load(self.embed.path(f"{part}.images.npy"), mmap_mode="r"),
        )
        return chosen["key"].to_pylist(), ids, pictures


def read_leaks(path: Path) -> list[dict[str, Any]]:
    """The lines of one part; see `Leaks`."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _plain(value: float) -> float | None:
    """For JSON, which knows nothing infinite."""
    return round(value, 6) if math.isfinite(value) else None
