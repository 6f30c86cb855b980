"""What training never sees: concepts, one style, and combinations of tasks, frozen in a file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

HOLDOUT_SHA256 = "a6700f72bda74d4e67b4d6b482924914c6c3951afbc8bb90844ed958bd1a9e42"
"""Of `holdout.json`. A change of the hold-out is a new version of the world, never an edit."""


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """The frozen hold-out.

    Attributes:
        version: Of the file.
        concepts: Never drawn in training, in any style.
        style: Never drawn in training, for any concept.
        combinations: Kinds of instructions that no training task makes.
    """

    version: int
    concepts: frozenset[str]
    style: str
    combinations: tuple[str, ...]


@lru_cache(maxsize=1)
def holdout() -> Holdout:
    """Read the hold-out.

    Raises:
        RuntimeError: The file is not the frozen one.
    """
    raw = resources.files(__package__).joinpath("holdout.json").read_bytes()
    if hashlib.sha256(raw).hexdigest() != HOLDOUT_SHA256:
        raise RuntimeError("holdout.json has been changed: restore the committed file")
    stored = json.loads(raw)
    return Holdout(
        version=stored["version"],
        concepts=frozenset(stored["concepts"]),
        style=stored["style"],
        combinations=tuple(stored["combinations"]),
    )
