"""Ratings in ImagenHub's form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.rating.imagenhub import (
    rating_files,
    read_ratings,
    write_ratings,
)
from instruct_imagen.evaluation.rating.storage import Rating

SCORE = st.sampled_from((0.0, 0.5, 1.0))
KEY = st.tuples(
    st.sampled_from(["edge_to_image/0007", "edge_to_image/a b", "subject/0001", "a_b/x/y"]),
    st.sampled_from(["ours", "SDXL, v2", "Übung [1]"]),
    st.sampled_from(["ann", "rater 1", "j.-p. é"]),
)


@given(st.dictionaries(KEY, st.tuples(SCORE, SCORE), min_size=1))
def test_what_is_written_is_read_again(tmp_path_factory, given_scores):
    folder = tmp_path_factory.mktemp("tsv")
    ratings = {
        Rating(case=case, method=method, rater=rater, sc=sc, pq=pq)
        for (case, method, rater), (sc, pq) in given_scores.items()
    }
    written = write_ratings(folder, ratings)
    assert rating_files([folder]) == sorted(written)
    found = [rating for path in written for rating in read_ratings(path)]
    assert set(found) == ratings and len(found) == len(ratings)


def test_a_file_has_the_form_of_imagenhub(tmp_path):
    ratings = [
        Rating(case=f"subject/{uid}", method=method, rater="rater1", sc=sc, pq=pq)
        for uid, method, sc, pq in (
            ("0001", "b", 1.0, 0.5), ("0000", "a", 0.0, 0.0), ("0001", "a", 0.5, 1.0)
        )
    ]  # fmt: skip
    (path,) = write_ratings(tmp_path, ratings)
    assert path == tmp_path / "subject" / "subject_rater1.tsv"
    assert path.read_text() == "uid\ta\tb\n0000\t[0, 0]\t\n0001\t[0.5, 1]\t[1, 0.5]\n"


def test_files_of_others_are_read(tmp_path):
    """Spaces, line ends and file names as uids, as in ImagenHub's own files."""
    path = tmp_path / "Multi-Subject_IG" / "Multi-Subject_IG_rater2.tsv"
    path.parent.mkdir()
    path.write_bytes(
        b"\xef\xbb\xbfuid\tDreamBooth\tTextualInversion\r\n"
        b"sample_0.jpg\t[0.5,1]\t[0, 0.5]\r\nsample_1.jpg\t[1, 1.0]\t[ 0 ,.5 ]\r\n\r\n"
    )
    found = [(r.case, r.method, r.rater, r.sc, r.pq) for r in read_ratings(path)]
    assert found == [
        ("Multi-Subject_IG/sample_0.jpg", "DreamBooth", "rater2", 0.5, 1.0),
        ("Multi-Subject_IG/sample_0.jpg", "TextualInversion", "rater2", 0.0, 0.5),
        ("Multi-Subject_IG/sample_1.jpg", "DreamBooth", "rater2", 1.0, 1.0),
        ("Multi-Subject_IG/sample_1.jpg", "TextualInversion", "rater2", 0.0, 0.5),
    ]
    moved = path.rename(tmp_path / path.name)
    assert {r.case.partition("/")[0] for r in read_ratings(moved)} == {"Multi-Subject_IG"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "line 1 must be 'uid'"),
        ("id\ta\n", "line 1 must be 'uid'"),
        ("uid\n", "line 1 must be 'uid'"),
        ("uid\ta\ta\n", "line 1 must be 'uid'"),
        ("uid\ta\nx\t[1]\n", r"line 2, a: must be \[SC, PQ\]"),
        ("uid\ta\nx\t[1, 0.7]\n", r"line 2, a: must be \[SC, PQ\]"),
        ("uid\ta\nx\t[1, 1..0]\n", r"line 2, a: must be \[SC, PQ\]"),
        ("uid\ta\nx\t__import__('os')\n", r"line 2, a: must be \[SC, PQ\]"),
        ("uid\ta\nx\t[1, 1]\t[1, 1]\n", "line 2 has 2 cells"),
        ("uid\ta\nx\n", "line 2 has 0 cells"),
        ("uid\ta\nx\t[1, 1]\nx\t[1, 1]\n", "line 3 has 1 cells; needed: uid 'x' is there twice"),
    ],
)
def test_a_broken_file_is_one_line_with_its_place(tmp_path, text, error):
    path = tmp_path / "task_ann.tsv"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=error) as raised:
        read_ratings(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_names_that_a_file_cannot_hold_are_refused(tmp_path):
    (tmp_path / "ratings.tsv").write_text("uid\ta\n")
    with pytest.raises(EvaluationError, match=r"TASK_RATER\.tsv"):
        read_ratings(tmp_path / "ratings.tsv")
    with pytest.raises(EvaluationError, match=r"name \.tsv files"):
        rating_files([tmp_path / "missing"])
    for case, method in (("0001", "a"), ("../x/1", "a"), ("t/1", "a\tb")):
        with pytest.raises(EvaluationError):
            write_ratings(tmp_path, [Rating(case=case, method=method, rater="r", sc=1.0, pq=1.0)])
