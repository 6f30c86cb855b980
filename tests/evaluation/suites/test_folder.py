"""Suites of real images in a folder."""

from __future__ import annotations

import json

import pytest

from instruct_imagen.evaluation.case import Condition, EvaluationError
from instruct_imagen.evaluation.suites.folder import SUITE_FILE, FolderSuite, write_suite
from instruct_imagen.images import load_image
from tests.data.corpora.layouts import encoded


def case(number: int = 0, **more):
    return {
        "id": f"subject/{number:04d}",
        "group": "subject",
        "text": "the [ref#1] dog in the snow",
        "references": [
            {"marker": 1, "text": "dog", "role": "subject", "image": "images/0.png"},
            {"marker": 1, "text": "dog", "image": "images/1.png"},
        ],
        "prompt": "a dog in the snow",
        "conditions": [
            {"name": "subject", "kind": "subject", "marker": 1},
            {"name": "text", "kind": "text"},
        ],
        "seed": 5 + number,
        **more,
    }


IMAGES = {"images/0.png": encoded(0), "images/1.png": encoded(1)}


def test_what_is_written_is_read(tmp_path):
    paired = case(
        2,
        group="words",
        id="words/0",
        pair="subject/0000",
        unseen="style",
        text="a dog",
        references=[],
        conditions=[{"name": "text", "kind": "text"}],
    )
    suite = write_suite(tmp_path / "mine", "mine", [case(), case(1), paired], IMAGES, version=3)
    assert (suite.name, suite.version, suite.groups) == ("mine", 3, {"subject": 2, "words": 1})
    first, _, last = suite.cases(64)
    assert first.example is None and first.target is None and first.seed == 5
    assert first.conditions == (
        Condition(name="subject", kind="subject", marker=1),
        Condition(name="text", kind="text"),
    )
    assert first.references == 1 and len(first.instruction.references) == 2
    assert load_image(first.instruction.references[0].image).size == (8, 8)
    assert first.raw_instruction.text == "[ref#1] a dog in the snow"
    assert (last.pair, last.unseen) == ("subject/0000", "style")
    assert FolderSuite.open(tmp_path / "mine").sha256 == suite.sha256
    assert suite.roles() == {frozenset({"subject"}), frozenset()}
    assert suite.roles(["words"]) == {frozenset()}


def test_the_hash_is_of_the_words_and_of_every_image(tmp_path):
    write_suite(tmp_path / "a", "mine", [case()], IMAGES)
    other = {**IMAGES, "images/1.png": encoded(2)}
    hashes = {
        FolderSuite.open(tmp_path / "a").sha256,
        write_suite(tmp_path / "b", "mine", [case()], other).sha256,
        write_suite(tmp_path / "c", "mine", [case(seed=9)], IMAGES).sha256,
    }
    assert len(hashes) == 3
    assert write_suite(tmp_path / "d", "mine", [case()], IMAGES).sha256 in hashes


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EvaluationError, match="name a new one"):
        write_suite(tmp_path, "mine", [case()], IMAGES)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"seed": "7"}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"text": "a dog [ref#2]"}, r"\[ref#2\]"),
        ({"conditions": []}, "one or more"),
        ({"conditions": [{"name": "a", "kind": "text"}] * 2}, "different names"),
        ({"conditions": [{"name": "a", "kind": "shape"}]}, "unknown kind 'shape'"),
        ({"conditions": [{"name": "a", "kind": "style", "marker": 2}]}, "marker 2 has no"),
        ({"unseen": "person"}, "unseen must be one of"),
        ({"pair": "nobody"}, "paired with 'nobody'"),
        ({"references": [{"marker": 1, "text": "dog", "image": "../x.png"}]}, "inside the folder"),
        ({"references": [{"marker": 1, "text": "dog", "image": "/etc/x.png"}]}, "inside the"),
        ({"references": [{"marker": 1, "text": "dog", "image": "no.png"}]}, "no.png"),
        ({"references": [{"marker": 1, "text": "dog"}]}, "has no 'image'"),
        ({"references": [{"marker": 1, "text": "d", "image": "images/0.png", "role": "x"}]},
         "unknown role"),
        ({"references": "none"}, "references must be a list"),
    ],
)  # fmt: skip
def test_a_wrong_case_is_told_in_one_line(tmp_path, change, message):
    with pytest.raises(EvaluationError, match=message) as error:
        write_suite(tmp_path / "mine", "mine", [{**case(), **change}], IMAGES)
    assert "\n" not in str(error.value) and SUITE_FILE in str(error.value)


def test_wrong_lists_are_told(tmp_path):
    def told(name, cases):
        with pytest.raises(EvaluationError) as error:
            write_suite(tmp_path / name, "mine", cases, IMAGES)
        return str(error.value)

    assert "twice" in told("a", [case(), case()])
    scattered = [case(), case(1, group="b"), case(2)]
    assert "put all of the group 'subject' together" in told("b", scattered)
    assert "no cases" in told("c", [])
    assert "has no 'group'" in told("d", [{"id": "x"}])
    assert "must be an object" in told("e", ["case"])


def test_a_folder_without_a_suite_is_told(tmp_path):
    with pytest.raises(EvaluationError, match=r"suite\.json: No such file"):
        FolderSuite.open(tmp_path)
    (tmp_path / SUITE_FILE).write_text("{")
    with pytest.raises(EvaluationError, match="is no JSON"):
        FolderSuite.open(tmp_path)
    (tmp_path / SUITE_FILE).write_text(json.dumps({"name": "x", "version": 1}))
    with pytest.raises(EvaluationError, match="has no 'cases'"):
        FolderSuite.open(tmp_path)


def test_an_image_that_is_none_is_told(tmp_path):
    broken = {**IMAGES, "images/1.png": b"no image"}
    with pytest.raises(EvaluationError, match=r"references\[1\].*1.png"):
        write_suite(tmp_path / "mine", "mine", [case()], broken)
