from __future__ import annotations

import pytest

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.sweep import as_drawn, axes, settings_of, with_settings


def test_every_combination_of_the_settings():
    found = list(settings_of(axes(["steps=5,10", "guidance=1,3,5"])))
    assert len(found) == 6
    assert found[0] == {"steps": "5", "guidance": "1"}
    assert found[-1] == {"steps": "10", "guidance": "5"}


def test_settings_replace_those_of_the_model():
    spec = "pipeline:model=starter,guidance=2,steps=50"
    assert with_settings(spec, {"steps": "5", "precision": "bfloat16"}) == (
        "pipeline:model=starter,guidance=2,steps=5,precision=bfloat16"
    )


def test_references_are_looked_at_without_compositing():
    assert as_drawn("pipeline:model=starter,steps=5").endswith(",steps=5,compositing=off")
    assert as_drawn("copy_reference:size=8") == "copy_reference:size=8"


def test_a_setting_that_is_named_twice_and_peers_without_settings_are_refused():
    with pytest.raises(EvaluationError, match=r"names steps twice.* steps=5,10"):
        axes(["steps=5", "guidance=2", "steps=10"])
    with pytest.raises(EvaluationError, match="copy_reference is none"):
        with_settings("copy_reference", {"steps": "5"})


@pytest.mark.parametrize("given", ["steps", "colour=red", "steps=", "model=a,b"])
def test_what_cannot_be_swept_is_one_line(given):
    with pytest.raises(EvaluationError, match=r"write e.g. steps=5,10,20"):
        axes([given])
