from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import torch

from instruct_imagen.model.text import TextEncoder
from instruct_imagen.model.text_store import SUFFIX, TextStore, TextStoreError

TEXTS = ["a dog on a beach", "the [ref#2] owl in the style of [ref#1]", "", "a red taxi"]


def rows(store: TextStore, count: int, start: int = 0) -> list[tuple[bytes, torch.Tensor]]:
    """Keys and states of as many sequences of different lengths."""
    return [
        (store.key([number, 1]), torch.full((number % 3 + 1, 4), float(number)))
        for number in range(start, start + count)
    ]


def same(store: TextStore, written: list[tuple[bytes, torch.Tensor]]) -> bool:
    return all(torch.equal(store.read(key), states) for key, states in written)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_from_a_store_are_the_encoded_ones_to_the_bit(tmp_path, dtype):
    plain = TextEncoder(max_markers=3, dtype=dtype)
    expected = plain(TEXTS)
    cold, warm = TextEncoder(max_markers=3, dtype=dtype), TextEncoder(max_markers=3, dtype=dtype)
    cold.keep_in(tmp_path)
    first = cold(TEXTS)
    warm.keep_in(tmp_path)
    assert warm.store.found == len(TEXTS)
    warm._encode = None  # nothing is left to encode
    again = warm(TEXTS)
    assert warm.store.hits == len(TEXTS)
    for given in (first, again):
        for name in ("states", "mask", "markers"):
            assert torch.equal(getattr(given, name), getattr(expected, name)), name
    # Of a float32 encoder four bytes a number, of a bfloat16 one two; only real tokens.
    numbers = int(expected.mask.sum()) * plain.width
    size = sum(path.stat().st_size for path in tmp_path.glob(f"*{SUFFIX}"))
    assert 0 <= size - numbers * dtype.itemsize < 100 * len(TEXTS)


def test_a_warm_store_writes_nothing(tmp_path):
    for number in range(2):
        encoder = TextEncoder(max_markers=3)
        encoder.keep_in(tmp_path)
        encoder(TEXTS)
        assert encoder.store.hits == number * len(TEXTS)
        assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "change", [{"max_markers": 2}, {"max_length": 32}, {"dtype": torch.bfloat16}]
)
def test_another_encoder_finds_nothing_of_this_one(tmp_path, change):
    encoder = TextEncoder(max_markers=3)
    encoder.keep_in(tmp_path)
    encoder(TEXTS)
    other = TextEncoder(**{"max_markers": 3, **change})
    other.keep_in(tmp_path)
    other(TEXTS)
    assert other.store.hits == 0
    changed = TextEncoder(max_markers=3)
    with torch.no_grad():
        changed.encoder.embeddings.LayerNorm.bias[0] += 1e-3
    changed.keep_in(tmp_path)
    changed(TEXTS)
    assert changed.store.hits == 0


def test_a_torn_tail_is_dropped_wherever_it_is_torn(tmp_path):
    store = TextStore(tmp_path, b"")
    written = rows(store, 4)
    store.write(written, torch.float32)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    last = len(whole) - written[3][1].nbytes - 49  # header of the last record
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        torn = TextStore(tmp_path, b"")
        assert torn.found == 3
        assert same(torn, written[:3])
        assert torn.read(written[3][0]) is None
    torn.write(written[3:], torch.float32)  # to a file of its own
    assert same(TextStore(tmp_path, b""), written)


def test_damaged_states_are_not_taken(tmp_path):
    store = TextStore(tmp_path, b"")
    written = rows(store, 3)
    store.write(written, torch.float32)
    (path,) = tmp_path.iterdir()
    broken = bytearray(path.read_bytes())
    broken[-1] ^= 1
    path.write_bytes(broken)
    store = TextStore(tmp_path, b"")
    assert store.read(written[2][0]) is None
    assert same(store, written[:2])


def test_two_writers_share_a_folder(tmp_path):
    one, two = TextStore(tmp_path, b""), TextStore(tmp_path, b"")
    first, second = rows(one, 20), rows(two, 20, start=10)
    for number in range(20):
        one.write(first[number : number + 1], torch.float32)
        two.write(second[number : number + 1], torch.float32)
    assert same(one, first) and same(two, second)
    both = TextStore(tmp_path, b"")
    assert both.found == 30
    assert same(both, first + second)
    assert len(list(tmp_path.iterdir())) == 2


WRITER = """
import sys, torch
from instruct_imagen.model.text_store import TextStore
store = TextStore(sys.argv[1], b"")
number = 0
while True:
    store.write([(store.key([number]), torch.full((500, 400), float(number)))], torch.float32)
    number += 1
    if number == 3:
        print("go", flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_records_only(tmp_path):
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as writer:
            writer.stdout.readline()
            os.kill(writer.pid, signal.SIGKILL)
    store = TextStore(tmp_path, b"")
    assert store.found >= 3
    for number in range(store.found):
        assert bool((store.read(store.key([number])) == number).all())


def test_values_that_the_encoders_dtype_does_not_hold_are_kept_whole(tmp_path):
    store = TextStore(tmp_path, b"")
    rough, fine = torch.full((2, 4), 0.5), torch.full((2, 4), 0.1)
    written = [(store.key([1]), rough), (store.key([2]), fine)]
    store.write(written, torch.bfloat16)
    assert same(TextStore(tmp_path, b""), written)
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == 2 * 49 + 8 * 2 + 8 * 4


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TextStoreError, match=r"text_store=.*file cannot be read and written"):
        TextStore(tmp_path / "file", b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    store = TextStore(tmp_path, b"")
    store.write(rows(store, 1), torch.float32)
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.symlink_to("/dev/full")
    store._own = path.open("wb")
    with pytest.raises(TextStoreError, match=r"cannot take more texts .*No space left"):
        store.write(rows(store, 1), torch.float32)
