"""Captioned images of any kind: tars, tables, folders."""

from __future__ import annotations

import json

from instruct_imagen.data.corpora import open_corpus
from tests.data.corpora.layouts import STRICT, cell, encoded, lay, refused, table, tar, write


def test_tars_take_captions_from_text_or_json(tmp_path):
    found = lay("captioned_tars", tmp_path)
    assert dict(next(iter(found)).about) == {"url": "u000000000", "width": "8"}
    image = encoded(1)
    tar(tmp_path / "00003.tar", {
        "in/a.png": image, "in/a.json": b'{"caption": "from\\njson"}',
        "in/b.webp": image, "in/b.caption": "né".encode(), "in/b.npy": b"1234",
        "in/c.jpg": image,
        "in/d.txt": b"alone",
        "in/e.jpg": image, "in/e.txt": b"\xff\xfe",
        "in/f.jpg": image, "in/f.png": image, "in/f.txt": b"two",
        "in/g.jpg": image, "in/g.json": b"{", "in/g.txt": b"g",
    })  # fmt: skip
    stream = open_corpus("captioned_tars", tmp_path).records(12)
    assert [(one.key, one.caption) for one in stream] == [
        ("00003/in/a", "from json"), ("00003/in/b", "né")
    ]  # fmt: skip
    assert stream.problems.first == [
        "00003/in/c: no caption",
        "00003/in/d: no image in one sample",
        "00003/in/e.txt is not UTF-8 text",
        "00003/in/f: jpg and png in one sample",
        "00003/in/g.json is no JSON",
    ]


def test_samples_that_a_tar_does_not_give_keep_their_position(tmp_path):
    image = encoded(1)
    tar(tmp_path / "0.tar", {
        "a.png": image, "a.txt": b"a", "../b.png": image, "b.txt": b"b", "c.png": image,
        "c.txt": b"c",
    })  # fmt: skip
    write(tmp_path / "1.tar", b"no tar" * 200)
    stream = open_corpus("captioned_tars", tmp_path).records()
    assert next(stream).caption == "a" and stream.position == 1
    # ../b.png and b.txt are two samples: their folders differ.
    assert next(stream).caption == "c" and stream.position == 4
    assert list(stream) == [] and stream.position == stream.problems.seen == 5
    assert stream.problems.count == 3
    again = open_corpus("captioned_tars", tmp_path).records(3)
    assert [one.caption for one in again] == ["c"]


def test_tars_are_looked_into_on_opening(tmp_path):
    tar(tmp_path / "0.tar", {"a.txt": b"a", "a.mp4": b"b"})
    assert "no image in the first sample, 0/a" in refused("captioned_tars", tmp_path)
    tar(tmp_path / "0.tar", {"a.txt": b"a", "b.png": encoded(1), "b.txt": b"b"})
    assert [one.key for one in open_corpus("captioned_tars", tmp_path)] == ["0/b"]
    tar(tmp_path / "0.tar", {})
    assert "no sample in 0.tar" in refused("captioned_tars", tmp_path)
    (tmp_path / "0.tar").rename(tmp_path / "0.tar.gz")
    assert "no tar but 0.tar.gz, to be uncompressed" in refused("captioned_tars", tmp_path)


def test_tables_find_their_columns_or_are_told(tmp_path):
    found = list(lay("captioned_table", tmp_path, split="train"))
    assert len(found) == 9 and found[4].caption == "row 4" and found[4].about == {"width": "8"}
    rows = [{"jpg": cell(encoded(0)), "mask": cell(encoded(1)), "says": ["", "a dog", "a cat"]}]
    table(tmp_path / "data/train-00000-of-00001.parquet", rows)
    (tmp_path / "data/test-00000-of-00001.parquet").unlink()
    message = refused("captioned_table", tmp_path)
    assert "columns jpg and mask may be the image: name it, image=COLUMN, of jpg, mask" in message
    assert "no column may be the caption" in refused("captioned_table", tmp_path, image="jpg")
    (one,) = open_corpus("captioned_table", tmp_path, STRICT, image="jpg", caption="says")
    assert (one.caption, one.image.data) == ("a dog", encoded(0))
    assert "has no column word" in refused("captioned_table", tmp_path, image="jpg", caption="word")


def test_tables_hold_images_as_bytes_or_beside_them(tmp_path):
    write(tmp_path / "pictures/1.png", encoded(1))
    rows = [
        {"image": {"bytes": encoded(0), "path": None}, "caption": "a"},
        {"image": {"bytes": None, "path": "pictures/1.png"}, "caption": "b"},
        {"image": {"bytes": None, "path": "../1.png"}, "caption": "c"},
        {"image": {"bytes": None, "path": None}, "caption": "d"},
        {"image": {"bytes": encoded(4), "path": None}, "caption": None},
    ]
    table(tmp_path / "all.parquet", rows)
    stream = open_corpus("captioned_table", tmp_path).records()
    assert [one.image.data for one in stream] == [encoded(0), encoded(1)]
    assert stream.problems.first == [
        "'../1.png' leads out of the data set's folder",
        "all.parquet/3: no image",
        "all.parquet/4: no caption",
    ]
    table(tmp_path / "all.parquet", [{"image": encoded(5), "caption": "plain bytes"}])
    (one,) = open_corpus("captioned_table", tmp_path, STRICT)
    assert one.image.data == encoded(5)


def test_a_set_saved_to_disk_is_read_with_its_names(tmp_path):
    features = {"image": {"_type": "Image"}, "text": {"_type": "Value"},
                "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}  # fmt: skip
    for split, rows in (("train", 11), ("test", 3)):
        made = [
            {"image": cell(encoded(n)), "text": f"row {n}", "label": n % 2} for n in range(rows)
        ]
        for shard in range(2):
            file = tmp_path / split / f"data-{shard:05d}-of-00002.arrow"
            table(file, made[shard::2])
        write(tmp_path / split / "dataset_info.json", json.dumps({"features": features}))
        write(tmp_path / split / "state.json", "{}")
    write(tmp_path / "dataset_dict.json", '{"splits": ["train", "test"]}')
    found = list(open_corpus("captioned_table", tmp_path, STRICT, split="train"))
    assert [one.caption for one in found] == [
        f"row {n}" for n in (*range(0, 11, 2), *range(1, 11, 2))
    ]
    assert {one.about["label"] for one in found} == {"cat", "dog"}
    assert found[1].about == {"label": "cat"}
    assert found[7].key == "train/data-00001-of-00002.arrow/1"


def test_folders_want_a_text_beside_each_image(tmp_path):
    lay("captioned_folder", tmp_path)
    (tmp_path / "00000/2.txt").unlink()
    write(tmp_path / "00000/3.txt", b"\xff\xfe")
    write(tmp_path / ".cache/x.png", encoded(1))
    stream = open_corpus("captioned_folder", tmp_path).records()
    assert len(list(stream)) == 6
    assert stream.problems.first == [
        "00000/2.png: no caption in 2.txt beside it",
        "3.txt beside 3.png is not UTF-8 text",
    ]
