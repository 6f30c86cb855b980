"""What must hold for every corpus, on a tiny folder of its published layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from instruct_imagen.data.corpora import CorpusError, Reading, all_corpora, open_corpus
from instruct_imagen.data.corpora.base import MAX_BYTES
from tests.data.corpora.layouts import LAYOUTS, STRICT, Numbered

DOCS = Path(__file__).parents[3] / "docs" / "corpora.md"

every = pytest.mark.parametrize("name", sorted(LAYOUTS))


def one_line(call) -> str:
    with pytest.raises(CorpusError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_corpus_has_a_layout_to_be_tested_on():
    assert set(LAYOUTS) == set(all_corpora())


@every
def test_all_entries_are_read_once_in_one_order(name, tmp_path):
    keys = LAYOUTS[name](tmp_path, Numbered())
    corpus = open_corpus(name, tmp_path, STRICT)
    records = list(corpus)
    assert [record.key for record in records] == keys
    assert len(set(keys)) == len(keys)
    assert records == list(corpus) == list(open_corpus(name, str(tmp_path)))
    assert {type(record) for record in records} == {corpus.record}
    assert corpus.size in (None, len(keys))
    assert all(record.words.strip() for record in records)
    for record in records:
        assert {image.load().size for image in record.pictures} == {(8, 8)}


@every
@pytest.mark.parametrize("parts", [2, 3, 5, 40])
def test_parts_give_every_entry_once(name, parts, tmp_path):
    keys = LAYOUTS[name](tmp_path, Numbered())
    found, sizes = [], []
    for part in range(parts):
        corpus = open_corpus(name, tmp_path, Reading(part=part, parts=parts))
        own = [record.key for record in corpus]
        assert corpus.size in (None, len(own))
        found += own
        sizes.append(len(own))
    assert sorted(found) == sorted(keys)
    if corpus.size is not None:
        assert max(sizes) - min(sizes) <= 1


@every
@pytest.mark.parametrize("reading", [Reading(), Reading(part=1, parts=2)])
def test_a_stream_goes_on_from_any_position(name, reading, tmp_path):
    LAYOUTS[name](tmp_path, Numbered())
    corpus = open_corpus(name, tmp_path, reading)
    stream, whole, positions = corpus.records(), [], []
    for record in stream:
        whole.append(record)
        positions.append(stream.position)
    assert positions == list(range(1, len(whole) + 1))
    for start in range(len(whole) + 2):
        assert list(corpus.records(start)) == whole[start:]


@every
def test_a_broken_image_is_named_counted_and_passed_over(name, tmp_path):
    LAYOUTS[name](tmp_path, Numbered())
    whole = sum(len(record.pictures) for record in open_corpus(name, tmp_path))
    keys = LAYOUTS[name](tmp_path, Numbered(lambda number: number == 2))
    corpus = open_corpus(name, tmp_path)
    stream = corpus.records()
    records = list(stream)
    assert stream.problems.count >= 1 and stream.problems.seen == len(keys) == stream.position
    assert "not an image of a known format" in stream.problems.first[0]
    assert {record.key for record in records} < set(keys) or len(records) == len(keys)
    assert sum(len(record.pictures) for record in records) < whole
    message = one_line(lambda: list(open_corpus(name, tmp_path, STRICT)))
    assert stream.problems.first[0] in message
    assert f"{name} in {tmp_path}: 1 problems in " in message and "0 are tolerated" in message
    # Positions count what was passed over, so that going on skips no record and repeats none.
    for start in range(len(keys)):
        rest = list(corpus.records(start))
        assert rest == records[len(records) - len(rest) :]
    found = [
        record.key
        for part in range(3)
        for record in open_corpus(name, tmp_path, Reading(part=part, parts=3))
    ]
    assert sorted(found) == sorted(record.key for record in records)


@every
def test_too_many_problems_are_an_error_that_lists_the_first(name, tmp_path):
    LAYOUTS[name](tmp_path, Numbered(lambda number: True))
    message = one_line(lambda: list(open_corpus(name, tmp_path, Reading(tolerated=2))))
    assert "3 problems in" in message and "2 are tolerated" in message
    assert message.count("not an image of a known format") == 3


@every
def test_another_folder_is_refused_with_where_to_get_the_data(name, tmp_path):
    about = all_corpora()[name].about
    (tmp_path / "empty").mkdir()
    message = one_line(lambda: open_corpus(name, tmp_path / "empty"))
    assert f"{tmp_path / 'empty'} is not {about.title}" in message
    assert "there is no " in message and about.download in message
    message = one_line(lambda: open_corpus(name, tmp_path / "gone"))
    assert "is no folder" in message and about.download in message


@every
def test_its_documents_are_complete_and_agree(name):
    about = all_corpora()[name].about
    (row,) = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    for text in (about.title, about.source, about.licence, about.download):
        assert text in row and not set(text) & set("\n|<")
    assert f"`{about.layout}` |" in row


def test_a_part_or_a_limit_that_cannot_be_is_refused():
    assert "part must be" in one_line(lambda: Reading(part=2, parts=2))
    assert "part must be" in one_line(lambda: Reading(part=-1, parts=2))
    assert "tolerated" in one_line(lambda: Reading(tolerated=-1))
    assert "tolerated_share" in one_line(lambda: Reading(tolerated_share=1.5))


def test_a_share_of_problems_is_tolerated_in_a_large_corpus(tmp_path):
    for number in range(50):
        (tmp_path / f"{number:02d}.png").write_bytes(b"" if number % 10 == 0 else Numbered()())
        (tmp_path / f"{number:02d}.txt").write_text("a picture")
    stream = open_corpus("captioned_folder", tmp_path, Reading(tolerated=0, tolerated_share=0.1))
    assert len(list(stream)) == 45
    less = Reading(tolerated=0, tolerated_share=0.09)
    assert "4 are tolerated" in one_line(
        lambda: list(open_corpus("captioned_folder", tmp_path, less))
    )


def test_decoding_finds_what_a_header_does_not_show(tmp_path):
    (tmp_path / "a.txt").write_text("a picture")
    (tmp_path / "a.png").write_bytes(Numbered()()[:-20])
    assert len(list(open_corpus("captioned_folder", tmp_path, STRICT))) == 1
    stream = open_corpus("captioned_folder", tmp_path, Reading(decode=True)).records()
    assert list(stream) == []
    assert "a.png: truncated or broken image" in stream.problems.first[0]


def test_files_that_cannot_be_images_are_not_read(tmp_path):
    (tmp_path / "a.txt").write_text("a picture")
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(MAX_BYTES + 1)  # no blocks on disk
    stream = open_corpus("captioned_folder", tmp_path).records()
    assert list(stream) == [] and "the limit is" in stream.problems.first[0]


def test_a_stream_does_not_start_before_the_beginning(tmp_path):
    LAYOUTS["captioned_folder"](tmp_path, Numbered())
    assert "start must be" in one_line(
        lambda: open_corpus("captioned_folder", tmp_path).records(-1)
    )
