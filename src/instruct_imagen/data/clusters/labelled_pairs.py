"""What people say of pairs, and thresholds of near-duplicates learnt from that."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instruct_imagen.data.clusters.borderline_pairs import part_of
from instruct_imagen.data.clusters.far_pairs import far_from, joined, stand_for, strata_of
from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.near_duplicates import (
    Measured,
    Thresholds,
    check_labels,
    learn_thresholds,
    near_duplicates,
)
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.steps.duplicates import measured_of

FOLDS = 5
"""Into which answers are divided, to learn on four and try on the fifth."""

_ANSWERS = {"yes": True, "y": True, "no": False, "n": False}
_NAMED = 5  # bad lines that an error names


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What somebody says of a pair, and in which line."""

    line: int
    keys: tuple[str, str]
    same: bool


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What thresholds make of labelled pairs.

    Attributes:
        recall: Share of the near-duplicates that are found.
        false_merges: Share of the others that are taken for some.
    """

    recall: float
    false_merges: float


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Thresholds learnt from answers.

    Attributes:
        thresholds: The new ones.
        before: What the build's own make of the answered pairs.
        after: What the new ones make of them, which they were learnt from.
        left_out: The same of answers that were left out: learnt on the others, in turn; None where
            there are too few of a kind.
        far: Candidates farther from the thresholds than any answered pair, near-duplicates and
            others, which count as what the build took them for; estimated where `drawn` are fewer
            than all.
        far_before: What the build's own make of all candidates: of these, and of those that are
            as near as answered pairs, for which those of their kind stand.
        far_after: What the new ones make of them.
        drawn: Candidates that were measured, and how many there are.
    """

    thresholds: Thresholds
    before: Rates
    after: Rates
    left_out: Rates | None
    far: tuple[int, int]
    far_before: Rates
    far_after: Rates
    drawn: tuple[int, int]


