"""The fixed instructions of sheets and demo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.evaluation.cases import (
    fixed_examples,
    further_examples,
    to_instruction,
)
from instruct_imagen.instruction import without_markers
from tests.data.people import people


def test_a_row_for_each_task_of_the_paper_and_one_for_the_combination():
    rows = dict(fixed_examples(fallback_vocabulary(), each=3))
    paper = {name for name, ratio in PAPER_RATIOS.items() if ratio > 0}
    assert set(rows) == paper - {"face", "face_hq"} | {"style + subject"}
    assert all(len(examples) == 3 for examples in rows.values())
    assert rows == dict(fixed_examples(fallback_vocabulary(), each=3))


def test_faces_have_rows_where_the_world_has_some():
    words = replace(fallback_vocabulary(), faces=people())
    rows, without = fixed_examples(words, each=2), fixed_examples(fallback_vocabulary(), each=2)
    assert [row for row in rows if not row[0].startswith("face")] == list(without)
    assert [len(dict(rows)[name]) for name in ("face", "face_hq")] == [2, 2]


def test_further_rows_are_those_of_tasks_that_the_fixed_ones_lack():
    ratios = {"text_to_image": 0.5, "masked_edit": 0.5, "subject_in_place": 0.0, "my_subject": 1.0}
    ((title, examples),) = further_examples(ratios, fallback_vocabulary(), each=3)
    assert title == "masked_edit"
    assert [example.task for example in examples] == ["masked_edit"] * 3
    assert len(set(examples)) == 3
    assert further_examples(PAPER_RATIOS, fallback_vocabulary()) == ()
    ((title, examples),) = further_examples({"multi_subject": 1.0}, fallback_vocabulary(), each=1)
    assert [title] == [example.task for example in examples] == ["multi_subject"]


def test_style_and_subject_takes_each_from_its_own_reference():
    rows = dict(fixed_examples(fallback_vocabulary(), each=8))
    for example in rows["style + subject"]:
        assert example.task == "style_subject"
        subjects = [one for one in example.references if one.role == "subject"]
        (style,) = (one for one in example.references if one.role == "style")
        (other,) = style.picture.scene.placements
        (target,) = example.target.scene.placements
        for subject in subjects:
            (shown,) = subject.picture.scene.placements
            assert target.concept == shown.concept != other.concept
            assert target.style == other.style != shown.style
            assert f"[ref#{subject.marker}] {shown.concept}" in example.text
        assert f"[ref#{style.marker}]" in example.text


def test_raw_inputs_are_the_caption_behind_the_markers():
    for title, examples in fixed_examples(fallback_vocabulary(), each=8):
        for example in examples:
            pictures = [np.zeros((2, 2, 3), np.uint8) for _ in example.references]
            made = to_instruction(example, pictures, instruction=False)
            assert without_markers(made.text) == example.caption
            assert set(made.markers) == {reference.marker for reference in example.references}
            assert len(made.references) == len(pictures)
            assert bool(example.caption) == (title != "style_transfer")
            assert to_instruction(example, pictures).text == example.text
