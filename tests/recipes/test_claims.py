import dataclasses

import pytest

from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.recipes import recipe
from instruct_imagen.recipes.claims import SINGLE_TASKS, SMALL, TUNED, VARIANTS

EQUAL = [arm for arm in VARIANTS if arm not in ("instruct", "stage_1", *TUNED)]


def images(config):
    return sum(stage.images for stage in config.stages)


@pytest.mark.parametrize("arm", EQUAL)
def test_arms_see_as_many_images_and_differ_in_what_they_are_named_for_alone(arm):
    usual, found = recipe("claims-instruct"), recipe(f"claims-{arm}")
    assert images(found) == images(usual)
    allowed = {"name", "out", "instruction"} if arm == "multi_task" else {"name", "out", "stages"}
    allowed |= {"shards", "shard_stages"} if arm == "clusters" else set()
    changed = {
        field.name
        for field in dataclasses.fields(usual)
        if getattr(usual, field.name) != getattr(found, field.name)
    }
    assert changed == allowed


def test_only_no_retrieval_and_single_tasks_leave_out_stage_1():
    without = {
        arm
        for arm in ("instruct", "stage_1", *EQUAL)
        if not any(s.name == "retrieval" and s.images for s in recipe(f"claims-{arm}").stages)
    }
    assert without == {"no_retrieval", *(f"single-{row}" for row in SINGLE_TASKS)}


def test_stage_1_is_the_beginning_of_instruct():
    usual, found = recipe("claims-instruct"), recipe("claims-stage_1")
    seen = [stage for stage in found.stages if stage.images]
    assert seen == list(usual.stages[: len(seen)])
    assert [stage.name for stage in seen] == ["pretrain", "retrieval"]


@pytest.mark.parametrize("arm", TUNED)
def test_a_fine_tuned_arm_has_the_world_and_network_of_those_that_it_begins_with(arm):
    usual, found = recipe("claims-instruct"), recipe(f"claims-{arm}")
    assert {name: getattr(found, name) for name in SMALL} == dict(SMALL)
    assert {name: getattr(usual, name) for name in SMALL} == dict(SMALL)
    assert [set(stage.ratios) for stage in found.stages] == [{arm}]
    assert 0 < found.cooldown < images(found) and images(found) % found.batch_size == 0
    assert found.init.endswith("instruct/model")


def test_the_single_tasks_are_those_of_the_mixture():
    together = {task for ratios in SINGLE_TASKS.values() for task in ratios}
    # The paper's Table 4 has no row for sketches.
    assert together == {n for n, ratio in PAPER_RATIOS.items() if ratio} - {"sketch_to_image"}
