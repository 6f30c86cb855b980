"""Cases as lines of text."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from instruct_imagen.data.corpora.records import StoredImage
from instruct_imagen.data.example import Background, Example, Picture, Placement, Scene
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites.storage import (
    StoredCase,
    from_line,
    from_lines,
    to_line,
    to_lines,
)
from tests.data.people import people

WORDS = replace(fallback_vocabulary(), variety=Variety(turned=0.5, tinted=0.5), faces=people())


def stored(example: Example, **more) -> StoredCase:
    return StoredCase(id="a/0000", group="a", seed=7, example=example, **more)


@pytest.mark.parametrize("name", all_tasks())
def test_what_any_task_draws_is_read_back_exactly(name):
    task = all_tasks()[name]()
    cases = tuple(stored(task.example(scene_rng(5, index), WORDS)) for index in range(40))
    lines = to_lines(cases)
    assert from_lines(lines) == cases
    assert to_lines(from_lines(lines)) == lines
    assert len(lines.splitlines()) == 40


def test_every_field_survives():
    placements = (
        Placement(concept="dog", style="flat", x=1 / 3, y=0.1 + 0.2, scale=0.7, flip=True),
        Placement(concept="cat", style="flat", x=0.5, y=0.5, scale=0.3, turn=45, tint="red"),
    )
    place = Background(kind="place", place="beach", variant=2)
    scene = Scene(background=place, placements=placements)
    base = Example(task="t", text="x", caption="", references=(), target=Picture(scene=scene))
    for picture in (
        Picture(scene=scene, kind="edge", dilation=2),
        Picture(scene=scene, kind="sketch", hand=2**40 + 1),
        Picture(scene=replace(scene, placements=())),
    ):
        case = stored(replace(base, target=picture), unseen="style", pair="b/0001")
        assert from_line(to_line(case)) == case


def test_defaults_are_left_out():
    scene = Scene(background=Background(kind="plain", colours=("red",)), placements=())
    example = Example(task="t", text="x", caption="c", references=(), target=Picture(scene=scene))
    data = json.loads(to_line(stored(example)))
    assert set(data) == {"id", "group", "seed", "example"}
    assert data["example"]["target"] == {
        "scene": {"background": {"kind": "plain", "colours": ["red"]}, "placements": []}
    }


def test_images_are_not_frozen():
    image = StoredImage(data=b"x", name="x")
    example = Example(task="t", text="x", caption="", references=(), target=image)
    with pytest.raises(EvaluationError, match=r"StoredImage.*folder suite"):
        to_line(stored(example))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("seed"),
        lambda data: data.update(colour="red"),
        lambda data: data["example"]["target"].update(kind="edge", wide=1),
        lambda data: data["example"]["target"].update(dilation=3),
        lambda data: data["example"]["target"]["scene"].update(weather="rain"),
        lambda data: data.update(unseen="person"),
    ],
)
def test_a_changed_line_is_refused_in_one_line(change):
    scene = Scene(background=Background(kind="plain", colours=("red",)), placements=())
    example = Example(task="t", text="x", caption="c", references=(), target=Picture(scene=scene))
    data = json.loads(to_line(stored(example)))
    change(data)
    with pytest.raises(EvaluationError) as error:
        from_line(json.dumps(data))
    assert "\n" not in str(error.value)
