"""Cases of the starter world as text: one line of JSON a case, read back exactly.

A line holds the whole example, scenes and all, so that a frozen suite does not depend on the code
that once drew it. Fields with their default value are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from instruct_imagen.data.example import (
    Background,
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.evaluation.case import UNSEEN, EvaluationError


@dataclass(frozen=True, kw_only=True)
class StoredCase:
    """A case before its pictures are rendered; fields as in `evaluation.case.Case`."""

    id: str
    group: str
    seed: int
    unseen: str = ""
    pair: str = ""
    example: Example

    def __post_init__(self) -> None:
        """Check what is not checked when a case is made of it."""
        if self.unseen not in UNSEEN:
            raise EvaluationError(f"{self.id}: unseen={self.unseen!r} must be one of {UNSEEN}")


_STORED = (StoredCase, Example, ExampleReference, Picture, Scene, Background, Placement)


def to_line(case: StoredCase) -> str:
    """One line of JSON, without a line break at its end.

    Raises:
        EvaluationError: A picture is no description of a scene but an image.
    """
    return json.dumps(_plain(case, case.id), ensure_ascii=False, separators=(",", ":"))


def from_line(line: str) -> StoredCase:
    """The case of a line; the inverse of `to_line`.

    Raises:
        EvaluationError: It is no such line.
    """
    try:
        return _case(json.loads(line))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise EvaluationError(
            f"no stored case ({' '.join(str(error).split())}): {line[:60]}…"
        ) from error


def to_lines(cases: Iterable[StoredCase]) -> bytes:
    """All of them, a line each, in UTF-8: what a suite's hash is of."""
    return "".join(to_line(case) + "\n" for case in cases).encode()


def from_lines(content: bytes) -> tuple[StoredCase, ...]:
    """The inverse of `to_lines`."""
    return tuple(from_line(line) for line in content.decode().splitlines())


def _plain(value: Any, place: str) -> Any:
    """A value as JSON has it."""
    if isinstance(value, _STORED):
        own = ((one, getattr(value, one.name)) for one in fields(value))
        return {
            one.name: _plain(content, place)
            for one, content in own
            if one.default is MISSING or content != one.default
        }
    if isinstance(value, tuple):
        return [_plain(one, place) for one in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    raise EvaluationError(
        f"{place} shows a {type(value).__name__}, and only scenes are frozen: keep images in a "
        "folder suite"
    )


def _case(data: Mapping[str, Any]) -> StoredCase:
    return StoredCase(**{**data, "example": _example(data["example"])})


def _example(data: Mapping[str, Any]) -> Example:
    references = tuple(
        ExampleReference(**{**one, "picture": _picture(one["picture"])})
        for one in data["references"]
    )
    return Example(**{**data, "references": references, "target": _picture(data["target"])})


def _picture(data: Mapping[str, Any]) -> Picture:
    scene = data["scene"]
    ground = scene["background"]
    background = Background(**{**ground, "colours": tuple(ground.get("colours", ()))})
    placements = tuple(Placement(**one) for one in scene["placements"])
    unknown = set(scene) - {"background", "placements"}
    if unknown:
        raise ValueError(f"a scene has no {', '.join(sorted(unknown))}")
    return Picture(**{**data, "scene": Scene(background=background, placements=placements)})
