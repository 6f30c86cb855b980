"""Stored examples in any order: where they lie, and the stream that ratios make of them."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.corpora.records import StoredImage
from instruct_imagen.data.mixture import MixtureError
from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.index import INDEX, index_shards
from instruct_imagen.data.shards.layout import ShardError
from instruct_imagen.data.shards.mixture import StoredMixture, example_from
from instruct_imagen.data.shards.reading import read_shards
from instruct_imagen.images import ImageError
from tests.data.shards.jobs import EXAMPLES, files_of, small_job

TASKS = {"styled": 3.0, "subject": 2.0, "text_to_image": 1.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Two folders: 40 examples of three tasks, and 7 of one of them."""
    root = tmp_path_factory.mktemp("stored")
    build_shards(root / "three", small_job(ratios=TASKS))
    build_shards(root / "styled", small_job(ratios={"styled": 1.0}, examples=7, seed=4))
    return [root / "three", root / "styled"]


@pytest.fixture(scope="module")
def indices(folders):
    return [index_shards(folder) for folder in folders]


def test_any_example_is_read_as_the_stream_gives_it(folders, indices):
    whole = list(read_shards(folders[0]))
    assert len(indices[0]) == len(whole) == EXAMPLES
    for number in reversed(range(EXAMPLES)):
        found = indices[0].read(number)
        assert found == whole[number]
        assert indices[0].names[indices[0].tasks[number]] == found.task
    assert indices[0].names == ("styled", "subject", "text_to_image")
    assert indices[0].markers == 1
    assert len(indices[0].of_task("mask_to_image")) == 0
    assert indices[0].combinations == dict.fromkeys(indices[0].names, frozenset())
    for number in (-1, EXAMPLES):
        with pytest.raises(IndexError):
            indices[0].read(number)


def test_what_lies_elsewhere_than_the_index_says_is_named(indices):
    one = indices[0]
    for wrong in (
        replace(one, starts=np.roll(one.starts, 1), stops=np.roll(one.stops, 1)),
        replace(one, stops=one.starts),
        replace(one, stops=np.roll(one.stops, -1)),
    ):
        with pytest.raises(ShardError, match=r"where 000000004 belongs: delete .*index\.npz"):
            wrong.read(4)


