"""The fixed instructions of sheets and demo."""

from __future__ import annotations

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.evaluation.cases import fixed_examples


def test_a_row_for_each_task_of_the_paper_and_one_for_the_combination():
    rows = dict(fixed_examples(fallback_vocabulary(), each=3))
    assert set(rows) == {name for name, ratio in PAPER_RATIOS.items() if ratio > 0} | {
        "style + subject"
    }
    assert all(len(examples) == 3 for examples in rows.values())
    assert rows == dict(fixed_examples(fallback_vocabulary(), each=3))


def test_style_and_subject_takes_each_from_its_own_reference():
    rows = dict(fixed_examples(fallback_vocabulary(), each=8))
    for example in rows["style + subject"]:
        subject, style = example.references
        assert (subject.role, style.role) == ("subject", "style")
        (shown,), (other,) = (r.picture.scene.placements for r in example.references)
        (target,) = example.target.scene.placements
        assert target.concept == shown.concept != other.concept
        assert target.style == other.style != shown.style
        assert "[ref#1]" in example.text
        assert "[ref#2]" in example.text
