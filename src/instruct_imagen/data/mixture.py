"""Ratios -> an endless stream of examples, random access by index.

Which task an index belongs to is no coin toss: the assignment is exact. In any prefix of n
examples each task occurs within 1 of ratio · n, so in any window within 2, whatever the batch size;
the order is shuffled as far as that allows. (Where examples of a cluster share their references,
all this holds of their groups.) The example at an index is a pure function of (seed, index), so a
resumed run, or one with other workers, sees the same stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import ceil, gcd, isfinite
from typing import TYPE_CHECKING

import numpy as np

from instruct_imagen.data.example import Example
from instruct_imagen.data.tasks.base import ClusterTask, PartialTask
from instruct_imagen.data.world.scenes import scene_rng

if TYPE_CHECKING:
    from instruct_imagen.data.tasks.base import Task
    from instruct_imagen.data.world.vocabulary import Vocabulary

# [Hu24] §3.2, the mixture of stage 2: eleven data sets in five families, which sum to 1. Txt2Img is
# natural images and WikiArt; the faces are CelebA and CelebA-HQ. `reproduce` is a warm-up of ours.
PAPER_RATIOS: Mapping[str, float] = {
    "text_to_image": 0.15,
    "depth_to_image": 0.06,
    "mask_to_image": 0.06,
    "edge_to_image": 0.06,
    "subject": 0.30,
    "styled": 0.10,
    "style_transfer": 0.10,
    "sketch_to_image": 0.02,
    "text_to_image_art": 0.05,
    "face": 0.05,
    "face_hq": 0.05,
    "reproduce": 0.0,
}

# Ratios are resolved to one part in this many.
RESOLUTION = 10_000
# Length of the table of assignments is at least this, so that its repetition goes unnoticed.
TABLE = 4_096
SWEEPS = 8


class MixtureError(ValueError):
    """Ratios that make no mixture; the message says which and why."""


class Mixture:
    """An endless stream of examples of several tasks.

    Tasks that the vocabulary has not what it takes for are left out; see `left_out`.

    Args:
        tasks: What makes each task, by name, e.g. the classes of `tasks.all_tasks()`.
        ratios: Weight of each task; need not sum to 1. A task that is not named has 0.
        vocabulary: What may be drawn.
        seed: Seed of the whole stream, at least 0.
        targets: Where a task's examples can share their references, tasks are assigned to so many
            indices in a row, and examples of one cluster stand there.

    Attributes:
        ratios: The ratios in effect, which sum to 1, of the tasks that occur.

    Raises:
        MixtureError: A ratio names no task, is negative or not a number, or no task is left.
    """

    def __init__(
        self,
        tasks: Mapping[str, Callable[[], Task]],
        ratios: Mapping[str, float],
        vocabulary: Vocabulary,
        seed: int,
        targets: int = 1,
    ) -> None:
        integer_weights(ratios, known=tuple(tasks))  # what is wrong with them as they were given
        weights = integer_weights(drawable_ratios(tasks, ratios, vocabulary), known=tuple(tasks))
        self.ratios = {name: weight / sum(weights.values()) for name, weight in weights.items()}
        self.vocabulary = vocabulary
        self.seed = seed
        self._tasks = [tasks[name]() for name in weights]
        self._targets = targets if any(isinstance(t, ClusterTask) for t in self._tasks) else 1
        self._table = assignment(tuple(weights.values()), seed)

    def task_at(self, index: int) -> str:
        """Name of the task of the example at `index`, from 0."""
        return self._task(index).name

    def example(self, index: int) -> Example:
        """The example at `index`, from 0; equal for equal (seed, index)."""
        task, member = self._task(index), index % self._targets
        if isinstance(task, ClusterTask):
            rng = scene_rng(self.seed, index - member)
            return task.cluster_examples(rng, self.vocabulary)[member]
        return task.example(scene_rng(self.seed, index), self.vocabulary)

    def examples(self, start: int, stop: int) -> list[Example]:
        """The examples from `start` to before `stop`: a batch."""
        return [self.example(index) for index in range(start, stop)]

    def _task(self, index: int) -> Task:
        if index < 0:
            raise IndexError(f"index {index} of a mixture; it counts from 0")
        return self._tasks[self._table[index // self._targets % len(self._table)]]


def drawable_ratios(
    tasks: Mapping[str, Callable[[], Task]], ratios: Mapping[str, float], vocabulary: Vocabulary
) -> dict[str, float]:
    """The ratios without tasks that cannot be drawn from the vocabulary.

    Raises:
        MixtureError: None is left.
    """
    missing = _undrawable(tasks, ratios, vocabulary)
    kept = {name: ratio for name, ratio in ratios.items() if name not in missing}
    if missing and not any(ratio > 0 for ratio in kept.values()):
        name, needs = next(iter(missing.items()))
        raise MixtureError(
            f"{name} cannot be drawn: the world has no {needs}; give another task a ratio above 0"
        )
    return kept


def left_out(
    tasks: Mapping[str, Callable[[], Task]], ratios: Mapping[str, float], vocabulary: Vocabulary
) -> tuple[str, ...]:
    """A line for each task that `drawable_ratios` takes out."""
    return tuple(
        f"{name} is left out: the world has no {needs}; the other tasks share its {ratios[name]:g}"
        for name, needs in _undrawable(tasks, ratios, vocabulary).items()
    )


def _undrawable(
    tasks: Mapping[str, Callable[[], Task]], ratios: Mapping[str, float], vocabulary: Vocabulary
) -> dict[str, str]:
    """What each task with a ratio above 0 lacks that cannot be drawn."""
    found = {}
    for name, ratio in ratios.items():
        task = tasks[name]() if ratio > 0 and name in tasks else None
        if isinstance(task, PartialTask) and not task.drawable(vocabulary):
            found[name] = task.needs
    return found


def integer_weights(ratios: Mapping[str, float], known: Sequence[str]) -> dict[str, int]:
    """Whole numbers in the proportion of the ratios, without common divisor.

    Args:
        ratios: Weights by task, at least 0.
        known: The tasks that there are.

    Returns:
        Weights of the tasks that occur, which sum to at most `RESOLUTION`; exact where the
        ratios have a common unit that coarse, else to the nearest part in `RESOLUTION`.

    Raises:
        MixtureError: See `Mixture`.
    """
    for name, ratio in ratios.items():
        if name not in known:
            raise MixtureError(
                f"ratio of unknown task {name!r}; the tasks are {', '.join(sorted(known))}"
            )
        if not isfinite(ratio) or ratio < 0:
            raise MixtureError(f"ratio of {name!r} is {ratio}; it must be 0 or more")
    positive = {name: float(ratio) for name, ratio in ratios.items() if ratio > 0}
    total = sum(positive.values())
    if not positive:
        raise MixtureError("all ratios are 0; give at least one task a ratio above 0")
    shares = np.array(list(positive.values())) / total
    # The smallest period that holds every ratio exactly, as the paper's 45 does.
    periods = np.arange(len(positive), RESOLUTION + 1)
    exact = shares * periods[:, None]
    fits = abs(np.rint(exact) - exact).max(axis=1) < 1e-9 * periods
    if fits.any():
        weights = np.rint(exact[fits.argmax()])
    else:
        exact = exact[-1]
        weights = np.floor(exact)
        largest = np.argsort(weights - exact, kind="stable")  # of what rounding down left over
        weights[largest[: RESOLUTION - int(weights.sum())]] += 1
    if not weights.all():
        name = list(positive)[int(np.argmin(weights))]
        raise MixtureError(
            f"ratio of {name!r} is {positive[name]} of {total:g}, less than one example in "
            f"{RESOLUTION}; raise it, or set it to 0"
        )
    divisor = reduce(gcd, (int(weight) for weight in weights))
    return {name: int(weight) // divisor for name, weight in zip(positive, weights, strict=True)}


def assignment(weights: Sequence[int], seed: int) -> list[int]:
    """Which task each index of a period belongs to.

    Earliest deadline first gives an order in which every task stays within 1 of its share in every
    prefix (Tijdeman's chairman assignment). Swaps of neighbours that keep this then shuffle it.

    Args:
        weights: Whole numbers above 0, one a task.
        seed: Seed of the shuffle.

    Returns:
        Numbers of tasks; a whole number of periods, at least `TABLE` long, exact in count.
    """
    period = sum(weights)
    length = period * ceil(TABLE / period)
    done = [0] * len(weights)
    table = []
    for place in range(length):
        # Occurrence j (from 0) may not come before j / share, and must come before (j + 1) / share.
        due = [
            (-(-(count + 1) * period // weight), task)
            for task, (count, weight) in enumerate(zip(done, weights, strict=True))
            if count * period < (place + 1) * weight
        ]
        task = min(due)[1]
        done[task] += 1
        table.append(task)

    rng = np.random.default_rng(seed)
    for _ in range(SWEEPS):
        counts = [0] * len(weights)
        swap = (rng.random(length) < 0.5).tolist()
        for place in range(length - 1):
            first, second = table[place], table[place + 1]
            # Deviation at the prefix that the swap changes, times the period.
            missing = (place + 1) * weights[first] - counts[first] * period
            surplus = (counts[second] + 1) * period - (place + 1) * weights[second]
            if swap[place] and missing <= period and surplus <= period:
                table[place], table[place + 1] = second, first
            counts[table[place]] += 1
    return table
