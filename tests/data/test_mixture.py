from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instruct_imagen.data.mixture import (
    PAPER_RATIOS,
    RESOLUTION,
    Mixture,
    MixtureError,
    assignment,
    drawable_ratios,
    integer_weights,
    left_out,
)
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.training.processes import Processes
from instruct_imagen.training.stream import StepExamples
from tests.data.people import people

STYLES = ("twemoji", "fxemoji", "noto")
WORDS = Vocabulary(
    tuple((concept, style) for concept in ("dog", "owl", "taxi") for style in STYLES)
)
PEOPLE = replace(WORDS, faces=people())
DRAWS = 20_000
TABLE_1 = {  # [Hu24] Table 1: the eleven data sets and their shares
    "text_to_image": 0.15,
    "text_to_image_art": 0.05,
    "depth_to_image": 0.06,
    "mask_to_image": 0.06,
    "edge_to_image": 0.06,
    "sketch_to_image": 0.02,
    "subject": 0.30,
    "face": 0.05,
    "face_hq": 0.05,
    "styled": 0.10,
    "style_transfer": 0.10,
}


def mixture(ratios: dict[str, float] | None = None, seed: int = 0) -> Mixture:
    return Mixture(all_tasks(), PAPER_RATIOS if ratios is None else ratios, WORDS, seed)


def test_the_mixture_is_that_of_table_1() -> None:
    assert {name: ratio for name, ratio in PAPER_RATIOS.items() if ratio > 0} == TABLE_1
    assert sum(TABLE_1.values()) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("faces", [True, False])
def test_paper_ratios_are_counted_in_the_stream(faces: bool) -> None:
    stream = Mixture(all_tasks(), PAPER_RATIOS, PEOPLE if faces else WORDS, seed=0)
    drawn = [stream.task_at(index) for index in range(DRAWS)]
    shares = TABLE_1
    if not faces:
        kept = {name: share for name, share in TABLE_1.items() if not name.startswith("face")}
        shares = {name: share / 0.90 for name, share in kept.items()}
    counts = Counter(drawn)
    assert set(counts) == set(shares)
    for name, share in shares.items():
        if faces:
            assert counts[name] == round(share * DRAWS)
        assert abs(counts[name] - share * DRAWS) <= 1
        # In every window, whatever its length and place.
        surplus = np.cumsum([0, *(task == name for task in drawn)]) - share * np.arange(DRAWS + 1)
        assert surplus.max() - surplus.min() <= 2 + 1e-9


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_processes_share_the_stream_without_repeats(count: int) -> None:
    batch, steps = 24, 5
    stream = Mixture(all_tasks(), PAPER_RATIOS, PEOPLE, seed=2)
    asked: list[int] = []
    whole = stream.examples(0, batch * steps)
    for rank in range(count):
        processes = Processes(torch.device("cpu"))
        processes.rank, processes.count = rank, count
        share = processes.share(batch)
        own = StepExamples(mixture=stream, count=batch, share=share, instruction=True)
        for step in range(steps):
            places = [step * batch + place for place in share]
            assert own[step] == [whole[place] for place in places]
            asked += places
    assert sorted(asked) == list(range(batch * steps))


def test_a_stream_that_begins_at_any_step_is_the_same() -> None:
    stream = Mixture(all_tasks(), PAPER_RATIOS, PEOPLE, seed=2)
    again = Mixture(all_tasks(), PAPER_RATIOS, PEOPLE, seed=2)
    whole = stream.examples(0, 160)
    for start in range(0, 160, 8):
        assert again.examples(start, start + 8) == whole[start : start + 8]


def test_what_the_world_lacks_is_left_out_and_named() -> None:
    ratios = {"face": 0.25, "face_hq": 0.0, "styled": 0.5, "subject": 0.25}
    assert drawable_ratios(all_tasks(), ratios, PEOPLE) == ratios
    assert left_out(all_tasks(), ratios, PEOPLE) == ()
    assert drawable_ratios(all_tasks(), ratios, WORDS) == {
        "face_hq": 0.0,
        "styled": 0.5,
        "subject": 0.25,
    }
    assert left_out(all_tasks(), ratios, WORDS) == (
        "face is left out: the world has no faces; the other tasks share its 0.25",
    )
    assert mixture(ratios).ratios == pytest.approx({"styled": 2 / 3, "subject": 1 / 3})
    # One style of faces is one set; one expression a person is none.
    alone = replace(WORDS, faces=people(("lone",)))
    assert mixture_of(alone).ratios == {"face": 1.0}
    for faces in ((), people(("lone",), each=1)[:1]):
        with pytest.raises(MixtureError, match="face cannot be drawn: the world has no faces; giv"):
            mixture_of(replace(WORDS, faces=faces))


