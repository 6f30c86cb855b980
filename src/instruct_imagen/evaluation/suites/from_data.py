"""Folder suites of data sets that a user has on disk: one builder a source."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instruct_imagen.data.corpora import Reading, open_corpus
from instruct_imagen.data.corpora.records import StoredImage, SubjectSet
from instruct_imagen.data.tasks.base import marker
from instruct_imagen.data.tasks.my_subject import names_subject
from instruct_imagen.data.tasks.subject import mark_subject
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites.folder import IMAGES, FolderSuite, write_suite
from instruct_imagen.evaluation.suites.imagenhub import imagenhub

MOST_PICTURES = 4
"""Pictures of a subject that a case shows, at most, as in the task of training: the first ones."""

_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp", b"GI": ".gif", b"BM": ".bmp"}


@dataclass
class Content:
    """What becomes a folder suite.

    Attributes:
        cases: As ``suite.json`` has them.
        images: Relative path → encoded file.
        notes: Lines for the user: what was left out, and why.
    """

    cases: list[dict[str, Any]] = field(default_factory=list)
    images: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def make_suite(source: str, folder: Path, out: Path) -> tuple[FolderSuite, list[str]]:
    """Makes a folder suite of a data set.

    Args:
        source: One of `BUILDERS`.
        folder: Where the data set lies.
        out: A folder that is not there yet, or empty.

    Returns:
        The suite, and notes for the user.

    Raises:
        EvaluationError: The source is unknown, or the folder holds something else.
        CorpusError: The same, told by the reader of that data set; nothing in it is passed over.
    """
    if source not in BUILDERS:
        known = ", ".join(BUILDERS)
        raise EvaluationError(f"unknown source '{source}': use one of {known}")
    content = Content()
    BUILDERS[source](folder, content)
    if not content.cases:
        raise EvaluationError(f"{folder} gives no case: it has no prompts")
    order = list(dict.fromkeys(case["group"] for case in content.cases))
    cases = sorted(content.cases, key=lambda case: order.index(case["group"]))
    for case in cases:
        key = f"{source}/{case['id']}"
        case["seed"] = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") >> 1
    return write_suite(out, source, cases, content.images), content.notes


def _dreambench(folder: Path, content: Content) -> None:
    """Subjects × prompts; live subjects and objects have prompts of their own: two groups."""
    for record in _records("dreambench", folder):
        _add_subject(record, record.about.get("kind", "subject"), content)


def _custom_concept101(folder: Path, content: Content) -> None:
    """Concepts × prompts."""
    for record in _records("custom_concept101", folder):
        _add_subject(record, "subject", content)


def _records(name: str, folder: Path) -> Iterator[SubjectSet]:
    # Numbers of two machines are compared: each reads all, or says what it cannot read.
    strict = Reading(decode=True, tolerated=0, tolerated_share=0)
    yield from open_corpus(name, folder, strict)


def _add_subject(record: SubjectSet, group: str, content: Content) -> None:
    """A case for each prompt, with the first pictures of the subject."""
    if not record.prompts:
        raise EvaluationError(
            f"{record.key} has no prompts: add its prompts.txt, one prompt a line"
        )
    names = [_keep(one, record.key, content) for one in record.images[:MOST_PICTURES]]
    for number, prompt in enumerate(record.prompts):
        content.cases.append(
            {
                "id": f"{record.key}/{number:04d}",
                "group": group,
                "text": marked(prompt, record.name),
                "references": [
                    {"marker": 1, "text": record.name, "role": "subject", "image": name}
                    for name in names
                ],
                "prompt": prompt,
                "conditions": [
                    {"name": "subject", "kind": "subject", "marker": 1},
                    {"name": "text", "kind": "text"},
                ],
            }
        )


def marked(prompt: str, name: str) -> str:
    """A prompt with marker 1 beside the subject, or before it where it does not name the subject.

    Args:
        prompt: E.g. ``"a dog in the snow"``.
        name: E.g. ``"dog"``.

    Returns:
        E.g. ``"the [ref#1] dog in the snow"``.
    """
    if names_subject(prompt, name):
        return mark_subject(prompt, name, 1)
    return f"{marker(1)} {name}: {prompt}"


def _keep(image: StoredImage, key: str, content: Content) -> str:
    """Adds an image, and returns its name."""
    suffix = _SUFFIXES.get(image.data[:2], ".img")
    name = f"{IMAGES}/{key}/{image.sha256[:16]}{suffix}"
    content.images[name] = image.data
    return name


def _imagenhub(folder: Path, content: Content) -> None:
    cases, images, notes = imagenhub(folder)
    content.cases, content.images, content.notes = cases, images, notes


BUILDERS: Mapping[str, Callable[[Path, Content], None]] = {
    "dreambench": _dreambench,
    "custom_concept101": _custom_concept101,
    "imagenhub": _imagenhub,
}
"""Source → what reads it."""