def test_the_index_is_kept_and_found_anew_where_it_does_not_fit(tmp_path, folders, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(folders[0], folder, ignore=shutil.ignore_patterns(INDEX))
    before = index_shards(folder)
    assert (folder / INDEX).stat().st_size < 4_000
    kept = (folder / INDEX).read_bytes()
    checked = []
    name = "instruct_imagen.data.shards.index.check_shard"
    monkeypatch.setattr(name, lambda *_: checked.append(1))
    assert np.array_equal(index_shards(folder).starts, before.starts) and not checked
    (folder / INDEX).write_bytes(kept[:100])
    assert np.array_equal(index_shards(folder).starts, before.starts) and len(checked) == 5
    assert (folder / INDEX).read_bytes() == kept
    shutil.copy(folders[1] / INDEX, folder / INDEX)  # of other shards
    assert np.array_equal(index_shards(folder).stops, before.stops) and len(checked) == 10


def test_the_index_changes_nothing_for_the_build_and_its_check(tmp_path):
    build_shards(tmp_path / "a", small_job(examples=4, shard=2))
    index_shards(tmp_path / "a")
    before = files_of(tmp_path / "a")
    build_shards(tmp_path / "a", small_job(examples=4, shard=2))
    assert files_of(tmp_path / "a") == before


def test_damaged_and_missing_shards_are_named(tmp_path, folders):
    for number, damage in enumerate(("flip", "cut", "gone")):
        folder = tmp_path / damage
        shutil.copytree(folders[0], folder, ignore=shutil.ignore_patterns(INDEX))
        path = folder / f"0000{number}.tar"
        content = bytearray(path.read_bytes())
        if damage == "flip":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        elif damage == "cut":
            index_shards(folder)  # its length is looked at each time
            path.write_bytes(content[:-512])
        else:
            path.unlink()
        with pytest.raises(ShardError, match=rf"0000{number}\.tar is (damaged|missing)"):
            index_shards(folder)
    with pytest.raises(ShardError, match="is no folder"):
        index_shards(tmp_path / "nowhere")


def test_ratios_are_exact_and_each_example_comes_once_an_epoch(indices):
    mixture = StoredMixture(indices, TASKS, seed=5)
    drawn = [mixture.place(index) for index in range(600)]
    names = [folder.names[folder.tasks[number]] for folder, number in drawn]
    for end in range(1, 601, 7):
        counts = Counter(names[:end])
        for name, ratio in mixture.ratios.items():
            assert abs(counts[name] - ratio * end) <= 1
    for name in TASKS:
        own = [pair for pair, task in zip(drawn, names, strict=True) if task == name]
        there = {(folder, int(n)) for folder in indices for n in folder.of_task(name)}
        epochs = [own[k : k + len(there)] for k in range(0, len(own), len(there))]
        assert len(epochs) > 3 and all(set(epoch) == there for epoch in epochs[:-1])
        assert epochs[0] != epochs[1]
    assert len({folder.folder for folder, _ in drawn}) == 2


def test_the_stream_is_a_function_of_seed_and_index(indices):
    ahead = StoredMixture(indices, TASKS, seed=5)
    whole = [ahead.place(index) for index in range(200)]
    for index in (199, 3, 64, 0, 130, 65):  # as other workers, or a run that goes on, ask
        assert StoredMixture(indices, TASKS, seed=5).place(index) == whole[index]
        assert ahead.place(index) == whole[index]
    assert [StoredMixture(indices, TASKS, seed=6).place(i) for i in range(200)] != whole
    # The order of a task does not depend on what else there is.
    alone = StoredMixture(indices, {"styled": 1.0}, seed=5)
    styled = [pair for pair in whole if pair[0].names[pair[0].tasks[pair[1]]] == "styled"]
    assert [alone.place(index) for index in range(len(styled))] == styled


def test_a_task_that_no_shard_has_is_named(indices):
    StoredMixture(indices, {**TASKS, "reproduce": 0.0}, seed=0)
    with pytest.raises(ShardError, match=r"styled have no depth_to_image and no face, onl"):
        StoredMixture(indices, {**TASKS, "depth_to_image": 1.0, "face": 0.5}, seed=0)
    with pytest.raises(MixtureError, match="is -1"):
        StoredMixture(indices, {"styled": -1.0, "subject": 1.0}, seed=0)


def test_a_batch_of_stored_examples_is_that_of_the_drawn_ones(folders, indices):
    job = small_job(ratios=TASKS)
    drawn = job.mixture().examples(0, EXAMPLES)
    kept = [example_from(indices[0].read(number)) for number in range(EXAMPLES)]
    flags = {
        "drop_text": [n % 3 == 0 for n in range(40)],
        "drop_context": [n % 5 == 0 for n in range(40)],
    }
    expected, found = (make_batch(one, job.atlas, 16, **flags) for one in (drawn, kept))
    for name, value in vars(expected).items():
        other = getattr(found, name)
        assert value.equal(other) if hasattr(value, "equal") else value == other, name
    mixed = make_batch([*drawn[:3], *kept[3:]], job.atlas, 16, **flags)
    assert mixed.targets.equal(expected.targets)
    assert mixed.reference_images.equal(expected.reference_images)


def test_pictures_that_do_not_fit_are_named(indices):
    job = small_job()
    example = example_from(indices[0].read(2))
    assert isinstance(example.target, StoredImage)
    with pytest.raises(ImageError, match=r"000000002\.target\.png: 16 × 16 pixels, and 32 are"):
        make_batch([example], job.atlas, 32)
