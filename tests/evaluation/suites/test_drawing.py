"""How suites are drawn: again, the same; and only what can be judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruct_imagen.data.example import (
    Background,
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import fallback_atlas
from instruct_imagen.evaluation.suites import drawing, vocabularies
from instruct_imagen.evaluation.suites.composition import EVERY_SUITE
from instruct_imagen.evaluation.suites.legible import fault
from instruct_imagen.evaluation.suites.world import frozen_manifest, world_suite
from instruct_imagen.recipes import recipe
from instruct_imagen.training.build import recipe_vocabulary

WHITE = Background(kind="plain", colours=("white",))


def test_the_starter_still_trains_on_what_the_suites_call_seen():
    words = recipe_vocabulary(recipe("starter"))
    assert vocabularies.seen().pairs == words.pairs
    assert vocabularies.seen().variety == words.variety
    # Faces are there where Node.js is.
    assert {face.person for face in vocabularies.seen().faces} == {f.person for f in words.faces}
    few, words = vocabularies.few_concepts(), recipe_vocabulary(recipe("claims-instruct"))
    assert few.pairs == words.pairs and few.variety == words.variety
    assert {face.person for face in few.faces} == {face.person for face in words.faces}
    assert set(few.pairs) <= set(vocabularies.seen().pairs)
    unseen = vocabularies.with_unseen_style()
    assert len(unseen.concepts_of("openmoji")) == len(vocabularies.seen().concepts) == 400


@pytest.mark.parametrize(("name", "number"), [("editing", 2), ("few_zero_shot", 0)])
def test_drawn_again_the_cases_are_the_same(monkeypatch, name, number):
    row = replace(EVERY_SUITE[name][number], count=6)
    few = {**EVERY_SUITE, name: (row,)}
    monkeypatch.setattr(drawing, "EVERY_SUITE", few)
    monkeypatch.setattr(drawing, "row_seed", lambda name, _: drawing.SUITE_SEED
                        + 1000 * list(EVERY_SUITE).index(name) + number)  # fmt: skip
    drawn = drawing.draw_suite(name)
    frozen = [one for one in world_suite(name).stored if one.group == row.group]
    assert drawn.cases == tuple(frozen[:6])


def test_what_was_left_out_is_written_down():
    left_out = [about["left_out"] for about in frozen_manifest()["suites"].values()]
    assert {reason for one in left_out for reason in one} <= {
        "pale", "hidden", "small", "names", "no change", "crowded", "tilt", "drawn before",
    }  # fmt: skip
    assert any(left_out)


def asset(concept="ball", **more) -> Placement:
    return Placement(**{"concept": concept, "style": "flat", "x": 0.5, "y": 0.5, "scale": 0.6,
                        **more})  # fmt: skip


def example(*assets: Placement, references=(), background=WHITE, task="text_to_image") -> Example:
    scene = Scene(background=background, placements=assets)
    return Example(task=task, text="x", caption="x", references=references,
                   target=Picture(scene=scene))  # fmt: skip


def source(*assets: Placement) -> ExampleReference:
    picture = Picture(scene=Scene(background=WHITE, placements=assets))
    return ExampleReference(marker=1, text="image", role="source", picture=picture)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (example(asset()), ""),
        (example(asset("house", turn=90)), ""),
        (example(asset("sun", turn=45)), "tilt"),
        (example(asset(scale=0.08)), "small"),
        (example(asset(), asset(scale=0.62)), "hidden"),
        (example(asset(), references=(source(asset()),), task="instruction_edit"), "no change"),
        (example(asset(), references=(source(asset(x=0.3)),), task="instruction_edit"), ""),
        (example(asset(), references=(source(asset(flip=True)),), task="instruction_edit"),
         "no change"),
        (example(asset(), references=(source(asset()),), task="no_op"), ""),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_named(case, reason):
    assert fault(case, fallback_atlas()) == reason


def test_what_has_the_colour_of_its_background_is_pale():
    atlas = fallback_atlas()
    pair = (asset().concept, "flat")
    sprites = atlas.sprites[[atlas.row(*pair)]].copy()
    sprites[:, :3] = sprites[:, 3:]  # white wherever it covers
    white = Atlas(pairs=(pair,), sprites=sprites, sources={})
    assert fault(example(asset()), white) == "pale"
    red = Background(kind="plain", colours=("red",))
    assert fault(example(asset(), background=red), white) == ""


def test_names_that_hold_each_other_are_not_told_apart():
    atlas = fallback_atlas()
    rows = [atlas.row(*atlas.pairs[0])] * 2
    both = Atlas(pairs=(("rose", "flat"), ("wilted-rose", "flat")), sprites=atlas.sprites[rows],
                 sources={})  # fmt: skip
    first = Placement(concept="rose", style="flat", x=0.25, y=0.5, scale=0.4)
    second = replace(first, concept="wilted-rose", x=0.75)
    assert fault(example(first, second), both) == "names"
    assert fault(example(first), both) == ""
