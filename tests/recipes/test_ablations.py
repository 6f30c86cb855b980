"""The recipes of the paper's comparisons differ from the starter in what they are named for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruct_imagen.data.mixture import PAPER_RATIOS, integer_weights
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.recipes import RecipeError, TrainConfig, recipe, recipe_names

PAPER_TASKS = sorted(name for name, ratio in PAPER_RATIOS.items() if ratio > 0)
SINGLE = [f"single_task-{task}" for task in PAPER_TASKS]


def images(config: TrainConfig) -> dict[str, int]:
    return {stage.name: stage.images for stage in config.stages}


@pytest.mark.parametrize("name", ["multi_task", "no_retrieval", *SINGLE])
def test_all_see_as_many_images_in_folders_of_their_own(name):
    usual, found = recipe("starter"), recipe(name)
    assert sum(images(found).values()) == sum(images(usual).values())
    assert found.out == f"out/{name}"
    for stage in found.stages:
        assert integer_weights(stage.ratios, known=tuple(all_tasks()))
    # Nothing but stages and instruction is another.
    same = {"name": usual.name, "out": usual.out, "stages": usual.stages}
    assert replace(found, **same, instruction=True) == usual


def test_multi_task_has_raw_inputs_and_the_starters_stages():
    usual, found = recipe("starter"), recipe("multi_task")
    assert (usual.instruction, found.instruction) == (True, False)
    assert found.stages == usual.stages


def test_without_retrieval_its_images_go_to_pretraining():
    usual, found = recipe("starter"), recipe("no_retrieval")
    before, after = images(usual), images(found)
    assert after.pop("pretrain") == before.pop("pretrain") + before.pop("retrieval")
    assert after == before
    assert all("retrieval" not in stage.ratios for stage in found.stages)
    assert found.stages[1:] == usual.stages[2:]
    assert found.instruction


def test_the_text_only_upscaler_sees_no_references_and_is_else_the_upscaler():
    usual, found = recipe("upscaler"), recipe("upscaler_text_only")
    assert usual.drop_context < found.drop_context == 1.0
    assert found.out != usual.out
    same = {"name": usual.name, "out": usual.out, "drop_context": usual.drop_context}
    assert replace(found, **same) == usual


@pytest.mark.parametrize("task", PAPER_TASKS)
def test_a_single_task_is_all_that_follows_pretraining(task):
    usual, found = recipe("starter"), recipe(f"single_task-{task}")
    assert found.stages[0] == usual.stages[0]
    assert [dict(stage.ratios) for stage in found.stages[1:]] == [{task: 1.0}]


def test_each_single_task_has_a_name_and_nothing_else_has():
    assert {name for name in recipe_names() if name.startswith("single_task")} == set(SINGLE)
    for wrong in ("single_task", "single_task-", "single_task-nothing", "starter-subject"):
        with pytest.raises(RecipeError, match=f"unknown recipe '{wrong}': use one of .*single_"):
            recipe(wrong)
