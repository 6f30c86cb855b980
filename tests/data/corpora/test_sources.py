"""Tables and tars below the corpora that use them."""

from __future__ import annotations

import io
import tarfile

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruct_imagen.data.corpora import tars
from instruct_imagen.data.corpora.base import CorpusError, EntryError, Listing, part_range
from instruct_imagen.data.corpora.tables import Tables, table_files, text_of
from instruct_imagen.data.corpora.tars import Tars, turns
from tests.data.corpora.layouts import table, tar, write


@given(st.integers(0, 50), st.integers(1, 60))
def test_parts_of_a_list_cover_it_evenly(size, parts):
    found = [list(part_range(size, part, parts)) for part in range(parts)]
    assert [index for part in found for index in part] == list(range(size))
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_list_starts_anywhere():
    listing = Listing("abcdefg")
    assert "".join(listing.entries(1, 2, 0)) == "defg"
    assert "".join(listing.entries(1, 2, 2)) == "fg"
    assert listing.size(1, 2) == 4 and list(listing.entries(1, 2, 9)) == []


# -- Tars ------------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 30))
def test_turns_give_each_sample_of_each_tar_to_one_part(tars, parts):
    samples = 24
    found = [
        (index, number)
        for part in range(parts)
        for index, offset, stride in turns(tars, part, parts)
        for number in range(samples)
        if number % stride == offset
    ]
    assert sorted(found) == [(index, number) for index in range(tars) for number in range(samples)]
    if tars >= parts:
        assert all(stride == 1 for part in range(parts) for *_, stride in turns(tars, part, parts))


def read(folder, *names, start=0):
    tars = Tars(folder, [folder / name for name in names], ("txt", "jpg"))
    return list(tars.entries(0, 1, start))


def test_samples_are_neighbours_whose_names_begin_alike(tmp_path):
    tar(tmp_path / "a.tar", {
        "x/1.txt": b"one", "x/1.JPG": b"i", "x/1.seg.png": b"s", "x/._1.txt": b"hidden",
        "2.txt": b"two", "y/2.txt": b"other two",
    })  # fmt: skip
    found = read(tmp_path, "a.tar")
    assert [(one.place, dict(one.files)) for one in found] == [
        ("a/x/1", {"txt": b"one", "jpg": b"i"}),
        ("a/2", {"txt": b"two"}),
        ("a/y/2", {"txt": b"other two"}),
    ]


def test_links_and_paths_that_lead_elsewhere_are_refused(tmp_path):
    write(tmp_path / "secret.txt", "secret")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("1.txt", tarfile.SYMTYPE), ("2.txt", tarfile.LNKTYPE),
                           ("3.txt", tarfile.FIFOTYPE)):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(tmp_path / "secret.txt")
            archive.addfile(member)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in ("/4.txt", "in/../../5.txt", "6.txt"):
            member = tarfile.TarInfo(name)
            member.size = 2
            archive.addfile(member, io.BytesIO(b"ok"))
    *refused, last = read(tmp_path, "a.tar")
    assert [str(one) for one in refused] == [
        "a/1: 1.txt is a link or no file",
        "a/2: 2.txt is a link or no file",
        "a/3: 3.txt is a link or no file",
        "a//4: /4.txt leads out of the tar",
        "a/in/../../5: in/../../5.txt leads out of the tar",
    ]
    assert last.files == {"txt": b"ok"}


def test_a_key_that_comes_again_is_refused(tmp_path):
    tar(tmp_path / "a.tar", {"1.txt": b"a", "1.TXT": b"b", "2.txt": b"c", "3.txt": b"d",
                             "2.jpg": b"e"})  # fmt: skip
    found = read(tmp_path, "a.tar")
    assert [found[row].place for row in (0, 2, 3)] == ["a/1", "a/2", "a/3"]
    assert found[0].files == {"txt": b"a"} and found[2].files == {"txt": b"c"}
    assert str(found[1]) == "a/1: the tar holds it twice"
    assert str(found[4]) == "a/2: the tar holds it twice"
    assert found[1].reason == "repeated key"


def test_a_tar_that_breaks_off_is_one_problem_and_the_next_is_read(tmp_path):
    files = {f"{number}.txt": bytes(2000) for number in range(5)}
    whole = tar(tmp_path / "a.tar", files).read_bytes()
    write(tmp_path / "a.tar", whole[: 3 * 2560 + 1000])
    tar(tmp_path / "b.tar", files)
    write(tmp_path / "c.tar", b"no tar at all" * 100)
    found = read(tmp_path, "a.tar", "c.tar", "b.tar")
    assert [one.place for one in found[:3]] == ["a/0", "a/1", "a/2"]
    assert isinstance(found[3], EntryError) and "a.tar breaks off after 3 samples" in str(found[3])
    assert "c.tar breaks off after 0 samples" in str(found[4])
    assert [one.place for one in found[5:]] == [f"b/{number}" for number in range(5)]
    assert read(tmp_path, "a.tar", "c.tar", "b.tar", start=4)[1:] == found[5:]


