"""The best few candidates of every query, block after block, with ties broken by id.

A candidate is one integer: its similarity, rounded to `GRID` steps a unit, above its id. So the
order is total, and what is found does not depend on how the candidates were cut into blocks: the
rounding errors of a matrix product (about 1e-7) are far below a step (about 1e-6).
"""

from __future__ import annotations

import numpy as np

GRID = 2**20
"""Steps of a similarity between 0 and 1."""

NONE = -1
"""The id where there are fewer candidates than places."""

_ID_BITS = 40  # a million million ids; leaves 23 bits and a sign for the similarity
_ID_MASK = (1 << _ID_BITS) - 1
_EMPTY = np.iinfo(np.int64).min
_COLUMNS = 512  # columns looked at together while a query has not filled its places
_PAD = 16  # rows and columns of a product are filled up to a multiple of this


def filled(ids: np.ndarray) -> np.ndarray:
    """Ids with the last one repeated until their number suits the matrix product.

    BLAS has other kernels, which round otherwise and are slower, for rows that are left over.
    """
    return np.pad(ids, (0, -len(ids) % _PAD), mode="edge")


class Best:
    """The `count` best candidates of each of `queries` queries."""

    def __init__(self, queries: int, count: int) -> None:
        self.keys = np.full((queries, count), _EMPTY, np.int64)

    def offer(
        self,
        rows: np.ndarray,
        similarity: np.ndarray,
        ids: np.ndarray,
        own: np.ndarray | None = None,
    ) -> None:
        """Takes in a block of candidates.

        Args:
            rows: (q,) places of the queries, each once.
            similarity: (q, c) float32.
            ids: (c,) int64, of the candidates; none that the same query was offered before.
            own: (q,) ids of the queries, which are not candidates of themselves; None: all are.
        """
        # Only what beats a full list is looked at; until lists are full, few columns at a time.
        step = len(ids) if (self.keys[rows] != _EMPTY).all() else _COLUMNS
        for start in range(0, len(ids), max(1, step)):
            part = slice(start, start + step)
            self._offer(rows, similarity[:, part], ids[part], own)

    def _offer(
        self, rows: np.ndarray, similarity: np.ndarray, ids: np.ndarray, own: np.ndarray | None
    ) -> None:
        kept = self.keys[rows]
        worst = kept.min(axis=1)
        least = np.where(worst == _EMPTY, -np.inf, ((worst >> _ID_BITS) - 0.6) / GRID)
        hit = np.flatnonzero((similarity >= least.astype(np.float32)[:, None]).ravel())
        query, column = np.divmod(hit, len(ids))
        if own is not None:
            others = ids[column] != own[query]
            hit, query, column = hit[others], query[others], column[others]
        if not len(hit):
            return
        steps = np.rint(similarity.ravel()[hit] * GRID).astype(np.int64)
        key = (steps << _ID_BITS) | (_ID_MASK - ids[column])
        counts = np.bincount(query, minlength=len(rows))
        place = np.arange(len(hit)) - (np.cumsum(counts) - counts)[query]
        touched = np.flatnonzero(counts)
        where = np.cumsum(counts > 0) - 1
        count = kept.shape[1]
        table = np.full((len(touched), count + counts.max()), _EMPTY, np.int64)
        table[:, :count] = kept[touched]
        table[where[query], count + place] = key
        table.partition(table.shape[1] - count, axis=1)
        self.keys[rows[touched]] = table[:, -count:]

    def found(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids (queries, count) int64 and similarities float32, best first, then by id.

        Where there were too few candidates the id is `NONE` and the similarity -inf.
        """
        keys = np.sort(self.keys, axis=1)[:, ::-1]
        none = keys == _EMPTY
        ids = np.where(none, NONE, _ID_MASK - (keys & _ID_MASK))
        similarity = ((keys >> _ID_BITS) / GRID).astype(np.float32)
        return ids, np.where(none, np.float32(-np.inf), similarity)
