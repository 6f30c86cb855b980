"""Edits that change nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from instruct_imagen.data.tasks.base import placeholders
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.scenes import caption_name, scene_rng
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites import no_op as module
from instruct_imagen.evaluation.suites.no_op import MIN_WORDINGS, no_op, wordings
from instruct_imagen.instruction import markers_in


def test_there_are_enough_wordings_and_none_is_there_twice():
    assert len(set(wordings())) == len(wordings()) >= MIN_WORDINGS
    forms = Counter(placeholders(one) - {"a"} for one in wordings())
    assert len(forms) == 6 and min(forms.values()) >= 3


def test_the_answer_is_the_source_and_the_words_ask_for_what_is_so():
    kept = 0
    for index in range(300):
        example = no_op(scene_rng(3, index), fallback_vocabulary())
        (source,) = example.references
        assert example.target == source.picture and source.role == "source"
        assert markers_in(example.text) == (1,)
        assert "{" not in example.text and "  " not in example.text
        scene = example.target.scene
        names = [caption_name(asset.concept) for asset in scene.placements]
        text = example.text.lower()
        if "background" in text and "same background" not in text:
            assert all(colour in text for colour in scene.background.colours)
        elif any(name in text for name in names):
            assert any(word in text for word in ("there", "has", "show"))
        elif any(word in text for word in ("remove", "out of", "no trace")):
            assert not any(name in text for name in names)
        else:
            kept += 1
    assert 100 < kept < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [("keep {source}\n", "1 wordings"), ("keep {source} {first}\n", "go together")],
)
def test_a_file_that_is_wrong_is_refused(tmp_path, monkeypatch, text, message):
    (tmp_path / "no_op.txt").write_text(text)
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    wordings.cache_clear()
    try:
        with pytest.raises(EvaluationError, match=message):
            wordings()
    finally:
        wordings.cache_clear()
