"""Judges are judged: on images whose right verdict is known.

Targets are right; the target of another case is wrong; a target with one condition broken
(`evaluation.violations`) is wrong in that one; a target made worse (`evaluation.corruptions`) is of
less quality the stronger its fault is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.cases import CASE_SEED
from instruct_imagen.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted, is_seen
from instruct_imagen.evaluation.judges.base import Judge, Verdict
from instruct_imagen.evaluation.scene_changes import Props
from instruct_imagen.evaluation.suites.world_cases import world_case
from instruct_imagen.evaluation.violations import violations

TASKS = (
    "text_to_image", "text_to_image_art", "depth_to_image", "mask_to_image", "edge_to_image",
    "sketch_to_image", "styled", "subject", "face", "face_hq", "style_transfer", "style_subject",
    "multi_subject", "control_subject", "control_style", "many_conditions", "instruction_edit",
    "masked_edit", "reference_edit",
)  # fmt: skip
"""What cases are drawn of."""

SEED = CASE_SEED + 5_000
"""Neither of training nor of a suite."""

ASKED_TARGET, ASKED_OTHER, ASKED_NAMED = 0.97, 0.10, 0.95
"""Mean O of targets at least, mean SC of other targets at most, share of violations named."""

MOST_SPOILED = 48
_DRAWS = 400  # of one case, where only some are accepted


@dataclass(frozen=True, kw_only=True)
class RightAndWrong:
    """Of a group: targets, and targets of other cases.

    Attributes:
        group: The cases' group.
        count: Of cases.
        overall: Mean O of the targets.
        sc: Mean SC of the targets.
        pq: Mean PQ of the targets.
        other_sc: Mean SC of another case's target.
    """

    group: str
    count: int
    overall: float
    sc: float
    pq: float
    other_sc: float


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Of a kind of violation.

    Attributes:
        group: The cases' group.
        kind: Of the condition that is broken.
        done: What was changed.
        count: Of images.
        strict: Share in which that condition alone has the lowest score, below 1.
        joint: Share in which it is among the lowest, below 1.
        score: Its mean score.
    """

    group: str
    kind: str
    done: str
    count: int
    strict: float
    joint: float
    score: float


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """Of a fault: mean PQ of the same pictures without it and in each of `STRENGTHS`."""

    fault: str
    count: int
    pq: tuple[float, ...]

    @property
    def ordered(self) -> bool:
        """Whether PQ never rises with strength, and falls in all."""
        steps = zip(self.pq, self.pq[1:], strict=False)
        return all(one >= other for one, other in steps) and self.pq[0] > self.pq[-1]


@dataclass(frozen=True, kw_only=True)
class KnownAnswers:
    """How a judge did.

    Attributes:
        judge: Its name.
        fingerprint: Its.
        size: Side of the images.
        targets: By group.
        broken: By group, kind and change.
        spoiled: By fault.
        misses: Violations that were not named and targets below 1, in words.
    """

    judge: str
    fingerprint: str
    size: int
    targets: tuple[RightAndWrong, ...]
    broken: tuple[Broken, ...]
    spoiled: tuple[Spoiled, ...]
    misses: tuple[str, ...]

    @property
    def asked(self) -> dict[str, tuple[float, bool]]:
        """What is asked of a judge → what was measured, and whether that is enough."""
        target = _mean((row.overall, row.count) for row in self.targets)
        other = _mean((row.other_sc, row.count) for row in self.targets)
        named = _mean((row.joint, row.count) for row in self.broken)
        orderly = _mean((float(row.ordered), 1) for row in self.spoiled)
        order = {"faults in whose order PQ falls, all": (orderly, orderly == 1)}
        return {
            f"O of targets at least {ASKED_TARGET}": (target, target >= ASKED_TARGET),
            f"SC of other targets at most {ASKED_OTHER}": (other, other <= ASKED_OTHER),
            f"violations named at least {ASKED_NAMED}": (named, named >= ASKED_NAMED),
            **(order if self.spoiled else {}),
        }

    def as_json(self) -> dict[str, object]:
        """All of it, for a file."""
        return {**asdict(self), "asked": self.asked}


def _mean(pairs: Iterable[tuple[float, int]]) -> float:
    """Weighted; 0 of nothing."""
    values = list(pairs)
    total = sum(count for _, count in values)
    return sum(value * count for value, count in values) / total if total else 0.0


