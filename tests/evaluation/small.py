"""A real suite, judge and models that are small: our own drawings, and agreement of pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import numpy as np
from PIL import Image

from instruct_imagen.data.example import Example
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.cases import CASE_SEED
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.suites.world_cases import world_case
from instruct_imagen.images import load_image
from instruct_imagen.instruction import Instruction

GROUPS = ("text_to_image", "edge_to_image", "subject", "style_transfer", "style_subject")


class SmallSuite:
    """A few cases of the paper's tasks from our own drawings."""

    version = 1

    def __init__(self, each: int = 2, groups: Sequence[str] = GROUPS, name: str = "small") -> None:
        self.name = name
        self.groups = {group: each for group in groups}
        self.sha256 = hashlib.sha256(f"{name} {self.groups}".encode()).hexdigest()

    def cases(self, size: int) -> Sequence[Case]:
        return [case for group, each in self.groups.items() for case in _cases(group, each, size)]

    def roles(self, groups: Sequence[str] = ()) -> frozenset[frozenset[str]]:
        return frozenset(
            frozenset(one.role for one in case.instruction.references if one.role)
            for case in self.cases(32)
            if not groups or case.group in groups
        )


@cache
def _cases(group: str, each: int, size: int) -> tuple[Case, ...]:
    task, vocabulary = all_tasks()[group](), fallback_vocabulary()
    examples: list[Example] = [
        task.example(scene_rng(CASE_SEED + 7, index), vocabulary) for index in range(each)
    ]
    return tuple(
        world_case(
            example, fallback_atlas(), size, id=f"{group}/{n:04d}", group=group, seed=100 + n
        )
        for n, example in enumerate(examples)
    )


class PixelJudge:
    """Scores agreement of pixels with the target, for every condition alike."""

    name: ClassVar[str] = "pixels"
    about: ClassVar[str] = "agreement of pixels with the target"

    def __init__(self, strict: float = 1.0) -> None:
        self.strict = strict

    @property
    def fingerprint(self) -> str:
        return f"pixels {self.strict}"

    def judge(self, cases: Sequence[Case], images: Sequence[np.ndarray]) -> list[Verdict]:
        return [self._one(case, image) for case, image in zip(cases, images, strict=True)]

    def _one(self, case: Case, image: np.ndarray) -> Verdict:
        distance = float(np.abs(image.astype(int) - case.target.astype(int)).mean() / 255)
        value = 1.0 if distance * self.strict < 0.05 else 0.5 if distance * self.strict < 0.2 else 0
        scores = tuple(
            Score(
                condition=one.name,
                value=float(value),
                reason=f"{distance:.2f} of the range away from the target",
                measures={"distance": distance},
            )
            for one in case.conditions
        )
        quality = 0.5 if image.std() > 8 else 0.0
        return Verdict(scores=scores, pq=quality, pq_reason="contrast", measures={})


class Painter:
    """A model: the mean colour of the references, and noise of its seed."""

    name: ClassVar[str] = "painter"
    size = 16
    raw_inputs = False

    def __init__(self, fingerprint: str = "painter", broken: str = "", noise: int = 20) -> None:
        self.fingerprint, self._broken, self._noise = fingerprint, broken, noise

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        if self._broken and self._broken in instruction.text:
            raise RuntimeError(f"cannot draw\n{self._broken}")
        colours = [np.asarray(load_image(r.image)).mean((0, 1)) for r in instruction.references]
        base = np.mean(colours, axis=0) if colours else np.full(3, 128.0)
        noise = np.random.default_rng(seed).normal(0, self._noise, (self.size, self.size, 3))
        return Image.fromarray((base + noise).clip(0, 255).astype(np.uint8))


class BatchPainter(Painter):
    """The same in batches, which fail as a whole."""

    name: ClassVar[str] = "batch_painter"
    batch_size = 3

    def generate_batch(
        self, instructions: Sequence[Instruction], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        return [self.generate(one, seed=s) for one, s in zip(instructions, seeds, strict=True)]


class Raw(Painter):
    """One of raw inputs."""

    name: ClassVar[str] = "raw"
    raw_inputs = True
