"""Ratings on disk."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.rating.storage import SCHEMA, Rating, Store, rater_name

RATING = Rating(case="subject/0001", method="ours", rater="ann", sc=1.0, pq=0.5, image="ab", at=9.5)


def rows(store):
    with sqlite3.connect(store.path) as held:
        return held.execute("SELECT click, case_id, sc, pq FROM clicks ORDER BY number").fetchall()


def test_what_is_added_is_there_for_another_store_of_the_file(tmp_path):
    Store(tmp_path / "new" / "r.sqlite").add(RATING, "click-1")
    assert Store(tmp_path / "new" / "r.sqlite").ratings() == [RATING]


def test_the_last_rating_counts_and_no_click_is_lost_or_stored_twice(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    later = replace(RATING, sc=0.0, at=10.0)
    for rating, click in ((RATING, "1"), (RATING, "1"), (later, "2"), (RATING, "1")):
        store.add(rating, click)
    assert store.ratings() == [later]
    assert rows(store) == [("1", RATING.case, 1.0, 0.5), ("2", RATING.case, 0.0, 0.5)]


def test_the_file_is_in_write_ahead_mode_and_fully_synchronised(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    with store._open() as held:
        assert held.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert held.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert held.execute("PRAGMA user_version").fetchone() == (SCHEMA,)


def test_other_scores_than_the_three_are_refused(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    with pytest.raises(EvaluationError, match=r"SC 0\.7"):
        store.add(replace(RATING, sc=0.7), "1")
    with pytest.raises(EvaluationError, match="PQ 2"):
        store.add_all([replace(RATING, pq=2.0)])
    assert store.ratings() == []


def test_what_is_no_store_is_refused_with_one_line(tmp_path):
    with pytest.raises(EvaluationError, match="there are no ratings"):
        Store(tmp_path / "missing.sqlite", create=False)
    (tmp_path / "text").write_text("not a database, but long enough to have a header " * 9)
    with pytest.raises(EvaluationError, match="is no store"):
        Store(tmp_path / "text")
    store = Store(tmp_path / "r.sqlite")
    with sqlite3.connect(store.path) as held:
        held.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    with pytest.raises(EvaluationError, match=f"has version {SCHEMA + 1}"):
        Store(tmp_path / "r.sqlite")


def test_a_store_is_of_one_suite(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    store.bind("in_domain", "ab12")
    store.bind("in_domain", "ab12")
    for name, sha256 in (("zero_shot", "ab12"), ("in_domain", "ab13")):
        with pytest.raises(EvaluationError, match="name another --store"):
            Store(store.path).bind(name, sha256)


def test_an_import_is_all_or_nothing(tmp_path):
    store = Store(tmp_path / "r.sqlite")
    store.add(RATING, "1")
    other = replace(RATING, rater="bob")
    assert store.add_all([replace(RATING, image="", at=0.0), other]) == 1
    with pytest.raises(EvaluationError, match=r"ann gave subject/0001 of ours \[1, 0\.5\]"):
        store.add_all([replace(RATING, rater="carl"), replace(RATING, pq=0.0)])
    assert {rating.rater for rating in store.ratings()} == {"ann", "bob"}


def test_many_raters_write_at_once(tmp_path):
    path = tmp_path / "r.sqlite"

    def work(rater):
        store = Store(path)
        for number in range(10):
            store.add(replace(RATING, rater=rater, case=f"a/{number}"), f"{rater}-{number}")

    raters = [f"rater{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, raters))
    assert {r.key for r in Store(path).ratings()} == {
        (f"a/{number}", "ours", rater) for number in range(10) for rater in raters
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [(" Ann  Lee ", "ann lee"), ("RATER1", "rater1"), ("Jo\u0308rg", "j\u00f6rg")],
)
def test_a_name_is_the_same_however_it_is_typed(given, kept):
    assert rater_name(given) == kept


@pytest.mark.parametrize("given", ["", "  ", "a_b", "../x", ".x", "x.", "a\tb/c", "a" * 41, "a:b"])
def test_names_that_cannot_be_files_are_refused(given):
    with pytest.raises(EvaluationError, match="cannot be a rater's name"):
        rater_name(given)


def click_on(path, first, confirmed):
    store, number = Store(path), first
    while True:
        store.add(replace(RATING, case=f"a/{number}"), str(number))
        confirmed.send_bytes(b"%d" % number)
        number += 1


def test_no_confirmed_click_is_lost_or_doubled_when_the_writer_is_killed(tmp_path):
    """Each process goes on with the click that the last one had not confirmed."""
    path, confirmed = tmp_path / "r.sqlite", -1
    fork = multiprocessing.get_context("fork")
    for turn in range(12):
        here, there = fork.Pipe(duplex=False)
        writer = fork.Process(target=click_on, args=(path, confirmed + 1, there))
        writer.start()
        there.close()
        for _ in range(turn % 5 + 1):
            confirmed = int(here.recv_bytes())
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        while True:  # what it had confirmed before it died
            try:
                confirmed = int(here.recv_bytes())
            except EOFError:
                break
        kept = [click for click, *_ in rows(Store(path))]
        # the one after the last confirmed may be there: its answer was lost, and it is sent again
        assert kept in ([str(n) for n in range(confirmed + more)] for more in (1, 2))
    assert confirmed >= 12


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as held:
        held.execute("CREATE TABLE songs (name TEXT)")
    for create in (True, False):
        with pytest.raises(EvaluationError, match="something else"):
            Store(path, create=create)
    with sqlite3.connect(path) as held:
        assert held.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