def read_answers(path: Path) -> tuple[list[Answer], int]:
    """The answers in a file, and how many pairs have none.

    Raises:
        ClusterError: It cannot be read, lacks a column, or has bad rows, which are named by line;
            or no pair has an answer.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ClusterError(f"{path} cannot be read ({reason}): name a filled pairs.csv") from None
    head = text.partition("\n")[0]
    # Spreadsheets of some countries save with semicolons.
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    lacking = [
        name for name in ("first", "second", "same") if name not in (reader.fieldnames or ())
    ]
    if lacking:
        raise ClusterError(
            f"{path} has no column {', '.join(lacking)}: fill the file that `clusters pairs` wrote"
        )
    answers: dict[frozenset[str], Answer] = {}
    bad, empty = [], 0
    for row in reader:
        line = reader.line_num
        given = (row["same"] or "").strip()
        keys = (row["first"] or "", row["second"] or "")
        if not given:
            empty += 1
            continue
        answer = _ANSWERS.get(given.lower())
        known = answers.get(frozenset(keys))
        if answer is None:
            bad.append(f"line {line}: same={given!r} must be yes, no or empty")
        elif not all(keys) or keys[0] == keys[1]:
            bad.append(f"line {line}: first and second must name two rows")
        elif known is not None and known.same != answer:
            bad.append(f"line {line}: line {known.line} says the opposite of the same pair")
        else:
            answers.setdefault(frozenset(keys), Answer(line=line, keys=keys, same=answer))
    _refuse(path, bad)
    if not answers:
        raise ClusterError(
            f"{path} has no answer: write yes (one picture) or no (two) into the column same of "
            f"its {empty} pairs"
        )
    return list(answers.values()), empty


def learn(
    found: Finished, answers: Sequence[Answer], path: Path, *, false_merges: float = 0.005
) -> Learnt:
    """Thresholds from answers.

    Answers are of the hardest pairs. Thresholds are learnt from them together with all candidates
    that are farther from the thresholds than any of them: without those, no threshold could let in
    a single hard pair of two pictures, and would sooner find nothing. Each pair has the weight of
    those that it stands for (Horvitz and Thompson): a candidate that was drawn by lot those of its
    domain, a share of which was drawn; answered pairs all that are as near to the thresholds as
    those of their kind.

    Args:
        found: The build whose rows they are.
        answers: Of both kinds.
        path: Where they are from, for messages.
        false_merges: Share of all pairs of two pictures, see `learn_thresholds`.

    Raises:
        ClusterError: A key is of no row that was compared, or nothing can be learnt.
        DuplicateError: All answers are the same, or `false_merges` is out of range.
    """
    measured = _measured(found, answers, path)
    same = np.array([answer.same for answer in answers])
    check_labels(same)
    before = found.thresholds
    far, weights, near, drawn = far_from(found, measured, before)
    clear = near_duplicates(far, before)
    strata = strata_of(measured, before)

    def learnt(kept: np.ndarray) -> Thresholds:
        thresholds = learn_thresholds(
            joined(part_of(measured, kept), far), np.concatenate([same[kept], clear]),
            false_merges=false_merges, hash_radius=before.hash_radius,
            weights=np.concatenate([stand_for(strata[kept], near), weights]),
        )  # fmt: skip
        return _rounded(thresholds)

    after = learnt(np.arange(len(same)))
    if after.difference == 0:
        raise ClusterError(
            f"{path}: no thresholds find any of these near-duplicates and at most a share of "
            f"{false_merges:g} of the others: answer more pairs, or allow more, --false-merges"
        )
    left_out = None
    if min(same.sum(), (~same).sum()) >= FOLDS:
        # Each fold has its share of both kinds, in the order of the file, which is by lot.
        folds = np.empty(len(same), np.int64)
        for kind in (True, False):
            folds[same == kind] = np.arange((same == kind).sum()) % FOLDS
        merged = np.zeros(len(same), bool)
        for fold in range(FOLDS):
            mine = np.flatnonzero(folds == fold)
            merged[mine] = near_duplicates(
                part_of(measured, mine), learnt(np.flatnonzero(folds != fold))
            )
        left_out = _rates(merged, same)
    every, labels = joined(measured, far), np.concatenate([same, clear])
    heavy = np.concatenate([stand_for(strata, near), weights])
    return Learnt(
        thresholds=after,
        before=_rates(near_duplicates(measured, before), same),
        after=_rates(near_duplicates(measured, after), same),
        left_out=left_out,
        far=(round(float(weights[clear].sum())), round(float(weights[~clear].sum()))),
        far_before=_rates(near_duplicates(every, before), labels, heavy),
        far_after=_rates(near_duplicates(every, after), labels, heavy),
        drawn=drawn,
    )


def as_settings(thresholds: Thresholds) -> str:
    """Thresholds as `clusters build` takes them."""
    return " ".join(
        f"duplicates.{name}={getattr(thresholds, name):g}"
        for name in ("similarity", "correlation", "difference")
    )


def _measured(found: Finished, answers: Sequence[Answer], path: Path) -> Measured:
    places = found.where({key for answer in answers for key in answer.keys})
    bad = [
        f"line {answer.line}: {key!r} is no row that was compared"
        for answer in answers
        for key in answer.keys
        if key not in places
    ]
    _refuse(path, bad, f" in {found.root}")
    number = {key: place for place, key in enumerate(places)}
    thumbs, vectors = (_gathered(found, places, what) for what in ("thumbs", "vectors"))
    pairs = np.array([[number[key] for key in answer.keys] for answer in answers], np.int64)
    return measured_of(pairs, thumbs, vectors)


def _gathered(found: Finished, places: Mapping[str, tuple[str, int]], what: str) -> np.ndarray:
    files = {domain: found.gathered(domain, what) for domain, _ in places.values()}
    return np.stack([files[domain][row] for domain, row in places.values()])


def _rounded(thresholds: Thresholds) -> Thresholds:
    """As they are printed, so that what is said of them is true of what is pasted."""
    return replace(
        thresholds,
        similarity=round(thresholds.similarity, 4),
        correlation=round(thresholds.correlation, 4),
        difference=round(thresholds.difference, 4),
    )


def _rates(merged: np.ndarray, same: np.ndarray, weights: np.ndarray | None = None) -> Rates:
    weights = np.ones(len(same)) if weights is None else weights
    return Rates(
        recall=float(np.average(merged[same], weights=weights[same])),
        false_merges=float(np.average(merged[~same], weights=weights[~same])),
    )


def _refuse(path: Path, bad: Sequence[str], where: str = "") -> None:
    if bad:
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise ClusterError(f"{path}: {'; '.join(bad[:_NAMED])}{more}{where}")