def mixture_of(vocabulary: Vocabulary) -> Mixture:
    return Mixture(all_tasks(), {"face": 0.5, "face_hq": 0.5}, vocabulary, 0)


def test_examples_are_of_the_announced_task() -> None:
    stream = mixture({**PAPER_RATIOS, "reproduce": 0.1, "retrieval": 0.1})
    for index in range(300):
        assert stream.example(index).task == stream.task_at(index)
    assert stream.ratios["reproduce"] == pytest.approx(0.1 / 1.10)


weights_strategy = st.lists(st.integers(1, 40), min_size=1, max_size=9)


@settings(max_examples=20)
@given(weights=weights_strategy, seed=st.integers(0, 99))
def test_no_prefix_strays_by_more_than_one(weights: list[int], seed: int) -> None:
    table = assignment(weights, seed)
    period = sum(weights)
    counts = [0] * len(weights)
    for place, task in enumerate(table, start=1):
        counts[task] += 1
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count * period - weight * place) <= period
    # Whole periods, so that the repeated table is as exact as its first pass.
    assert counts == [weight * len(table) // period for weight in weights]


def test_order_varies_with_the_seed_and_along_the_stream() -> None:
    streams = (mixture(seed=seed) for seed in (0, 1))
    first, second = ([stream.task_at(i) for i in range(450)] for stream in streams)
    assert first != second
    periods = {tuple(first[start : start + 45]) for start in range(0, 450, 45)}
    assert len(periods) > 5


def test_stream_is_a_pure_function_of_seed_and_index() -> None:
    stream, again = mixture(seed=5), mixture(seed=5)
    backwards = [again.example(index) for index in reversed(range(60))]
    assert stream.examples(0, 60) == backwards[::-1]
    assert stream.examples(20, 40) == backwards[::-1][20:40]
    assert stream.examples(0, 60) != mixture(seed=6).examples(0, 60)


def test_several_targets_are_neighbours_of_one_cluster() -> None:
    ratios = {"retrieval": 0.5, "reproduce": 0.5}
    alone = Mixture(all_tasks(), ratios, WORDS, 3)
    pairs = Mixture(all_tasks(), ratios, WORDS, 3, targets=2)
    drawn = pairs.examples(0, 200)
    assert [pairs.example(index) for index in reversed(range(200))] == drawn[::-1]
    contexts = set()
    for first in range(0, 200, 2):
        one, two = drawn[first], drawn[first + 1]
        assert one.task == two.task == alone.task_at(first // 2)
        assert one.target != two.target
        if one.task == "retrieval":
            assert one.references == two.references
            contexts.add(one.references)
    assert len(contexts) == sum(example.task == "retrieval" for example in drawn) // 2


def test_targets_change_no_stream_without_clusters() -> None:
    paired = Mixture(all_tasks(), PAPER_RATIOS, WORDS, 0, targets=2)
    assert paired.examples(0, 60) == mixture().examples(0, 60)


def test_survives_a_trip_to_a_worker() -> None:
    stream = mixture(seed=5)
    assert pickle.loads(pickle.dumps(stream)).examples(90, 130) == stream.examples(90, 130)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"no_such_task": 1.0}, r"unknown task 'no_such_task'; the tasks are .*text_to_image"),
        ({"no_such_task": 0.0, "styled": 1.0}, "unknown task 'no_such_task'"),
        ({"styled": -0.1}, r"ratio of 'styled' is -0\.1; it must be 0 or more"),
        ({"styled": float("nan")}, "ratio of 'styled' is nan"),
        ({"styled": float("inf")}, "ratio of 'styled' is inf"),
        ({"styled": 0.0}, "all ratios are 0"),
        ({}, "all ratios are 0"),
        ({"styled": 1e-7, "subject": 1.0}, "ratio of 'styled' is 1e-07 of 1, less than one"),
    ],
)
def test_senseless_ratios_are_refused(ratios: dict[str, float], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        mixture(ratios)


def test_negative_index_is_refused() -> None:
    with pytest.raises(IndexError, match="index -1 of a mixture; it counts from 0"):
        mixture().example(-1)


def test_integer_weights_are_exact_where_they_can_be() -> None:
    weights = integer_weights(PAPER_RATIOS, tuple(all_tasks()))
    assert sum(weights.values()) == 100
    assert weights["subject"] == 30
    assert integer_weights({"a": 1 / 3, "b": 2 / 3}, ("a", "b")) == {"a": 1, "b": 2}


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=8))
def test_integer_weights_are_close_to_any_ratios(ratios: list[float]) -> None:
    named = {str(number): ratio for number, ratio in enumerate(ratios)}
    weights = integer_weights(named, tuple(named))
    assert sum(weights.values()) <= RESOLUTION
    for name, weight in weights.items():
        share = named[name] / sum(ratios)
        assert weight / sum(weights.values()) == pytest.approx(share, abs=1 / RESOLUTION)
