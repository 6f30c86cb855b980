"""Reading a corpus part by part, whatever is in it."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import zlib

import pytest

from instruct_imagen.data.clusters.reading import (
    LONGEST_CAPTION,
    WebCorpus,
    loader,
    open_web_corpus,
    read_part,
)
from instruct_imagen.data.clusters.rows import ClusterError, Tally, rows_of, to_table
from instruct_imagen.data.corpora import CorpusError
from instruct_imagen.data.corpora.base import EntryError
from tests.data.corpora.layouts import cell, encoded, table, tar, write


def whole(folder, **settings):
    """All rows, and what gave none."""
    corpus = open_web_corpus(folder, **settings)
    parts = [read_part(corpus, part) for part in range(corpus.parts)]
    found = sum((part.tally for part in parts), Tally())
    return corpus, [row for part in parts for row in part.rows], found


def huge_png() -> bytes:
    """A PNG of 200 megapixels whose pixels are not there; its header is enough to refuse it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def images_tar(path, numbers, extra=None):
    files = dict(extra or {})
    for number in numbers:
        about = {"url": f"http://a/{number}.png", "page_url": f"http://a/{number}", "caption": "x",
                 "original_width": 640, "original_height": 480.0}  # fmt: skip
        files[f"{number:04d}.png"] = encoded(number)
        files[f"{number:04d}.json"] = json.dumps(about).encode()
        files[f"{number:04d}.txt"] = f"picture {number}".encode()
    return tar(path, files)


def test_tars_are_parts_and_rows_say_all_that_is_known(tmp_path):
    for shard in range(3):
        images_tar(tmp_path / f"{shard:05d}.tar", range(4 * shard, 4 * shard + 4))
    corpus, rows, found = whole(tmp_path)
    assert (corpus.kind, corpus.parts, found.total) == ("captioned_tars", 3, 0)
    assert [corpus.pieces(part) for part in range(3)] == [
        ((f"0000{n}.tar", range(0)),) for n in range(3)
    ]
    assert [row.key for row in rows] == [f"{n // 4:05d}/{n:04d}" for n in range(12)]
    row = rows[5]
    assert (row.caption, row.url, row.page) == ("picture 5", "http://a/5.png", "http://a/5")
    assert (row.width, row.height, row.original_width, row.original_height) == (8, 8, 640, 480)
    assert row.sha256 == hashlib.sha256(encoded(5)).hexdigest() and row.size == len(encoded(5))
    assert rows_of(to_table(rows)) == tuple(rows)
    assert read_part(pickle.loads(pickle.dumps(corpus)), 1).rows == tuple(rows[4:8])


def test_the_parquet_beside_a_tar_stands_in_for_missing_json(tmp_path):
    tar(tmp_path / "00000.tar", {
        "0.png": encoded(0), "0.json": b'{"caption": "own", "url": "own"}',
        "1.png": encoded(1), "2.png": encoded(2), "2.txt": b"text", "3.png": encoded(3),
    })  # fmt: skip
    table(tmp_path / "00000.parquet", [
        {"key": str(n), "caption": f"row {n}", "url": f"u{n}", "page": f"p{n}"} for n in range(3)
    ])  # fmt: skip
    _, rows, found = whole(tmp_path)
    assert [(row.caption, row.url, row.page) for row in rows] == [
        ("own", "own", ""), ("row 1", "u1", "p1"), ("text", "u2", "p2")
    ]  # fmt: skip
    assert found.counts == {"no caption": 1}
    write(tmp_path / "00000.parquet", b"no table")
    _, rows, found = whole(tmp_path)
    assert [row.caption for row in rows] == ["own", "text"]
    assert found.counts == {"broken metadata": 1, "no caption": 2}


