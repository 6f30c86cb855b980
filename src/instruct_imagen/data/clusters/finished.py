"""What a whole build has left, for reports: read from its manifests, without its settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from instruct_imagen.data.clusters.building import made_of
from instruct_imagen.data.clusters.ledger import MANIFEST, PartRecord, total
from instruct_imagen.data.clusters.near_duplicates import Measured, Thresholds
from instruct_imagen.data.clusters.reading import WebCorpus
from instruct_imagen.data.clusters.rows import SCHEMA, ClusterError, Row, rows_of
from instruct_imagen.data.clusters.steps.base import ID, PART_IDS, table_of
from instruct_imagen.data.clusters.steps.cut import CutClusters
from instruct_imagen.data.clusters.steps.duplicates import Candidates, Duplicates, measured_of
from instruct_imagen.data.clusters.steps.gather import Gather
from instruct_imagen.data.clusters.steps.leaks import Leaks, read_leaks
from instruct_imagen.data.clusters.steps.pixels import Pixels
from instruct_imagen.data.clusters.steps.plan import PlanSearch
from instruct_imagen.data.clusters.steps.search import Search


class Finished:
    """A build that is whole.

    Args:
        root: Its folder.

    Raises:
        ClusterError: It is none, or the last build has not come to its end.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        about = made_of(root)
        self.corpus, self.steps = corpus_of(root, about)
        self.state = state_of(root, self.steps)

    def records(self, step: str) -> list[PartRecord]:
        """What the parts of a step have left, by their names; none for a step that is not its."""
        if step not in self.steps:
            return []
        return [record for record, _ in _manifests(self.root / step)]

    def counts(self, step: str) -> dict[str, int]:
        """What the parts of a step counted, the largest first."""
        return total(self.records(step))

    @property
    def thresholds(self) -> Thresholds:
        """From where on a pair was taken for one of near-duplicates."""
        for _, settings in _manifests(self.root / Duplicates.name):
            return Thresholds(**settings["thresholds"])
        return Thresholds()

    @property
    def holdout_thresholds(self) -> Thresholds:
        """From where on a row was taken for a picture of a hold-out."""
        for _, settings in _manifests(self.root / Leaks.name):
            return Thresholds(**settings["thresholds"])
        return Thresholds()

    @property
    def domains(self) -> list[str]:
        """Those in which clusters were looked for."""
        return [record.part for record in self.records(PlanSearch.name)]

    def gathered(self, domain: str, what: str) -> np.ndarray:
        """Of a domain's rows, mapped; see `Gather`."""
        path = self.root / Gather.name / f"{domain}.{what}.npy"
        return np.load(path, mmap_mode="r")

    def ranges(self, step: str, domain: str, ending: str = ".npy") -> list[np.ndarray]:
        """What the parts of a step that are ranges of a domain have left, in order, mapped."""
        names = sorted(
            record.part for record in self.records(step) if record.part.rpartition(".")[0] == domain
        )
        folder = self.root / step
        return [np.load(folder / f"{name}{ending}", mmap_mode="r") for name in names]

    def neighbours(self, domain: str) -> np.ndarray:
        """Similarities of a domain's rows to their neighbours, in any order: (N, k) float32."""
        return np.concatenate(self.ranges(Search.name, domain, ".alike.npy"))

    def candidates(self, domain: str) -> np.ndarray:
        """Pairs of a domain's rows that were compared: (M, 2) int64, mapped."""
        return np.load(self.root / Candidates.name / f"{domain}.npy", mmap_mode="r")

    def duplicates(self, domain: str) -> np.ndarray:
        """Near-duplicates of a domain: (M, 2) int64."""
        return np.concatenate(self.ranges(Duplicates.name, domain))

    def clusters(self, domain: str) -> tuple[np.ndarray, np.ndarray]:
        """Numbers in the corpus (C, 5) and similarities to the first (C, 5) of a domain."""
        folder = self.root / CutClusters.name
        return np.load(folder / f"{domain}.npy"), np.load(folder / f"{domain}.alike.npy")

    def leaks(self) -> list[dict[str, Any]]:
        """What lies in a hold-out; see `Leaks`."""
        folder = self.root / Leaks.name
        return [
            line
            for record in self.records(Leaks.name)
            for line in read_leaks(folder / f"{record.part}.jsonl")
        ]

    def measured(self, domain: str, pairs: np.ndarray) -> Measured:
        """What is measured of pairs (P, 2) of a domain's rows."""
        return measured_of(pairs, self.gathered(domain, "thumbs"), self.gathered(domain, "vectors"))

    def places(self, domain: str, ids: np.ndarray) -> np.ndarray:
        """Which of a domain's rows have these numbers in the corpus."""
        return np.searchsorted(self.gathered(domain, "ids"), ids)

    def rows(self, ids: Collection[int]) -> dict[int, Row]:
        """Rows by their numbers in the corpus."""
        wanted = np.unique(np.fromiter(ids, np.int64, len(ids)))
        found: dict[int, Row] = {}
        for part in np.unique(wanted // PART_IDS).tolist():
            mine = wanted[wanted // PART_IDS == part]
            table = pq.read_table(self.root / Pixels.name / table_of(f"{part:05d}"))
            places = np.searchsorted(table[ID].to_numpy(), mine)
            rows = rows_of(table.select(SCHEMA.names).take(places))
            found |= dict(zip(mine.tolist(), rows, strict=True))
        return found

    def where(self, keys: Collection[str]) -> dict[str, tuple[str, int]]:
        """Key → domain and which of its rows, of those keys that are in some domain."""
        wanted, ids = set(keys), {}
        for record in self.records(Pixels.name):
            path = self.root / Pixels.name / table_of(record.part)
            table = pq.read_table(path, columns=["key", ID])
            names, numbers = table["key"].to_pylist(), table[ID].to_pylist()
            ids |= {key: n for key, n in zip(names, numbers, strict=True) if key in wanted}
        found = {}
        for domain in self.domains:
            known = self.gathered(domain, "ids")
            for key, number in ids.items():
                place = int(np.searchsorted(known, number))
                if place < len(known) and known[place] == number:
                    found[key] = (domain, place)
        return found


def corpus_of(root: Path, about: Mapping[str, Any]) -> tuple[WebCorpus, tuple[str, ...]]:
    """The corpus and the steps of a build, by what `building.made_of` says of it.

    Raises:
        ClusterError: Another version built it.
    """
    try:
        corpus = WebCorpus(
            folder=Path(about["folder"]), kind=about["kind"], options=about["options"],
            parts=about["parts"],
        )  # fmt: skip
        return corpus, tuple(about["steps"])
    except (KeyError, TypeError) as error:
        raise ClusterError(
            f"{root} was built by another version ({error}): build again, it goes on"
        ) from error


def state_of(root: Path, steps: Sequence[str]) -> str:
    """A hash of all manifests of some steps: another one after any part was made anew."""
    digest = hashlib.sha256()
    for step in steps:
        for path in sorted((root / step).glob(f"*{MANIFEST}")):
            digest.update(f"{step}/{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _manifests(folder: Path) -> list[tuple[PartRecord, Mapping[str, Any]]]:
    """Of a step's parts, by their names, each with its settings."""
    found = []
    for path in sorted(folder.glob(f"*{MANIFEST}")):
        stored = json.loads(path.read_bytes())
        record = PartRecord(
            part=path.name.removesuffix(MANIFEST),
            inputs=stored["inputs"],
            files={name: (size, sha) for name, (size, sha) in stored["files"].items()},
            counts=stored["counts"],
            notes={name: tuple(lines) for name, lines in stored["notes"].items()},
        )
        found.append((record, stored["settings"]))
    return found
