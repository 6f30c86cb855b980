from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from instruct_imagen.data.clusters.union_find import UnionFind


def grouped(count: int, pairs: np.ndarray) -> np.ndarray:
    groups = UnionFind(count)
    for one, other in pairs.tolist():
        groups.union(one, other)
    return groups.roots()


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(1, 20))
    number = st.integers(0, count - 1)
    return count, draw(st.lists(st.tuples(number, number), max_size=30))


def reachable(count: int, pairs: list[tuple[int, int]], start: int) -> set[int]:
    seen, waiting = {start}, [start]
    while waiting:
        one = waiting.pop()
        for pair in pairs:
            if one in pair:
                waiting += set(pair) - seen
                seen |= set(pair)
    return seen


@given(graphs(), st.randoms())
def test_groups_are_what_pairs_reach_whatever_their_order(graph, random) -> None:
    count, pairs = graph
    roots = grouped(count, np.array(pairs, np.int64).reshape(-1, 2))
    assert roots.tolist() == [min(reachable(count, pairs, one)) for one in range(count)]
    turned = [pair[::-1] for pair in pairs]
    random.shuffle(turned)
    again = grouped(count, np.array(turned, np.int64).reshape(-1, 2))
    assert (again == roots).all()


@given(graphs())
def test_union_says_whether_two_groups_became_one(graph) -> None:
    count, pairs = graph
    groups = UnionFind(count)
    joined = sum(groups.union(one, other) for one, other in pairs)
    assert len(set(groups.roots().tolist())) == count - joined
    for one, other in pairs:
        assert groups.find(one) == groups.find(other)


def test_a_long_chain_is_one_group() -> None:
    chain = np.stack([np.arange(50_000)[::-1][1:], np.arange(50_000)[::-1][:-1]], axis=1)
    assert not grouped(50_000, chain).any()
