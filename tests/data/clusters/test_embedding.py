"""Embedding a part, the store of vectors, and pictures and captions in one."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruct_imagen.data.clusters.embedding import embed_part, embed_texts, joint
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.vector_store import FILE, VectorStore
from instruct_imagen.data.corpora.base import EntryError
from tests.data.clusters.pictures import Shelf, packed, scene


class Means:
    """Embeds a picture as its mean colour; counts what it is asked."""

    width, batch_size, view = 3, 2, 20

    def __init__(self, fingerprint: str = "means") -> None:
        self.fingerprint = fingerprint
        self.seen: list[tuple[int, int]] = []

    def __call__(self, pictures):
        assert len(pictures) <= self.batch_size
        self.seen += [one.size for one in pictures]
        rows = np.stack([np.asarray(one).mean((0, 1)) for one in pictures]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Lengths:
    """Embeds a text as the angle of its length; counts what it is asked."""

    width = 2

    def __init__(self) -> None:
        self.fingerprint = "lengths"
        self.seen: list[str] = []

    def __call__(self, texts):
        self.seen += texts
        angles = np.array([len(text) for text in texts], np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rows_on(shelf):
    return [
        shelf.row("a", scene(0, (90, 50)), "one"),
        shelf.row("b", scene(1, (20, 20)), "three"),
        shelf.row("c", scene(0, (90, 50)), "one"),
        shelf.row("d", packed(scene(3))[:-30], "broken"),
        shelf.row("e", scene(4, (300, 59)), "fourteen"),
    ]


def test_a_part_becomes_vectors_and_what_is_lost_is_counted():
    shelf, encoder, words = Shelf(), Means(), Lengths()
    rows = rows_on(shelf)
    found = embed_part(rows, shelf.load, encoder, words)
    assert [row.key for row in found.rows] == ["a", "b", "c", "e"]
    assert found.images.dtype == found.texts.dtype == np.float16
    assert found.images.shape == (4, 3) and found.texts.shape == (4, 2)
    assert (found.images[0] == found.images[2]).all()
    mean = np.asarray(scene(1, (20, 20))).mean((0, 1))
    assert np.allclose(found.images[1], mean / np.linalg.norm(mean), atol=1e-3)
    assert np.allclose(found.texts[:, 0], np.cos([3, 5, 3, 8]), atol=1e-3)
    assert found.tally.counts == {"broken image": 1}
    # Equal images are decoded once; large ones come smaller, their shorter side from 20 to 39.
    assert shelf.loaded == ["a", "b", "d", "e"] and encoder.seen == [(45, 25), (20, 20), (150, 30)]
    assert words.seen == ["one", "three", "fourteen"]
    assert embed_part(rows, shelf.load, encoder).texts is None


def test_a_second_run_reads_and_does_not_decode(tmp_path):
    shelf = Shelf()
    rows = rows_on(shelf)
    store = VectorStore(tmp_path / "deep/store")
    first = embed_part(rows, shelf.load, Means(), Lengths(), store)
    encoder, words = Means(), Lengths()
    shelf.loaded.clear()
    again = embed_part(rows, shelf.load, encoder, words, VectorStore(tmp_path / "deep/store"))
    assert (again.images == first.images).all() and (again.texts == first.texts).all()
    assert again.rows == first.rows and again.tally == first.tally
    assert shelf.loaded == ["d"] and encoder.seen == [] and words.seen == []
    other = Means("other weights")
    embed_part(rows, shelf.load, other, None, store)
    assert len(other.seen) == 3 and len(store) == 3 + 3 + 3


def test_an_image_that_changed_is_not_kept_under_the_old_name(tmp_path):
    shelf, store = Shelf(), VectorStore(tmp_path)
    rows = rows_on(shelf)[:2]
    shelf.data["b"] = packed(scene(9))
    found = embed_part(rows, shelf.load, Means(), None, store)
    assert [row.key for row in found.rows] == ["a"] and len(store) == 1
    assert found.tally.counts == {"file has changed": 1}
    shelf.data["b"] = EntryError("gone", "file has changed")
    assert embed_part(rows, shelf.load, Means(), None, store).tally.lines == ("b: gone",)


def test_empty_parts_have_empty_vectors():
    found = embed_part([], Shelf().load, Means(), Lengths())
    assert found.images.shape == (0, 3) and found.texts.shape == (0, 2)
    assert embed_texts([], Lengths()).shape == (0, 2)


def test_a_store_keeps_what_it_is_given(tmp_path):
    store = VectorStore(tmp_path)
    names = [f"{n:064x}" for n in range(1203)]
    vectors = np.random.default_rng(0).normal(size=(1203, 5)).astype(np.float16)
    store.write("x", dict(zip(names, vectors, strict=True)))
    found = store.read("x", [*names, "f" * 64], 5)
    assert set(found) == set(names)
    assert all((found[name] == one).all() for name, one in zip(names, vectors, strict=True))
    assert store.read("y", names, 5) == {} == store.read("x", names, 4)
    store.write("x", {names[0]: vectors[1]})
    assert (store.read("x", names[:1], 5)[names[0]] == vectors[1]).all() and len(store) == 1203


def test_what_is_not_finished_is_not_kept(tmp_path):
    store = VectorStore(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as killed:
        killed.execute("BEGIN IMMEDIATE")
        killed.execute("INSERT INTO vectors VALUES (x'00', x'0000')")
        killed.rollback()
    killed.close()
    assert len(store) == 0

    def broken():
        yield "0" * 64, np.zeros(3, np.float16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write("x", dict(broken()))
    assert len(VectorStore(tmp_path)) == 0


def test_a_damaged_store_is_named(tmp_path):
    (tmp_path / FILE).write_bytes(b"no database" * 200)
    with pytest.raises(ClusterError, match="remove the file: they are made anew"):
        VectorStore(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="name another folder"):
        VectorStore(tmp_path / "file" / "store")


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_joint_cosine_is_the_mix_of_both(seed, weight):
    lot = np.random.default_rng(seed)
    images, texts = (lot.normal(size=(4, width)) for width in (6, 3))
    images, texts = (
        (one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float16)
        for one in (images, texts)
    )
    both = joint(images, texts, weight).astype(np.float64)
    assert both.shape == (4, 9)
    mixed = (1 - weight) * (images.astype(float) @ images.T.astype(float)) + weight * (
        texts.astype(float) @ texts.T.astype(float)
    )
    assert np.allclose(both @ both.T, mixed, atol=5e-3)


def test_pictures_alone_are_themselves_and_weights_are_checked():
    images = np.eye(3, dtype=np.float16)
    assert (joint(images, None, 0.7) == images).all()
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ClusterError, match="text_weight"):
            joint(images, images, wrong)