@pytest.mark.parametrize("kind", ["folder", "parquet", "arrow", "csv", "tsv"])
def test_ranges_are_parts_and_images_are_found_again(kind, tmp_path):
    count = 11
    for number in range(count):
        if kind in ("folder", "csv", "tsv"):
            write(tmp_path / f"in/{number:02d}.png", encoded(number))
        if kind == "folder":
            write(tmp_path / f"in/{number:02d}.txt", f"picture {number}")
    if kind in ("parquet", "arrow"):
        values = [{"jpg": encoded(n), "caption": f"picture {n}", "url": ""} for n in range(count)]
        values[4]["jpg"] = cell(encoded(4))["bytes"]
        table(tmp_path / f"in/a.{kind}", values, group=3)
    if kind in ("csv", "tsv"):
        gap = "," if kind == "csv" else "\t"
        names = [f"{n:02d}.png" if n % 2 else str(tmp_path / f"in/{n:02d}.png") for n in range(11)]
        lines = [gap.join((name, f"picture {n}", "7")) for n, name in enumerate(names)]
        write(
            tmp_path / f"in/list.{kind}",
            gap.join(("Path", "TEXT", "page")) + "\n" + "\n".join(lines),
        )
    corpus, rows, found = whole(tmp_path, part_rows=4)
    assert corpus.parts == 3 and found.total == 0
    assert [len(read_part(corpus, part).rows) for part in range(3)] == [3, 4, 4]
    assert [row.caption for row in rows] == [f"picture {n}" for n in range(count)]
    assert len({row.key for row in rows}) == count
    assert {row.page for row in rows} == {""}  # the number of a page is no address
    load = loader(corpus)
    for order in (range(count), range(count - 1, -1, -1), (9, 1, 1, 8, 0, 10)):
        some = [rows[index] for index in order]
        assert list(load(some)) == [encoded(index) for index in order]
    assert {file for part in range(3) for file, _ in corpus.pieces(part)} == (
        {row.place.file for row in rows} if kind not in ("csv", "tsv") else {f"in/list.{kind}"}
    )


def test_tar_images_are_found_again_and_what_changed_is_named(tmp_path):
    images_tar(tmp_path / "0.tar", range(5))
    images_tar(tmp_path / "1.tar", range(5, 9))
    corpus, rows, _ = whole(tmp_path)
    load = loader(corpus)
    order = (8, 0, 4, 2, 5)
    assert list(load([rows[n] for n in order])) == [encoded(n) for n in order]
    content = (tmp_path / "0.tar").read_bytes()
    write(tmp_path / "0.tar", content[: rows[3].place.offset + 9])
    (tmp_path / "1.tar").unlink()
    found = list(load(rows))
    assert found[:3] == [encoded(n) for n in range(3)]
    assert all(
        isinstance(one, EntryError) and one.reason == "file has changed" for one in found[3:]
    )
    lost = f"0/0003: 0.tar, byte {rows[3].place.offset}: there are no longer"
    assert str(found[3]).startswith(lost)
    assert str(found[8]) == "1/0008: 1.tar: No such file or directory"


def test_other_bytes_of_the_same_length_are_named(tmp_path):
    images_tar(tmp_path / "0.tar", range(3))
    corpus, rows, _ = whole(tmp_path)
    with open(tmp_path / "0.tar", "r+b") as file:
        file.seek(rows[1].place.offset + rows[1].size - 20)
        file.write(b"*")
    first, second, third = loader(corpus)(rows)
    assert (first, third) == (encoded(0), encoded(2))
    assert isinstance(second, EntryError) and second.reason == "file has changed"
    assert str(second).startswith("0/0001: the image has changed since the corpus was read")


