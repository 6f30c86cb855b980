"""Draws the cases of a suite: deterministic, far from training, and none that cannot be judged."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count as counted

import numpy as np

from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.cases import CASE_SEED
from instruct_imagen.evaluation.suites import vocabularies
from instruct_imagen.evaluation.suites.composition import EVERY_SUITE, VERSION, Row, World
from instruct_imagen.evaluation.suites.fidelity import styled_fidelity, subject_fidelity
from instruct_imagen.evaluation.suites.legible import fault
from instruct_imagen.evaluation.suites.no_op import no_op
from instruct_imagen.evaluation.suites.storage import StoredCase
from instruct_imagen.evaluation.suites.styled_grid import styled_grid
from instruct_imagen.evaluation.suites.world_cases import sprites_of

SUITE_SEED = CASE_SEED + 2**32 * VERSION
"""Seeds of trainings are 16 times the recipe's and a little more: a recipe's seed would have to be
2³⁶ or more to reach these, and those of the sheets end long before."""

Maker = Callable[[np.random.Generator, Vocabulary], tuple[Example, ...]]

MAKERS: Mapping[str, Maker] = {
    "no_op": lambda rng, vocabulary: (no_op(rng, vocabulary),),
    "styled_grid": styled_grid,
    "subject_fidelity": subject_fidelity,
    "styled_fidelity": styled_fidelity,
}
"""What draws cases besides the tasks. Examples of one draw are kept or left out together."""

WORLDS: Mapping[World, Callable[[], Vocabulary]] = {
    "seen": vocabularies.seen,
    "unseen concepts": vocabularies.unseen_concepts,
    "unseen style": vocabularies.with_unseen_style,
    "few concepts": vocabularies.few_concepts,
}
UNSEEN_OF: Mapping[World, str] = {
    "seen": "",
    "unseen concepts": "concept",
    "unseen style": "style",
    "few concepts": "",
}

_AHEAD = 64  # draws that are looked at together: their sprites are fetched at once
_MOST_DRAWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A suite that was drawn.

    Attributes:
        cases: In the order of its table.
        left_out: Why draws were left out → how many.
    """

    cases: tuple[StoredCase, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def draw_suite(name: str) -> Drawn:
    """Draws a suite of `EVERY_SUITE`.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    found: dict[str, list[tuple[Row, Example]]] = {}
    left_out: Counter[str] = Counter()
    taken: set[tuple[str, Picture]] = set()
    for number, row in enumerate(EVERY_SUITE[name]):
        draws = _kept_draws(row, row_seed(name, number), taken, left_out)
        for _ in range(row.count):
            for group, example in zip((row.group, row.twin), next(draws), strict=False):
                found.setdefault(group, []).append((row, example))
    return Drawn(cases=tuple(_cases(name, found)), left_out=dict(left_out))


def row_seed(name: str, number: int) -> int:
    """The seed of the scenes of a row of a suite."""
    return SUITE_SEED + 1000 * list(EVERY_SUITE).index(name) + number


def _cases(name: str, found: Mapping[str, list[tuple[Row, Example]]]) -> Iterator[StoredCase]:
    """With names, seeds and pairs."""
    for group, members in found.items():
        for number, (row, example) in enumerate(members):
            # A prompt without its references has the noise of that with them.
            first = f"{row.group}/{number:04d}"
            yield StoredCase(
                id=f"{group}/{number:04d}",
                group=group,
                seed=_noise_seed(f"{name}/{VERSION}/{first}"),
                unseen=UNSEEN_OF[row.world],
                pair=f"{row.twin}/{number:04d}" if row.twin and group == row.group else "",
                example=example,
            )


def _noise_seed(key: str) -> int:
    """Of the model's noise, from 0 to 2³¹ - 1."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") >> 1


def _kept_draws(
    row: Row, seed: int, taken: set[tuple[str, Picture]], left_out: Counter[str]
) -> Iterator[tuple[Example, ...]]:
    """What can be judged and is new; single examples of a draw that gives several for the group."""
    vocabulary = WORLDS[row.world]()
    kept = 0
    for first in counted(0, _AHEAD):
        draws = []
        for index in range(first, first + _AHEAD):
            if index >= _MOST_DRAWS:
                raise ValueError(f"{row}: too few of {_MOST_DRAWS} draws can be judged")
            maker = row.makers[index % len(row.makers)]
            draws.append(_made(maker)(scene_rng(seed, index), vocabulary))
        draws = [draw for draw in draws if all(_suits(row, one) for one in draw)]
        sprites = set().union(*(sprites_of(one) for draw in draws for one in draw))
        atlas = Atlas.build(sorted(sprites)) if draws else None
        for draw in draws:
            reasons = [reason for one in draw if (reason := fault(one, atlas))]
            keys = {(one.text, one.target) for one in draw}
            if not reasons and (keys & taken or len(keys) < len(draw)):
                reasons = ["drawn before"]
            if reasons:
                left_out[reasons[0]] += 1
                continue
            taken |= keys
            kept += len(draw)
            if row.twin:
                yield draw
            else:
                yield from ((one,) for one in draw)


@lru_cache(maxsize=64)
def _made(name: str) -> Maker:
    if name in MAKERS:
        return MAKERS[name]
    task = all_tasks()[name]()
    return lambda rng, vocabulary: (task.example(rng, vocabulary),)


def _suits(row: Row, example: Example) -> bool:
    """Whether an example has as many markers, and its target the style, as the row asks."""
    if row.markers and len({one.marker for one in example.references}) != row.markers:
        return False
    styles = {asset.style for asset in example.target.scene.placements}
    return row.world != "unseen style" or styles == {holdout().style}
