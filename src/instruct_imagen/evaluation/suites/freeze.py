"""Draws the suites and writes them down for good."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from instruct_imagen.data.world.holdout import HOLDOUT_SHA256
from instruct_imagen.data.world.sources import read_sets
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites.composition import EVERY_SUITE, VERSION
from instruct_imagen.evaluation.suites.drawing import SUITE_SEED, WORLDS, Drawn, draw_suite
from instruct_imagen.evaluation.suites.storage import to_lines
from instruct_imagen.evaluation.suites.world import MANIFEST


def freeze(
    folder: Path, *, names: Sequence[str] = tuple(EVERY_SUITE), tell: Callable[[str], None] = print
) -> Path:
    """Draws suites and writes ``<suite>.jsonl.gz`` and ``manifest.json``.

    The same code and artwork give the same lines. A frozen version is never written over.

    Args:
        folder: Must have no such files yet.
        names: Some of `EVERY_SUITE`.
        tell: Gets a line for each suite.

    Returns:
        The manifest.

    Raises:
        EvaluationError: Suites lie there already.
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    there = [folder / name for name in (MANIFEST, *(f"{one}.jsonl.gz" for one in names))]
    for path in there:
        if path.exists():
            raise EvaluationError(
                f"{path} is there already, and frozen suites are never changed: name a new folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name in names:
        drawn = draw_suite(name)
        lines = to_lines(drawn.cases)
        (folder / f"{name}.jsonl.gz").write_bytes(packed(lines))
        entries[name] = _entry(drawn, lines)
        tell(f"{name}: {len(drawn.cases)} cases, sha256 {entries[name]['sha256'][:12]}")
    manifest = {"version": VERSION, "made_of": made_of(), "suites": entries}
    path = folder / MANIFEST
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return path


def packed(lines: bytes) -> bytes:
    """Compressed: the same bytes whenever it is done."""
    return gzip.compress(lines, 9, mtime=0)


def _entry(drawn: Drawn, lines: bytes) -> dict[str, Any]:
    """What the manifest says of a suite."""
    return {
        "sha256": hashlib.sha256(lines).hexdigest(),
        "cases": len(drawn.cases),
        "groups": dict(Counter(case.group for case in drawn.cases)),
        "unseen": dict(Counter(case.unseen or "nothing" for case in drawn.cases)),
        "left_out": dict(drawn.left_out),
    }


def made_of() -> Mapping[str, Any]:
    """Seeds, worlds and artwork that the suites are drawn from."""
    worlds = {name: vocabulary() for name, vocabulary in WORLDS.items()}
    return {
        "seed": SUITE_SEED,
        "holdout": HOLDOUT_SHA256,
        "worlds": {name: _about(words) for name, words in worlds.items()},
        "artwork": {
            style: f"{icons.version} {icons.sha256[:12]}" for style, icons in read_sets().items()
        },
    }


def _about(words: Vocabulary) -> Mapping[str, Any]:
    """Size and hash of a vocabulary."""
    content = json.dumps([words.pairs, [face.pair for face in words.faces]])
    return {
        "concepts": len(words.concepts),
        "styles": len(words.styles),
        "faces": len(words.faces),
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
    }
