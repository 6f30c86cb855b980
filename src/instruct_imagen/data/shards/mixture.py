"""Ratios -> an endless stream of stored examples, random access by index.

Which task an index belongs to is exact, as in `data.mixture`. The examples of a task come in
epochs: each comes once before any comes again, in an order that is a pure function of (seed, task,
epoch). So a resumed run, or one with other processes, sees the same stream, and processes that
share out its indices share out the examples.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from instruct_imagen.data.example import Example, ExampleReference
from instruct_imagen.data.mixture import assignment, integer_weights
from instruct_imagen.data.shards.index import ShardIndex
from instruct_imagen.data.shards.layout import ShardError, StoredExample

_ORDERS = 2  # epochs of a task whose order is kept: a batch may lie across the end of one


class StoredMixture:
    """An endless stream of the examples of several folders of shards.

    Args:
        folders: Of shards; examples of a task may lie in several.
        ratios: Weight of each task; need not sum to 1.
        seed: Of the whole stream, at least 0.

    Attributes:
        ratios: The ratios in effect, which sum to 1, of the tasks that occur.

    Raises:
        ShardError: There is no example of a task that has a ratio.
        MixtureError: A ratio is negative or not a number, or all are 0.
    """

    def __init__(
        self, folders: Sequence[ShardIndex], ratios: Mapping[str, float], seed: int
    ) -> None:
        there = sorted({name for folder in folders for name in folder.names})
        wanted = {name: ratio for name, ratio in ratios.items() if ratio}
        lacking = [name for name in wanted if name not in there]
        if lacking:
            raise ShardError(
                f"the shards in {', '.join(str(folder.folder) for folder in folders)} have no "
                f"{' and no '.join(lacking)}, only {', '.join(there)}: build some, and name their "
                "folder too, or give the stage that draws them no images (e.g. pretrain.images=0)"
            )
        weights = integer_weights(wanted, known=there)
        self.ratios = {name: weight / sum(weights.values()) for name, weight in weights.items()}
        self.seed = seed
        self._folders = tuple(folders)
        self._names = tuple(weights)
        self._table = np.array(assignment(tuple(weights.values()), seed))
        # Of each place of the table: how many of its task stand before it.
        self._earlier = np.empty(len(self._table), np.int64)
        for task in range(len(weights)):
            own = np.flatnonzero(self._table == task)
            self._earlier[own] = np.arange(len(own))
        self._in_table = np.bincount(self._table, minlength=len(weights))
        self._numbers = [_numbers(folders, name) for name in self._names]
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def place(self, index: int) -> tuple[ShardIndex, int]:
        """The folder of the example at `index`, from 0, and its number there."""
        if index < 0:
            raise IndexError(f"index {index} of a mixture; it counts from 0")
        period, place = divmod(index, len(self._table))
        task = int(self._table[place])
        occurrence = period * int(self._in_table[task]) + int(self._earlier[place])
        numbers = self._numbers[task]
        epoch, own = divmod(occurrence, len(numbers))
        folder, number = numbers[self._order(task, epoch)[own]]
        return self._folders[folder], int(number)

    def example(self, index: int) -> Example:
        """The example at `index`, from 0; its pictures are still encoded."""
        folder, number = self.place(index)
        return example_from(folder.read(number))

    def examples(self, start: int, stop: int) -> list[Example]:
        """The examples from `start` to before `stop`: a batch."""
        return [self.example(index) for index in range(start, stop)]

    def _order(self, task: int, epoch: int) -> np.ndarray:
        key = task, epoch
        if key not in self._orders:
            for old in [one for one in self._orders if one[0] == task][: 1 - _ORDERS or None]:
                del self._orders[old]
            name = zlib.crc32(self._names[task].encode())  # not its number among others
            rng = np.random.default_rng((self.seed, name, epoch))
            self._orders[key] = rng.permutation(len(self._numbers[task]))
        return self._orders[key]


def _numbers(folders: Sequence[ShardIndex], name: str) -> np.ndarray:
    """(M, 2) int64: folder and number of each example of a task."""
    parts = [
        np.stack([np.full(len(own), folder), own], axis=1)
        for folder, own in enumerate(one.of_task(name) for one in folders)
    ]
    return np.concatenate(parts)


def example_from(stored: StoredExample) -> Example:
    """A stored example as training takes it."""
    return Example(
        task=stored.task,
        text=stored.text,
        caption=stored.caption,
        references=tuple(
            ExampleReference(marker=one.marker, text=one.text, role=one.role, picture=one.image)
            for one in stored.references
        ),
        target=stored.target,
    )
