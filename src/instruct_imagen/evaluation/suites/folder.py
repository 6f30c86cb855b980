"""Suites of real images: a folder with ``suite.json`` and the images that it names.

There is no exact truth of a photograph: its cases have no example and no target, and judges that
look at images alone score them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from instruct_imagen.evaluation.case import (
    CONDITION_KINDS,
    UNSEEN,
    Case,
    Condition,
    EvaluationError,
)
from instruct_imagen.images import ImageError, check_image
from instruct_imagen.instruction import Instruction, InstructionError, Reference

SUITE_FILE = "suite.json"
IMAGES = "images"

_SUITE = {"name": str, "version": int, "cases": list}
_CASE = {
    "id": str, "group": str, "text": str, "references": list, "prompt": str, "conditions": list,
    "seed": int,
}  # fmt: skip
_CASE_MORE = {"unseen": str, "pair": str}
_REFERENCE = {"marker": int, "text": str, "image": str}
_REFERENCE_MORE = {"role": str}
_CONDITION = {"name": str, "kind": str}
_CONDITION_MORE = {"marker": int}


@dataclass(frozen=True, kw_only=True)
class FolderSuite:
    """A suite of a folder; attributes as in `suites.base.Suite`.

    Attributes:
        sha256: Of ``suite.json`` and of the names and bytes of all images that it names.
        found: Its cases; images are paths.
    """

    name: str
    version: int
    sha256: str
    groups: Mapping[str, int]
    found: tuple[Case, ...] = field(repr=False)

    def cases(self, size: int) -> Sequence[Case]:
        """All cases; whoever reads an image brings it to the size that is needed."""
        return self.found

    def roles(self, groups: Sequence[str] = ()) -> frozenset[frozenset[str]]:
        """See `suites.base.StoredSuite`."""
        return frozenset(
            frozenset(ref.role for ref in one.instruction.references if ref.role)
            for one in self.found
            if not groups or one.group in groups
        )

    @classmethod
    def open(cls, folder: Path) -> FolderSuite:
        """Reads and checks a folder: every key, every condition and the head of every image.

        Raises:
            EvaluationError: One line that names the place and the cure.
        """
        path = folder / SUITE_FILE
        try:
            raw = path.read_bytes()
            data = json.loads(raw)
        except OSError as error:
            raise EvaluationError(
                f"{path}: {error.strerror}; name a folder that `suites from` wrote, or one with "
                f"your own {SUITE_FILE} (docs/suites.md)"
            ) from error
        except ValueError as error:
            raise EvaluationError(f"{path} is no JSON: {error}") from error
        _check(data, _SUITE, {}, str(path))
        cases = tuple(
            _case(folder, one, f"{path}: cases[{number}]")
            for number, one in enumerate(data["cases"])
        )
        _check_together(cases, str(path))
        return cls(
            name=data["name"],
            version=data["version"],
            sha256=_hash(raw, folder, data["cases"]),
            groups=dict(Counter(case.group for case in cases)),
            found=cases,
        )


def write_suite(
    folder: Path,
    name: str,
    cases: Sequence[Mapping[str, Any]],
    images: Mapping[str, bytes],
    *,
    version: int = 1,
) -> FolderSuite:
    """Writes a folder, and reads it back.

    Args:
        folder: Must not be there, or be empty.
        name: Of the suite.
        cases: As ``suite.json`` has them, those of a group together.
        images: Relative path → encoded file.
        version: Of the cases.

    Raises:
        EvaluationError: The folder has something in it, or a case is malformed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvaluationError(f"{folder} is there already and not an empty folder: name a new one")
    for place, content in images.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    data = {"name": name, "version": version, "cases": list(cases)}
    text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
    (folder / SUITE_FILE).write_text(text, encoding="utf-8")
    return FolderSuite.open(folder)