def test_samples_before_the_start_are_not_read(tmp_path, monkeypatch):
    tar(tmp_path / "a.tar", {f"{number}.txt": b"text" for number in range(9)})
    taken = []
    content = tars._content  # all that reads contents

    def watched(opened, member):
        taken.append(member.name)
        return content(opened, member)

    monkeypatch.setattr(tars, "_content", watched)
    assert [one.place for one in read(tmp_path, "a.tar", start=7)] == ["a/7", "a/8"]
    assert taken == ["7.txt", "8.txt"]


# -- Tables ----------------------------------------------------------------------------------------


@pytest.fixture(params=["parquet", "arrow"])
def tables(request, tmp_path):
    files = []
    for number, rows in enumerate((7, 1, 10)):
        made = [{"n": 100 * number + row, "text": f"t{row}", "other": 0} for row in range(rows)]
        files.append(table(tmp_path / f"{number}.{request.param}", made, group=3))
    return Tables(tmp_path, files, ("n", "text"))


def numbers(found):
    return [row.values["n"] for row in found]


def test_rows_come_in_order_from_any_start_in_any_part(tables):
    whole = [*range(7), 100, *range(200, 210)]
    assert numbers(tables.entries(0, 1, 0)) == whole
    for parts in (1, 2, 5, 18, 20):
        for part in range(parts):
            own = [whole[index] for index in part_range(18, part, parts)]
            assert tables.size(part, parts) == len(own)
            for start in range(len(own) + 1):
                assert numbers(tables.entries(part, parts, start)) == own[start:]


def test_rows_know_their_place_and_only_the_columns_asked_for(tables):
    rows = list(tables.entries(0, 1, 0))
    assert rows[7].place.startswith("1.") and rows[7].place.endswith("/0")
    assert len({row.place for row in rows}) == 18
    assert rows[8].values == {"n": 200, "text": "t0"}


def test_row_groups_before_the_start_are_not_read(tmp_path, monkeypatch):
    path = table(tmp_path / "a.parquet", [{"n": row} for row in range(20)], group=5)
    tables = Tables(tmp_path, [path], ("n",))
    read = []
    batches = pq.ParquetFile.iter_batches

    def watched(self, *arguments, row_groups, **options):
        read.extend(row_groups)
        return batches(self, *arguments, row_groups=row_groups, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    assert numbers(tables.entries(0, 1, 12)) == list(range(12, 20))
    assert read == [2, 3]


def test_a_table_that_is_no_table_is_refused(tmp_path):
    for name in ("a.parquet", "a.arrow"):
        path = write(tmp_path / name, b"nothing" * 100)
        with pytest.raises(CorpusError, match=rf"{name} is no whole table \(.*download it anew"):
            Tables(tmp_path, [path], ("n",))


def test_rows_of_a_broken_page_are_problems_that_keep_their_numbers(tmp_path):
    rows = [{"n": row, "data": bytes([row]) * 5000} for row in range(12)]
    path = table(tmp_path / "a.parquet", rows, group=4)
    after = table(tmp_path / "b.parquet", rows[:2])
    content = bytearray(path.read_bytes())
    group = pq.ParquetFile(path).metadata.row_group(1).column(1)
    begin = group.dictionary_page_offset or group.data_page_offset
    content[begin : begin + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    path.write_bytes(content)
    found = list(Tables(tmp_path, [path, after], ("n", "data")).entries(0, 1, 0))
    assert len(found) == 14
    assert numbers(found[:4]) == [0, 1, 2, 3] and numbers(found[12:]) == [0, 1]
    assert [str(lost).partition(":")[0] for lost in found[4:12]] == [
        f"a.parquet/{row}" for row in range(4, 12)
    ]


def test_splits_are_in_names_of_files_or_folders(tmp_path):
    for name in ("data/train-00000-of-00001.parquet", "default/validation/0000.parquet",
                 "dev_0.parquet", "test/data-00000-of-00001.arrow", "plain/testing.parquet",
                 ".cache/train.parquet", "train/cache-0a1b.arrow", "train.csv"):  # fmt: skip
        write(tmp_path / name, b"")
    found = {path.relative_to(tmp_path).as_posix(): split for split, path in table_files(tmp_path)}
    assert found == {
        "data/train-00000-of-00001.parquet": "train",
        "default/validation/0000.parquet": "valid",
        "dev_0.parquet": "valid",
        "plain/testing.parquet": "",
        "test/data-00000-of-00001.arrow": "test",
    }


def test_texts_in_cells():
    assert text_of(" a\nb ") == "a b" and text_of(None) == "" and text_of(3) == ""
    assert text_of([None, " ", "x", "y"]) == "x" and text_of([]) == ""