def known_examples(
    vocabulary: Vocabulary,
    count: int,
    *,
    tasks: Sequence[str] = TASKS,
    accept: Callable[[Example], bool] = lambda example: True,
) -> dict[str, list[Example]]:
    """`count` examples of each task that the vocabulary has what it takes for.

    Args:
        vocabulary: With the variety of its scenes.
        count: Of each.
        tasks: Some of `TASKS`.
        accept: Says which are wanted; a task of which too few are found has fewer, or is left out.
    """
    found: dict[str, list[Example]] = {}
    for number, name in enumerate(tasks):
        task = all_tasks()[name]()
        if not drawable(task, vocabulary):
            continue
        examples = []
        for index in range(_DRAWS * count):
            example = task.example(scene_rng(SEED + number, index), vocabulary)
            if accept(example):
                examples.append(example)
            if len(examples) == count:
                break
        if examples:
            found[name] = examples
    return found


def known_cases(
    examples: Mapping[str, Sequence[Example]], props: Props, size: int, *, row: str = ""
) -> list[Case]:
    """Cases of them.

    Args:
        examples: By task.
        props: Have their sprites.
        size: Side of the pictures.
        row: What their groups' names end with, e.g. ``"unseen style"``.
    """
    return [
        world_case(
            example,
            props.atlas,
            size,
            id=f"{_group(task, row)}/{index:04d}",
            group=_group(task, row),
            seed=index,
        )
        for task, some in examples.items()
        for index, example in enumerate(some)
    ]


def _group(task: str, row: str) -> str:
    return f"{task}, {row}" if row else task


