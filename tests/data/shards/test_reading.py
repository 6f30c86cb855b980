"""What is read: every example once, from anywhere, in little memory, and nothing unsafe."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.layout import ShardError
from instruct_imagen.data.shards.reading import read_shards
from tests.data.shards.jobs import EXAMPLES, small_job


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "whole"
    build_shards(folder, small_job())
    return folder


@pytest.fixture
def copy(tmp_path) -> Path:
    folder = tmp_path / "copy"
    build_shards(folder, small_job(examples=6, shard=3))
    return folder


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 3), (2, 1), (2, 2), (3, 4), (7, 7)])
def test_parts_give_every_example_once(shards, ranks, workers):
    parts = [
        [one.index for one in read_shards(shards, rank=r, ranks=ranks, worker=w, workers=workers)]
        for r in range(ranks)
        for w in range(workers)
    ]
    assert [index for part in parts for index in part] == list(range(EXAMPLES))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_stream_goes_on_at_any_example(shards):
    whole = list(read_shards(shards, rank=1, ranks=2))
    assert len(whole) == EXAMPLES // 2
    for start in range(len(whole) + 2):
        stream = read_shards(shards, rank=1, ranks=2, start=start)
        assert list(stream) == whole[start:]
        assert stream.position == max(start, len(whole))
    stream = read_shards(shards)
    first = [next(stream) for _ in range(11)]
    assert [*first, *read_shards(shards, start=stream.position)] == list(read_shards(shards))


def test_hashes_are_compared_on_request(copy):
    path = copy / "00001.tar"
    content = path.read_bytes()
    place = content.index(b"IDAT") + 20  # within a picture's pixels
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    assert len(list(read_shards(copy))) == 6
    stream = read_shards(copy, verify=True)
    for _ in range(3):
        next(stream)
    with pytest.raises(ShardError, match=r"00001\.tar is damaged"):
        next(stream)


def member(name: str, **values: object) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize(
    "bad",
    [
        member("000000001.target.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("000000001.target.png", type=tarfile.LNKTYPE, linkname="000000000.target.png"),
        member("000000001.target.png", type=tarfile.FIFOTYPE),
        member("../000000001.json"),
        member("/000000001.json"),
        member("000000001.json", mode=0o755),
        member("000000001.json", uname="somebody"),
        member("000000001.json", mtime=1),
    ],
)
def test_unsafe_members_are_refused(copy, bad):
    with tarfile.open(copy / "00000.tar") as tar:
        kept = [(one, tar.extractfile(one).read()) for one in tar if one.name[:9] == "000000000"]
    with tarfile.open(copy / "00000.tar", "w") as tar:
        for one, content in kept:
            tar.addfile(one, io.BytesIO(content))
        tar.addfile(bad, io.BytesIO(b""))
    with pytest.raises(ShardError, match=r"no file as `tasks build` writes them"):
        list(read_shards(copy))


@pytest.mark.parametrize(
    ("size", "total"),
    [
        *((size, b"%06o\0 ") for size in (
            b"-0000001000", b"+0000001000", b" 0000001000", b"0o000001000", b"000_0001000",
            b"00000001008", b"77777777777", b"0000001000 ",
        )),
        *((None, total) for total in (b"+%05o\0 ", b" %05o\0 ", b"0o%05o\0", b"%06o  ")),
    ],
)  # fmt: skip
def test_numbers_of_a_header_are_octal_digits(copy, size, total):
    """With the right checksum: a size below 0 would lead back to where it stands, for ever."""
    path = copy / "00000.tar"
    content = bytearray(path.read_bytes())
    if size is not None:
        content[124:136] = size + b"\0"
    content[148:156] = b" " * 8
    content[148:156] = total % sum(content[:512])
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"at byte 0 no file as `tasks build` writes them"):
        list(read_shards(copy))


def test_a_shard_that_ends_early_or_is_missing_is_named(copy):
    path = copy / "00000.tar"
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        place = tar.getmember("000000002.json").offset
    path.write_bytes(content[:place])  # where a member ends: tarfile itself takes it for whole
    with pytest.raises(ShardError, match=r"00000\.tar ends before the example 2"):
        list(read_shards(copy))
    path.write_bytes(content[: place + 700])
    with pytest.raises(ShardError, match=r"00000\.tar breaks off in 000000002\.json"):
        list(read_shards(copy))
    path.write_bytes(content[: place + 300])
    with pytest.raises(ShardError, match=rf"00000\.tar breaks off at byte {place}"):
        list(read_shards(copy))
    wrong = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    path.write_bytes(wrong)
    with pytest.raises(ShardError, match=rf"at byte {place} no file"):
        list(read_shards(copy))
    path.unlink()
    with pytest.raises(ShardError, match=r"00000\.tar is missing"):
        list(read_shards(copy))


def test_shards_that_changed_places_are_noticed(copy):
    (copy / "00001.tar").replace(copy / "00000.tar")
    with pytest.raises(ShardError, match="the example 3 where 0 belongs"):
        next(read_shards(copy))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("index", "0", "index must be of type int"),
        ("index", True, "index must be of type int"),
        ("index", 7, "index 7 is not that of its name"),
        ("text", None, "text must be of type str"),
        ("text", "deep", "is no JSON"),
        ("references", {}, "references must be of type list"),
        ("references", ["ref1.png"], "reference 1 is no object"),
        ("references", [{"file": "target.png"}], "target.png is missing, which"),
    ],
)
def test_json_of_other_types_is_refused(copy, key, value, words):
    with tarfile.open(copy / "00000.tar") as tar:
        kept = [(one, tar.extractfile(one).read()) for one in tar]
    with tarfile.open(copy / "00000.tar", "w") as tar:
        for one, content in kept:
            if one.name == "000000000.json":
                content = json.dumps({**json.loads(content), key: value}).encode()
                if value == "deep":  # deeper than Python's stack
                    content = content.replace(b'"deep"', b"[" * 200_000)
                one.size = len(content)
            tar.addfile(one, io.BytesIO(content))
    with pytest.raises(ShardError, match=words):
        next(read_shards(copy))


@pytest.mark.parametrize(
    "part", [{"rank": 1}, {"rank": -1}, {"worker": 2, "workers": 2}, {"start": -1}]
)
def test_parts_that_do_not_exist_are_refused(shards, part):
    with pytest.raises(ShardError, match="must be"):
        read_shards(shards, **part)


def test_what_is_not_a_finished_folder_is_refused(copy, tmp_path):
    with pytest.raises(ShardError, match="no folder"):
        read_shards(tmp_path / "nothing")
    whole = (copy / "manifest.json").read_text()
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(ShardError, match="not what `tasks build` wrote"):
        read_shards(copy)
    (copy / "manifest.json").write_text(whole.replace("00001.tar", "../00001.tar"))
    with pytest.raises(ShardError, match=r"in '\.\./00001\.tar'"):
        read_shards(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(ShardError, match=r"no manifest\.json"):
        read_shards(copy)


def test_memory_stays_that_of_an_example(tmp_path):
    """20 times as many examples need no more memory to be read (but for a line a shard)."""
    peaks = []
    for count in (30, 600):
        folder = tmp_path / str(count)
        build_shards(folder, small_job(examples=count, shard=30))
        tracemalloc.start()
        for _ in read_shards(folder):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 20_000