def _case(folder: Path, data: Any, place: str) -> Case:
    _check(data, _CASE, _CASE_MORE, place)
    place = f"{place} ({data['id']})"
    if data.get("unseen", "") not in UNSEEN:
        raise EvaluationError(f"{place}: unseen must be one of {', '.join(map(repr, UNSEEN))}")
    references = tuple(
        _reference(folder, one, f"{place}: references[{number}]")
        for number, one in enumerate(data["references"])
    )
    try:
        instruction = Instruction(data["text"], references)
    except InstructionError as error:
        raise EvaluationError(f"{place}: {error}") from error
    markers = {one.marker for one in references}
    conditions = tuple(
        _condition(one, markers, f"{place}: conditions[{number}]")
        for number, one in enumerate(data["conditions"])
    )
    if not conditions or len({one.name for one in conditions}) < len(conditions):
        raise EvaluationError(f"{place}: conditions must be one or more, of different names")
    return Case(
        id=data["id"],
        group=data["group"],
        instruction=instruction,
        prompt=data["prompt"],
        conditions=conditions,
        seed=data["seed"],
        unseen=data.get("unseen", ""),
        pair=data.get("pair", ""),
    )


def _reference(folder: Path, data: Any, place: str) -> Reference:
    _check(data, _REFERENCE, _REFERENCE_MORE, place)
    relative = PurePosixPath(data["image"])
    if relative.is_absolute() or ".." in relative.parts:
        raise EvaluationError(f"{place}: image {data['image']!r} must lie inside the folder")
    path = folder / relative
    try:
        check_image(path)
        return Reference(data["marker"], path, data["text"], data.get("role"))
    except (ImageError, InstructionError) as error:
        raise EvaluationError(f"{place}: {error}") from error


def _condition(data: Any, markers: set[int], place: str) -> Condition:
    _check(data, _CONDITION, _CONDITION_MORE, place)
    if data["kind"] not in CONDITION_KINDS:
        known = ", ".join(CONDITION_KINDS)
        raise EvaluationError(f"{place}: unknown kind {data['kind']!r}: use one of {known}")
    marker = data.get("marker")
    if marker is not None and marker not in markers:
        raise EvaluationError(f"{place}: marker {marker} has no reference: add it, or correct it")
    return Condition(name=data["name"], kind=data["kind"], marker=marker)


def _check(data: Any, required: Mapping[str, type], more: Mapping[str, type], place: str) -> None:
    """Raises unless an object has these keys, those of `more` or not, and no others."""
    if not isinstance(data, dict):
        raise EvaluationError(f"{place} must be an object, not {type(data).__name__}")
    for key in required:
        if key not in data:
            raise EvaluationError(f"{place} has no '{key}': it needs {', '.join(required)}")
    kinds = {**required, **more}
    for key, value in data.items():
        if key not in kinds:
            raise EvaluationError(f"{place} has the unknown key '{key}': use {', '.join(kinds)}")
        if not isinstance(value, kinds[key]) or isinstance(value, bool):
            wanted = {str: "a text", int: "a whole number", list: "a list"}[kinds[key]]
            raise EvaluationError(f"{place}: {key} must be {wanted}, not {value!r}")


def _check_together(cases: Sequence[Case], place: str) -> None:
    """Raises unless ids are unique, pairs are there, and each group stands in one run."""
    if not cases:
        raise EvaluationError(f"{place} has no cases: write one or more")
    seen, closed, last = set(), set(), ""
    for case in cases:
        if case.id in seen:
            raise EvaluationError(f"{place} has the id {case.id!r} twice: rename one")
        seen.add(case.id)
        if case.group in closed:
            raise EvaluationError(
                f"{place}: {case.id} comes after another group's cases: put all of the group "
                f"{case.group!r} together"
            )
        if last and case.group != last:
            closed.add(last)
        last = case.group
    for case in cases:
        if case.pair and case.pair not in seen:
            raise EvaluationError(f"{place}: {case.id} is paired with {case.pair!r}, which is none")


def _hash(raw: bytes, folder: Path, cases: Sequence[Mapping[str, Any]]) -> str:
    """Of the file and of all images by their names."""
    found = hashlib.sha256(raw)
    for name in sorted({one["image"] for case in cases for one in case["references"]}):
        content = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        found.update(f"\n{name} {content}".encode())
    return found.hexdigest()
