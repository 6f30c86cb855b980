"""Which numbers belong together, given pairs that do."""

from __future__ import annotations

from array import array

import numpy as np


class UnionFind:
    """Disjoint groups of the numbers 0 to `count` - 1; near constant time a pair."""

    def __init__(self, count: int) -> None:
        self._parent = array("q", range(count))

    def find(self, number: int) -> int:
        """The smallest number of the group that holds `number`."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]  # halves the way for whoever comes next
            number = parent[number]
        return number

    def union(self, one: int, other: int) -> bool:
        """Makes one group of two; False if they are one already."""
        first, second = sorted((self.find(one), self.find(other)))
        # The smaller number stays the root: the result is the same in whatever order pairs come.
        self._parent[second] = first
        return first != second

    def roots(self) -> np.ndarray:
        """The smallest number of each number's group: (count,) int64."""
        count = len(self._parent)
        return np.fromiter((self.find(number) for number in range(count)), np.int64, count)
