"""The switch that lets a training draw what is held out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruct_imagen.data.mixture import PAPER_RATIOS, integer_weights
from instruct_imagen.data.tasks.registry import all_tasks, training_tasks
from instruct_imagen.recipes import RecipeError, Stage, override, recipe
from instruct_imagen.training.card import run_facts, write_card

HELD_OUT = sorted(set(all_tasks()) - set(training_tasks()))


@pytest.mark.parametrize("task", HELD_OUT)
def test_held_out_tasks_are_trained_on_with_the_switch_alone(task):
    usual = recipe("starter")
    stages = (*usual.stages[:-1], Stage(name="instruct", images=8, ratios={task: 0.1, "face": 1}))
    with pytest.raises(RecipeError, match=rf"stage instruct draws {task}, .*heldout_tasks=true"):
        replace(usual, stages=stages)
    assert replace(usual, stages=stages, heldout_tasks=True).stages == stages
    with pytest.raises(RecipeError, match="heldout_tasks=true changes nothing"):
        override(usual, ["heldout_tasks=true"])
    none = (*usual.stages[:-1], Stage(name="instruct", images=8, ratios={task: 0.0, "face": 1}))
    assert not replace(usual, stages=none).heldout_tasks
    skipped = (*stages[:-1], replace(stages[-1], images=0))
    assert not replace(usual, stages=skipped).heldout_tasks
    with pytest.raises(RecipeError, match="heldout_tasks=true changes nothing"):
        replace(usual, stages=skipped, heldout_tasks=True)


def test_the_recipe_is_the_starter_with_a_fifth_of_combinations():
    usual, found = recipe("starter"), recipe("all_conditions")
    same = {"name": usual.name, "out": usual.out, "stages": usual.stages, "heldout_tasks": False}
    assert replace(found, **same) == usual
    assert found.stages[:-1] == usual.stages[:-1]
    ratios = dict(found.stages[-1].ratios)
    assert sum(ratios.values()) == pytest.approx(1.0)
    assert sum(ratios[task] for task in HELD_OUT) == pytest.approx(0.2)
    for name, ratio in PAPER_RATIOS.items():
        assert ratios[name] == pytest.approx(0.8 * ratio)
    # Exact over a period, as the paper's mixture.
    assert sum(integer_weights(ratios, tuple(all_tasks())).values()) == 125
    with pytest.raises(RecipeError, match="heldout_tasks=true for a model"):
        override(found, ["heldout_tasks=false"])


def test_the_card_says_that_combinations_were_trained_on(tmp_path):
    facts = {"parameters": 1, "data": "the starter world", "holdout": 1, "dtype": "float32"}
    for name, seen, expected in (
        ("starter", {"instruct": 8}, False),
        ("all_conditions", {"pretrain": 8, "instruct": 8}, True),
        ("all_conditions", {"pretrain": 8, "instruct": 0}, False),  # ended before any was seen
        ("all_conditions", {"pretrain": 8}, False),
    ):
        config = recipe(name)
        runs = [run_facts(config, stages=seen, seconds=1.0)]
        assert runs[0]["heldout_tasks"] == expected
        for listed in (runs, [*runs, run_facts(recipe("starter"), stages={}, seconds=1.0)]):
            write_card(tmp_path, config, listed, **facts)
            said = "no zero-shot claims" in (tmp_path / "README.md").read_text()
            assert said == expected
