"""What an evaluation leaves on disk: a folder for each suite and model.

``images/<case id>.png``, ``answers.jsonl`` (a line a case), ``verdicts-<judge>.jsonl`` and
``run.json`` (what it is of). Lines are appended by one process and reach the disk before their
count is believed; of a line that a power cut has left half, nothing is believed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from instruct_imagen.data.shards.layout import sha256_of, write_whole
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges.base import Verdict

FORMAT = 1
RUN, ANSWERS, IMAGES = "run.json", "answers.jsonl", "images"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.~-]*(/[A-Za-z0-9][A-Za-z0-9_.~-]*)*")


@dataclass(frozen=True, kw_only=True)
class CaseFacts:
    """What a report needs to know of a case, without rendering it again.

    Attributes:
        id: See `Case`.
        index: Place in its suite, from 0.
        group: See `Case`.
        seed: See `Case`.
        text: Of the instruction that the model was given.
        conditions: Name, kind and marker of each.
        references: How many different markers have references.
        unseen: See `Case`.
        pair: See `Case`.
    """

    id: str
    index: int
    group: str
    seed: int
    text: str
    conditions: tuple[tuple[str, str, int | None], ...]
    references: int
    unseen: str
    pair: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An image of a case, or why there is none.

    Attributes:
        case: What was asked.
        sha256: Of the PNG file; empty where it failed.
        seconds: That it took; of a batch, its share.
        target_distance: Mean absolute difference to the target, 0 to 1, where there is one of its
            size.
        error: Why there is no image; empty where there is one.
    """

    case: CaseFacts
    sha256: str = ""
    seconds: float = 0.0
    target_distance: float | None = None
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A judge's verdict on an image, or why there is none.

    Attributes:
        id: Of the case.
        index: Of the case.
        sha256: Of the image that was judged.
        fingerprint: Of the judge.
        scores: (condition, value, reason, measures) of each condition.
        pq: Perceptual quality.
        pq_reason: Why.
        measures: Of the whole image.
        error: Why there is no verdict; empty where there is one.
    """

    id: str
    index: int
    sha256: str
    fingerprint: str
    scores: tuple[tuple[str, float, str, Mapping[str, float]], ...] = ()
    pq: float = 0.0
    pq_reason: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def sc(self) -> float:
        """That of the least consistent condition ([Hu24] A.4)."""
        return min(value for _, value, _, _ in self.scores)

    @property
    def overall(self) -> float:
        """O = √(SC·PQ)."""
        return float((self.sc * self.pq) ** 0.5)


def facts_of(case: Case, index: int, text: str) -> CaseFacts:
    """The facts of a case.

    Raises:
        EvaluationError: Its id cannot be the name of a file.
    """
    if not _ID.fullmatch(case.id):
        raise EvaluationError(
            f"case {case.id!r} cannot name a file: use letters, digits, _ . - and / between them"
        )
    return CaseFacts(
        id=case.id,
        index=index,
        group=case.group,
        seed=case.seed,
        text=text,
        conditions=tuple((one.name, one.kind, one.marker) for one in case.conditions),
        references=case.references,
        unseen=case.unseen,
        pair=case.pair,
    )


def judgement_of(
    answer: Answer, fingerprint: str, verdict: Verdict | None, error: str = ""
) -> Judgement:
    """A verdict, or the lack of one, as it is kept."""
    about = {
        "id": answer.case.id,
        "index": answer.case.index,
        "sha256": answer.sha256,
        "fingerprint": fingerprint,
    }
    if verdict is None:
        return Judgement(**about, error=error)
    return Judgement(
        **about,
        scores=tuple((s.condition, s.value, s.reason, dict(s.measures)) for s in verdict.scores),
        pq=verdict.pq,
        pq_reason=verdict.pq_reason,
        measures=dict(verdict.measures),
    )


def line_of(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def image_path(folder: Path, id: str) -> Path:
    """Of a case's image."""
    return folder / IMAGES / f"{id}.png"


def verdicts_path(folder: Path, judge: str) -> Path:
    """Of a judge's verdicts."""
    return folder / f"verdicts-{judge}.jsonl"


def read_answers(folder: Path) -> dict[int, Answer]:
    """The last answer to each case, by its index."""
    found = {}
    for line in _lines(folder / ANSWERS):
        facts = dict(line.pop("case"))
        facts["conditions"] = tuple(tuple(one) for one in facts["conditions"])
        found[facts["index"]] = Answer(case=CaseFacts(**facts), **line)
    return found


def read_judgements(folder: Path, judge: str) -> dict[int, Judgement]:
    """The last verdict on each case, by its index."""
    found = {}
    for line in _lines(verdicts_path(folder, judge)):
        scores = tuple(tuple(score) for score in line.pop("scores"))
        found[line["index"]] = Judgement(**line, scores=scores)
    return found


def judges_in(folder: Path) -> list[str]:
    """Names of the judges whose verdicts a folder holds."""
    return sorted(p.stem.partition("-")[2] for p in folder.glob("verdicts-*.jsonl"))


def whole(folder: Path, answer: Answer) -> bool:
    """Whether an answer has its image, with the bytes that were written."""
    path = image_path(folder, answer.case.id)
    return not answer.error and path.is_file() and sha256_of(path) == answer.sha256


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file; one without an end is not there yet.

    Raises:
        EvaluationError: Another line is damaged.
    """
    if not path.is_file():
        return
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            yield dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise EvaluationError(
                f"{path}, line {number} is damaged ({error}): delete that line, its case is done "
                "again"
            ) from None


class Lines:
    """Appends to a file of lines; what a kill has left half is cut off first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.is_file():
            content = path.read_bytes()
            kept = content.rfind(b"\n") + 1
            if kept < len(content):
                os.truncate(path, kept)

    def add(self, records: Iterable[Answer | Judgement]) -> None:
        """Writes them, and returns when the disk has them."""
        text = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keeps other runs out of a folder; the system frees it however the process ends.

    Raises:
        EvaluationError: Another run is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvaluationError(
                f"another evaluation writes to {folder}: wait for it to end, or name another --out"
            ) from None
        yield
    finally:
        os.close(handle)


def read_run(folder: Path) -> dict[str, Any]:
    """What a folder is of.

    Raises:
        EvaluationError: It has no readable `RUN`.
    """
    try:
        return dict(json.loads((folder / RUN).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(
            f"{folder / RUN} cannot be read ({error}): delete {folder} and evaluate again"
        ) from None


def claim(folder: Path, about: Mapping[str, Any], same: Sequence[str]) -> None:
    """Makes a folder one of these settings, and writes them.

    Args:
        folder: Of the run.
        about: Plain JSON types.
        same: Keys of what an earlier run there must share, as ``"model.fingerprint"``.

    Raises:
        EvaluationError: It holds a run of others, or something else.
    """
    if (folder / RUN).is_file():
        there = read_run(folder)
        for key in same:
            old, new = _value(there, key), _value(about, key)
            if old != new:
                raise EvaluationError(
                    f"{folder} is of {key}={old}, not {new}: name another --out, or delete that "
                    "folder to evaluate anew"
                )
    elif any(path.name[0] != "." for path in folder.iterdir()):
        raise EvaluationError(f"{folder} holds no {RUN} and something else: name another --out")
    write_whole(folder / RUN, json.dumps(dict(about), indent=1, ensure_ascii=False) + "\n")


def _value(about: Mapping[str, Any], key: str) -> Any:
    first, _, second = key.partition(".")
    inside = about.get(first)
    return inside.get(second) if second and isinstance(inside, Mapping) else inside
