"""What each reference does: cases again, with a reference dropped, swapped or exchanged.

The cases of a diagnosis are a suite of their own, so they are drawn, kept and resumed as any other.
Of each sampled case: the image with another seed (how far images of one instruction lie apart),
without each reference, with each reference's image swapped for another case's of the same role,
and with the images of two neighbouring references exchanged. Everything else, also the noise,
stays.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from instruct_imagen.data.example import Picture, Placement
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.record import Answer, image_path, read_answers
from instruct_imagen.evaluation.runner import selected
from instruct_imagen.evaluation.suites.base import Suite
from instruct_imagen.images import load_image, to_square
from instruct_imagen.instruction import Instruction, InstructionError, Reference

Distance = Callable[[np.ndarray, np.ndarray], float]
"""Between two uint8 images of one size."""

OTHER_SEED = 1_000_003
"""Added to a case's seed for the second image of its instruction."""


def pixel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference, 0 to 1."""
    return float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean() / 255)


# -- Instructions ----------------------------------------------------------------------------------


def without_reference(instruction: Instruction, marker: int) -> Instruction | None:
    """An instruction without a marker's references.

    The marker leaves the text, with a word that would then stand for nothing: ``in the style of
    [ref#2]: a dog`` becomes ``: a dog`` of no style at all, so what hangs on the marker up to the
    mark before it goes too. Where the reference's own words follow the marker (``[ref#1] dog``),
    they stay: what the words alone give is what the comparison is about.

    Returns:
        None where nothing is left to ask for.
    """
    gone = [one for one in instruction.references if one.marker == marker]
    kept = tuple(one for one in instruction.references if one.marker != marker)
    text = instruction.text
    for word in {one.text for one in gone}:
        text = re.sub(rf"\[ref#{marker}\] (?={re.escape(word)}\b)", "", text)
    mark = rf"\[ref#{marker}\]"
    hanging = r"(?:\b(?:in the style of|in the manner of|in the look of|as in|like|with|of|from|on|"
    hanging += r"in|as|to|by|after|following|and)\s+(?:the\s+|that\s+of\s+)*)?"
    text = re.sub(rf"\s*{hanging}{mark}", "", text)
    text = re.sub(r"\s+([.,:;?!])", r"\1", " ".join(text.split())).lstrip(" ,:;.").strip()
    try:
        return Instruction(text, kept)
    except InstructionError:  # the text is empty now
        return None


def with_images(instruction: Instruction, images: Mapping[int, Sequence[Reference]]) -> Instruction:
    """An instruction whose markers show other images; the words stay.

    Args:
        instruction: What is changed.
        images: References by marker, whose images take the place of the marker's own, in turn.
    """
    counters: dict[int, int] = defaultdict(int)
    changed = []
    for one in instruction.references:
        others = images.get(one.marker)
        if others:
            other = others[counters[one.marker] % len(others)]
            counters[one.marker] += 1
            one = replace(one, image=other.image)
        changed.append(one)
    return replace(instruction, references=tuple(changed))


def references_by_marker(instruction: Instruction) -> dict[int, list[Reference]]:
    """In the order of the markers."""
    found: dict[int, list[Reference]] = defaultdict(list)
    for one in instruction.references:
        found[one.marker].append(one)
    return dict(sorted(found.items()))


def variants(case: Case, others: Sequence[Case]) -> dict[str, Case]:
    """A case as it is (``base``) and changed: ``seed``, ``drop 1``, ``swap 1``, ``exchange 1 2``.

    Args:
        case: With references.
        others: Where the images of a swap come from: the next one whose reference of the role shows
            something else, as far as the cases know what is shown; else the next other image.
    """
    own = references_by_marker(case.instruction)
    changed: dict[str, Instruction | None] = {"base": case.instruction, "seed": case.instruction}
    for marker, references in own.items():
        changed[f"drop {marker}"] = without_reference(case.instruction, marker)
        role = references[0].role
        donors = [
            (shown(other, place), given)
            for other in others
            if other.id != case.id
            for place, given in references_by_marker(other.instruction).items()
            if given[0].role == role and given[0] != references[0]
        ]
        here = shown(case, marker)
        different = (given for there, given in donors if here and there and there != here)
        donor = next(different, donors[0][1] if donors else None)
        if donor is not None:
            changed[f"swap {marker}"] = with_images(case.instruction, {marker: donor})
    markers = list(own)
    for first, second in pairwise(markers):
        exchanged = {first: own[second], second: own[first]}
        changed[f"exchange {first} {second}"] = with_images(case.instruction, exchanged)
    return {
        name: replace(
            case,
            id=f"{case.id}~{name.replace(' ', '-')}",
            instruction=instruction,
            seed=case.seed + OTHER_SEED * (name == "seed"),
            pair="",
        )
        for name, instruction in changed.items()
        if instruction is not None
    }


def shown(case: Case, marker: int) -> frozenset[str]:
    """What a marker's references show that counts for their role; empty where nobody knows.

    Of a style image how it is drawn: another one in the same style asks for nothing else. Of a face
    the person, whatever the expression. Of all others the concepts.
    """
    known = case.example.references if case.example is not None else ()

    def counts(role: str, placed: Placement) -> str:
        if role == "style":
            return placed.style
        return placed.concept.rpartition("-")[0] if role == "face" else placed.concept

    return frozenset(
        counts(one.role, placed)
        for one in known
        if one.marker == marker and isinstance(one.picture, Picture)
        for placed in one.picture.scene.placements
    )


class DiagnosisSuite:
    """The changed cases of the first cases with references of each group of a suite.

    Args:
        suite: Where the cases come from.
        limit: Cases of each group.

    Attributes:
        name: That of the suite.
        version: See `Suite`.
        sha256: See `Suite`.
        groups: See `Suite`; counted on the first call of `cases`, as variants are.
    """

    def __init__(self, suite: Suite, limit: int) -> None:
        self._suite, self._limit = suite, limit
        self.name, self.version = suite.name, suite.version
        about = f"{suite.sha256} diagnosis 2 {limit}"
        self.sha256 = hashlib.sha256(about.encode()).hexdigest()
        self._made: dict[int, list[Case]] = {}

    @property
    def groups(self) -> Mapping[str, int]:
        """Variants do not depend on the size of the pictures."""
        counts: dict[str, int] = {}
        for case in self.cases(32):
            counts[case.group] = counts.get(case.group, 0) + 1
        return counts

    def cases(self, size: int) -> Sequence[Case]:
        """See `Suite`."""
        if size not in self._made:
            every = self._suite.cases(size)
            sampled = [every[index] for index in selected(self._suite.groups, self._limit)]
            asked = [case for case in sampled if case.instruction.references]
            made = []
            for place, case in enumerate(asked):
                others = asked[place + 1 :] + asked[:place]
                made += variants(case, others).values()
            self._made[size] = made
        return self._made[size]


# -- Findings --------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class RoleFindings:
    """What the references of one role did, over the sampled cases.

    Attributes:
        role: Of the references.
        references: How many were tried.
        dropped: Change of the image without it, over that of another seed.
        swapped: Change with another image, over that of another seed.
        ignored: For each, whether neither change is above that of another seed.
        copied: For each, whether it is not ignored, and the image is nearer to it than to the
            target.
        confused: For each exchange with another reference, whether it changes less than another
            seed.
    """

    role: str
    references: int = 0
    dropped: list[float] = field(default_factory=list)
    swapped: list[float] = field(default_factory=list)
    ignored: list[bool] = field(default_factory=list)
    copied: list[bool] = field(default_factory=list)
    confused: list[bool] = field(default_factory=list)

    def as_dict(self) -> dict[str, float | int | str | None]:
        """Shares and medians; None where nothing could be tried."""
        return {
            "role": self.role,
            "references": self.references,
            "dropped": _median(self.dropped),
            "swapped": _median(self.swapped),
            "ignored": _share(self.ignored),
            "copied": _share(self.copied),
            "confused": _share(self.confused),
            "exchanges": len(self.confused),
        }


def findings(
    folder: Path, cases: Sequence[Case], distance: Distance = pixel_distance
) -> list[RoleFindings]:
    """What a folder's images of a `DiagnosisSuite` say, by role.

    Args:
        folder: Of the run.
        cases: Of the suite, at the model's size.
        distance: How far two images are apart.
    """
    answers = read_answers(folder)
    together: dict[str, dict[str, tuple[Case, np.ndarray]]] = defaultdict(dict)
    for index, case in enumerate(cases):
        answer = answers.get(index)
        if answer is not None and not answer.error:
            base, _, name = case.id.rpartition("~")
            together[base][name] = (case, _image(folder, answer))
    found: dict[str, RoleFindings] = {}
    for drawn in together.values():
        if {"base", "seed"} <= set(drawn):
            _add_case(found, drawn, distance)
    return list(found.values())


def _add_case(
    found: dict[str, RoleFindings],
    drawn: Mapping[str, tuple[Case, np.ndarray]],
    distance: Distance,
) -> None:
    """Adds what one case's images say."""
    case, base = drawn["base"]
    usual = max(distance(base, drawn["seed"][1]), 1e-6)
    changes = {name: distance(base, image) / usual for name, (_, image) in drawn.items()}
    roles = {m: of[0].role or "none" for m, of in references_by_marker(case.instruction).items()}
    for marker, references in references_by_marker(case.instruction).items():
        role = found.setdefault(roles[marker], RoleFindings(role=roles[marker]))
        role.references += 1
        own = []
        for kind, values in (("drop", role.dropped), ("swap", role.swapped)):
            change = changes.get(f"{kind}-{marker}")
            if change is not None:
                own.append(change)
                values.append(change)
        if own:
            role.ignored.append(max(own) < 1)
        if case.target is not None:
            size = len(base)
            shown = [np.asarray(to_square(load_image(one.image), size)) for one in references]
            nearest = min(distance(base, image) for image in shown)
            used = bool(own) and max(own) >= 1
            role.copied.append(used and nearest < distance(base, case.target))
    for name, change in changes.items():
        if name.startswith("exchange-"):
            for marker in name.split("-")[1:]:
                found[roles[int(marker)]].confused.append(change < 1)


def _image(folder: Path, answer: Answer) -> np.ndarray:
    return np.asarray(load_image(image_path(folder, answer.case.id)))


def _share(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