def judged(
    judge: Judge, cases: Sequence[Case], props: Props, size: int, *, faults: bool = True
) -> KnownAnswers:
    """Asks a judge about images whose verdict is known.

    Args:
        judge: Who is judged.
        cases: Of `known_cases`; two or more of a group, so that there is another one.
        props: What violations are drawn from; has every sprite of the cases.
        size: Side of the cases' pictures.
        faults: Whether PQ is asked too.

    Raises:
        EvaluationError: There is no case, or a group has one alone.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.group].append(case)
    if not groups or min(map(len, groups.values())) < 2:
        raise EvaluationError("known answers need two cases or more of each group: raise the count")
    targets, broken, misses = [], [], []
    for group, some in groups.items():
        row, missed = _targets(judge, group, some)
        targets.append(row)
        rows, unnamed = _violated(judge, group, some, props, size)
        broken += rows
        misses += missed + unnamed
    return KnownAnswers(
        judge=judge.name,
        fingerprint=judge.fingerprint,
        size=size,
        targets=tuple(targets),
        broken=tuple(broken),
        spoiled=tuple(_spoiled(judge, cases)) if faults else (),
        misses=tuple(misses),
    )


def _targets(judge: Judge, group: str, cases: Sequence[Case]) -> tuple[RightAndWrong, list[str]]:
    images = [_pixels(case) for case in cases]
    right = judge.judge(cases, images)
    wrong = judge.judge(cases, [*images[1:], images[0]])
    row = RightAndWrong(
        group=group,
        count=len(cases),
        overall=float(np.mean([one.overall for one in right])),
        sc=float(np.mean([one.sc for one in right])),
        pq=float(np.mean([one.pq for one in right])),
        other_sc=float(np.mean([one.sc for one in wrong])),
    )
    missed = [
        f"{case.id}: target: {_said(one)}"
        for case, one in zip(cases, right, strict=True)
        if one.overall < 1
    ]
    return row, missed


def _pixels(case: Case) -> np.ndarray:
    if case.target is None:
        raise EvaluationError(f"case {case.id} has no target: known answers need one")
    return case.target


def _said(verdict: Verdict) -> str:
    scores = ", ".join(f"{one.condition} {one.value:g} ({one.reason})" for one in verdict.scores)
    return f"{scores}; PQ {verdict.pq:g} ({verdict.pq_reason})"


def _violated(
    judge: Judge, group: str, cases: Sequence[Case], props: Props, size: int
) -> tuple[list[Broken], list[str]]:
    asked = [
        (case, violation)
        for number, case in enumerate(cases)
        for violation in violations(case, props, scene_rng(SEED + 900, number))
    ]
    if not asked:
        return [], []
    pictures = [Picture(scene=violation.scene) for _, violation in asked]
    pixels = render_pictures(pictures, props.atlas, size).permute(0, 2, 3, 1).contiguous().numpy()
    verdicts = judge.judge([case for case, _ in asked], list(pixels))
    found: dict[tuple[str, str], list[tuple[bool, bool, float]]] = defaultdict(list)
    misses = []
    for (case, violation), verdict in zip(asked, verdicts, strict=True):
        values = {score.condition: score.value for score in verdict.scores}
        own = values[violation.condition]
        joint = own < 1 and own == min(values.values())
        strict = joint and list(values.values()).count(own) == 1
        kind = next(one.kind for one in case.conditions if one.name == violation.condition)
        found[kind, violation.done].append((strict, joint, own))
        if not joint:
            misses.append(f"{case.id}: {violation.condition}, {violation.done}: {_said(verdict)}")
    rows = [
        Broken(
            group=group,
            kind=kind,
            done=done,
            count=len(some),
            strict=float(np.mean([strict for strict, _, _ in some])),
            joint=float(np.mean([joint for _, joint, _ in some])),
            score=float(np.mean([own for _, _, own in some])),
        )
        for (kind, done), some in found.items()
    ]
    return rows, misses


def _spoiled(judge: Judge, cases: Sequence[Case]) -> list[Spoiled]:
    """PQ of up to `MOST_SPOILED` targets, spread over all cases, with each fault."""
    step = -(-len(cases) // MOST_SPOILED)
    some = list(cases[::step])
    clean = judge.judge(some, [_pixels(case) for case in some])
    found = []
    for fault in CORRUPTIONS:
        spoiled = {strength: _with_fault(some, fault, strength) for strength in STRENGTHS}
        # The same pictures in all strengths: those that show the fault in each.
        seen = [
            index
            for index, case in enumerate(some)
            if all(is_seen(_pixels(case), spoiled[one][index], one) for one in STRENGTHS)
        ]
        if not seen:
            continue
        shown = [some[index] for index in seen]
        means = [float(np.mean([clean[index].pq for index in seen]))]
        for strength in STRENGTHS:
            verdicts = judge.judge(shown, [spoiled[strength][index] for index in seen])
            means.append(float(np.mean([one.pq for one in verdicts])))
        found.append(Spoiled(fault=fault, count=len(seen), pq=tuple(means)))
    return found


def _with_fault(cases: Sequence[Case], fault: str, strength: str) -> list[np.ndarray]:
    images = [_pixels(case) for case in cases]
    others = [*images[1:], images[0]]
    return [
        corrupted(image, fault, strength, scene_rng(SEED + 800, number), other)
        for number, (image, other) in enumerate(zip(images, others, strict=True))
    ]


def table(answers: KnownAnswers) -> str:
    """All figures as lines of text."""
    lines = [f"judge {answers.judge} ({answers.fingerprint}), {answers.size} pixels", ""]
    for what, (value, enough) in answers.asked.items():
        lines.append(f"{'yes' if enough else 'NO ':3}  {value:5.3f}  {what}")
    lines += ["", f"{'targets':42} cases     O    SC    PQ  SC of others"]
    for row in answers.targets:
        numbers = f"{row.overall:5.2f} {row.sc:5.2f} {row.pq:5.2f}  {row.other_sc:5.2f}"
        lines.append(f"{row.group:42} {row.count:5d} {numbers}")
    lines += ["", f"{'violated':42} images strict joint score"]
    for kind, done in dict.fromkeys((row.kind, row.done) for row in answers.broken):
        rows = [row for row in answers.broken if (row.kind, row.done) == (kind, done)]
        means = [
            _mean((getattr(row, name), row.count) for row in rows)
            for name in ("strict", "joint", "score")
        ]
        numbers = " ".join(f"{one:5.2f}" for one in means)
        lines.append(f"{f'{kind}: {done}':42} {sum(row.count for row in rows):6d} {numbers}")
    if answers.spoiled:
        lines += ["", f"{'PQ of targets':42} images clean {' '.join(STRENGTHS)}"]
        for fault in answers.spoiled:
            numbers = " ".join(f"{one:5.2f}" for one in fault.pq)
            order = "" if fault.ordered else "  not in order"
            lines.append(f"{fault.fault:42} {fault.count:6d} {numbers}{order}")
    return "\n".join(lines)
