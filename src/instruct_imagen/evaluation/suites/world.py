"""The frozen suites of the starter world: read, checked, and rendered case by case."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, overload

from instruct_imagen.data.world.atlas import SIDE, Atlas, Pair
from instruct_imagen.data.world.npm import WorldUnavailable
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.suites.composition import SUITES, VERSION
from instruct_imagen.evaluation.suites.storage import StoredCase, from_lines
from instruct_imagen.evaluation.suites.world_cases import sprites_of, world_case

MANIFEST_SHA256: Mapping[int, str] = {
    1: "076a239b340c795b70c21c88cfa716e8c0093f0ab2ff30f19cb9332b0fc4b05a",
}
"""Version → of its ``manifest.json``, which has the hashes of all suites. Suites may be
added to it; changed cases are a new version of the suites, never an edit."""

MANIFEST = "manifest.json"
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class WorldSuite:
    """A suite of the starter world; attributes as in `suites.base.Suite`.

    Attributes:
        stored: Its cases.
        made_of: What they were drawn from, as the manifest says.
    """

    name: str
    version: int
    sha256: str
    groups: Mapping[str, int]
    stored: tuple[StoredCase, ...] = field(repr=False)
    made_of: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def sprites(self) -> frozenset[Pair]:
        """All (concept, style) pairs that its cases show."""
        return sprites_of_all(self.stored)

    def cases(self, size: int) -> Sequence[Case]:
        """All cases; each is rendered when it is asked for.

        Raises:
            EvaluationError: The artwork is not installed and cannot be, or the size is below 1.
        """
        try:
            return WorldCases(self.stored, size)
        except WorldUnavailable as error:
            raise EvaluationError(f"{self.name} cannot be rendered: {error}") from error

    def roles(self, groups: Sequence[str] = ()) -> frozenset[frozenset[str]]:
        """See `suites.base.StoredSuite`."""
        return frozenset(
            frozenset(reference.role for reference in one.example.references)
            for one in self.stored
            if not groups or one.group in groups
        )


class WorldCases(Sequence[Case]):
    """Cases that render their pictures when they are asked for.

    Args:
        stored: The cases.
        size: Side of their pictures in pixels.
        atlas: Has their sprites; None builds one of them alone, at least as fine as the pictures.
    """

    def __init__(self, stored: Sequence[StoredCase], size: int, atlas: Atlas | None = None) -> None:
        if size < 1:
            raise EvaluationError(f"size={size} of a suite's pictures must be 1 pixel or more")
        self.size = size
        self._stored = tuple(stored)
        if atlas is None:
            side = SIDE
            while side < size:
                side *= 2
            atlas = Atlas.build(sorted(sprites_of_all(self._stored)), side=side)
        self.atlas = atlas

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, place: int) -> Case: ...

    @overload
    def __getitem__(self, place: slice) -> WorldCases: ...

    def __getitem__(self, place: int | slice) -> Case | WorldCases:
        """A case, or some of them without rendering any."""
        if isinstance(place, slice):
            return WorldCases(self._stored[place], self.size, self.atlas)
        one = self._stored[place]
        return world_case(
            one.example,
            self.atlas,
            self.size,
            id=one.id,
            group=one.group,
            seed=one.seed,
            unseen=one.unseen,
            pair=one.pair,
        )


def sprites_of_all(stored: Iterable[StoredCase]) -> frozenset[Pair]:
    """The sprites of some cases."""
    return frozenset(pair for one in stored for pair in sprites_of(one.example))


def frozen_folder(version: int = VERSION) -> Traversable:
    """Where the committed suites of a version lie."""
    return resources.files(__package__) / "data" / f"v{version}"


@lru_cache(maxsize=2)
def frozen_manifest(version: int = VERSION) -> Mapping[str, Any]:
    """The manifest of a committed version.

    Raises:
        EvaluationError: It is not the one that was frozen.
    """
    raw = (frozen_folder(version) / MANIFEST).read_bytes()
    if hashlib.sha256(raw).hexdigest() != MANIFEST_SHA256[version]:
        raise EvaluationError(
            f"suites/data/v{version}/{MANIFEST} has been changed: restore the committed file"
        )
    return json.loads(raw)


@lru_cache(maxsize=8)
def world_suite(name: str) -> WorldSuite:
    """A committed suite, or all of them as one.

    Raises:
        EvaluationError: There is none of this name, or its file is not the frozen one.
    """
    manifest = frozen_manifest()
    if name == ALL:
        return joined([world_suite(one) for one in SUITES])
    if name not in manifest["suites"]:
        known = ", ".join([*manifest["suites"], ALL])
        raise EvaluationError(f"unknown suite '{name}': use one of {known}, or a folder")
    return read_suite(frozen_folder(), manifest, name)


def read_suite(folder: Traversable, manifest: Mapping[str, Any], name: str) -> WorldSuite:
    """A suite of a folder that `freeze.freeze` wrote.

    Raises:
        EvaluationError: Its file is missing, broken or not what the manifest says.
    """
    file, about = folder / f"{name}.jsonl.gz", manifest["suites"][name]
    try:
        lines = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, gzip.zlib.error) as error:
        raise EvaluationError(f"{file} cannot be read ({error}): restore it") from error
    if hashlib.sha256(lines).hexdigest() != about["sha256"]:
        raise EvaluationError(f"{file} has been changed: restore the committed file")
    return WorldSuite(
        name=name,
        version=manifest["version"],
        sha256=about["sha256"],
        groups=about["groups"],
        stored=from_lines(lines),
        made_of=manifest["made_of"],
    )


def joined(suites: Sequence[WorldSuite]) -> WorldSuite:
    """Several as one; ids, groups and pairs begin with the name of their suite."""
    stored = [
        replace(
            one,
            id=f"{suite.name}/{one.id}",
            group=f"{suite.name}/{one.group}",
            pair=f"{suite.name}/{one.pair}" if one.pair else "",
        )
        for suite in suites
        for one in suite.stored
    ]
    return WorldSuite(
        name=ALL,
        version=suites[0].version,
        sha256=hashlib.sha256("".join(suite.sha256 for suite in suites).encode()).hexdigest(),
        groups={f"{suite.name}/{name}": n for suite in suites for name, n in suite.groups.items()},
        stored=tuple(stored),
        made_of=suites[0].made_of,
    )