def test_bad_input_is_a_line_and_a_count_each_and_nothing_else_is_lost(tmp_path):
    good = encoded(1)
    images_tar(tmp_path / "0.tar", range(3), {
        "bad.jpg": good[:20], "bad.txt": b"corrupt", "big.png": huge_png(), "big.txt": b"large",
        "long.png": good, "long.txt": b"word " * 200_000, "empty.png": good, "empty.txt": b" ",
        "odd.png": good, "odd.txt": b"\xff\xfe", "half.png": good,
        "half.json": b'{"caption": "a \\ud800 b"}', "none.txt": b"no image",
    })  # fmt: skip
    content = images_tar(tmp_path / "1.tar", range(10, 20)).read_bytes()
    write(tmp_path / "1.tar", content[: len(content) // 2])
    images_tar(tmp_path / "2.tar", range(20, 22))
    twice = {f"{name}.{end}": encoded(n) if end == "png" else b"first"
             for n, name in enumerate(("a", "b")) for end in ("png", "txt")}  # fmt: skip
    tar(
        tmp_path / "3.tar", {**twice, "A.png": encoded(7), "./a.png": encoded(8), "./a.txt": b"2nd"}
    )
    corpus, rows, found = whole(tmp_path)
    own = {name: [row for row in rows if row.key.startswith(f"{name}/")] for name in "0123"}
    assert [len(own[name]) for name in "023"] == [3, 2, 2]
    assert len(own["1"]) == 7
    assert [row.caption for row in own["3"]] == ["first", "first"]
    assert found.counts == {
        "broken image": 1, "too many pixels": 1, "caption too long to read": 1, "no caption": 2,
        "text is not UTF-8": 2, "no image": 1, "tar breaks off": 1,
        "repeated key": 1,
    }  # fmt: skip
    assert len(found.lines) == found.total and all("\n" not in line for line in found.lines)
    for name, cause in (
        ("0/big", "more pixels than Pillow decodes"), ("0/bad.jpg", ""),
        ("0/long", "a caption of 999999"),
        ("1.tar", "breaks off after 7 samples"), ("3/a", "the tar holds it twice"),
    ):  # fmt: skip
        assert any(line.startswith(name) and cause in line for line in found.lines), name
    assert read_part(corpus, 0) == read_part(corpus, 0)


@pytest.mark.parametrize("cut", range(512, 11 * 512, 300))
def test_a_tar_that_is_cut_anywhere_is_named(cut, tmp_path):
    content = tar(tmp_path / "0.tar", {
        f"{n}.{end}": encoded(n) if end == "png" else b"words"
        for n in range(3) for end in ("png", "txt")
    }).read_bytes()  # fmt: skip
    ends = 12 * 512
    assert not any(content[ends:])
    write(tmp_path / "0.tar", content[:cut])
    corpus = WebCorpus(folder=tmp_path, kind="captioned_tars", parts=1)
    found = read_part(corpus, 0)
    assert [row.caption for row in found.rows] == ["words"] * len(found.rows)
    assert found.tally.counts["tar breaks off"] >= 1
    write(tmp_path / "0.tar", content[: ends + 512])
    assert len(read_part(corpus, 0).rows) == 3 and not read_part(corpus, 0).tally.total


def test_bad_rows_of_a_csv_are_counted(tmp_path):
    write(tmp_path / "a.png", encoded(1))
    write(tmp_path / "list.csv", b"\xef\xbb\xbffile_name,caption,url\n"
          b'a.png,"two\nlines, one row",u\na.png,short\n\na.png,caf\xff,u\n../a.png,out,u\n'
          b"gone.png,gone,u\n/etc/hostname,far,u\na.png,,u\na.png,last,u\n")  # fmt: skip
    _, rows, found = whole(tmp_path)
    assert [row.caption for row in rows] == ["two lines, one row", "caf\ufffd", "last"]
    assert found.counts == {
        "broken row": 1, "cannot be read": 2, "no file": 1, "no caption": 1,
    }  # fmt: skip
    assert "list.csv/1: 2 cells, the file has 3 columns" in found.lines
    write(
        tmp_path / "list.csv", 'file_name,caption\na.png,"never closed\n' + "x" * 5_000_000 + "\n"
    )
    _, rows, found = whole(tmp_path)
    assert not rows and found.counts == {"broken row": found.total} and found.total >= 1
    write(tmp_path / "list.csv", "file_name,file_name\n")
    with pytest.raises(CorpusError, match="does not begin with a line of column names"):
        open_web_corpus(tmp_path)


def test_what_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"holds no corpus: it must be a folder with \.tar files"):
        open_web_corpus(tmp_path)
    write(tmp_path / "a.png", encoded(1))
    write(tmp_path / "a.txt", "words")
    assert open_web_corpus(tmp_path).kind == "captioned_folder"
    with pytest.raises(CorpusError, match="there is no tar"):
        open_web_corpus(tmp_path, kind="captioned_tars")
    with pytest.raises(CorpusError, match="holds no captioned images"):
        write(tmp_path / "style/1.png", encoded(1))
        open_web_corpus(tmp_path, kind="style_folders")
    with pytest.raises(ClusterError, match="part_rows=0"):
        open_web_corpus(tmp_path, part_rows=0)
    with pytest.raises(CorpusError, match="part must be"):
        read_part(open_web_corpus(tmp_path), 1)


def test_options_of_the_data_set_have_their_effect(tmp_path):
    rows = [{"image": encoded(n), "caption": f"c{n}", "alt": f"a{n}"} for n in range(2)]
    table(tmp_path / "a.parquet", rows)
    _, plain, _ = whole(tmp_path)
    _, other, _ = whole(tmp_path, options={"caption": "alt"})
    assert [row.caption for row in plain] == ["c0", "c1"]
    assert [row.caption for row in other] == ["a0", "a1"]
    assert LONGEST_CAPTION < 10**6
