"""Training on stored examples: the same steps as on drawn ones, and no others."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from instruct_imagen.data.corpus_tasks import corpus_job
from instruct_imagen.data.shards.building import build_shards
from instruct_imagen.data.shards.index import ShardIndex, index_shards
from instruct_imagen.data.shards.job import ShardJob
from instruct_imagen.data.shards.layout import ShardError
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.recipes import RecipeError, Stage, recipe
from instruct_imagen.recipes.from_clusters import clusters_alone
from instruct_imagen.training import stream
from instruct_imagen.training.build import build_world
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.dry_run import reckon
from instruct_imagen.training.export import export
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.shards import stage_mixture
from tests.data.corpora.layouts import LAYOUTS, Numbered
from tests.training.runs import kill_at, tensors, tiny, train

LAST = (
    "pretrain.images=0", "retrieval.images=0", "layouts.images=0", "subjects.images=0",
    "instruct.images=24", "noises=1",
)  # fmt: skip


@pytest.fixture(scope="module")
def job() -> ShardJob:
    """64 examples in the ratios of the starter's last stage."""
    config = tiny("unused")
    vocabulary, atlas = build_world(config)
    return ShardJob(
        recipe="starter",
        tasks=dict(all_tasks()),
        ratios=config.stages[-1].ratios,
        vocabulary=vocabulary,
        atlas=atlas,
        size=16,
        seed=3,
        examples=64,
        shard=20,
    )


@pytest.fixture(scope="module")
def shards(tmp_path_factory, job) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "world"
    build_shards(folder, job)
    return folder


def trainer(out, shards, *settings):
    found = Trainer(tiny(out, *LAST, *([f"shards={shards}"] if shards else []), *settings))
    found.sheet = lambda: None
    return found


def losses_of(run: Trainer, steps: int) -> list[torch.Tensor]:
    seen, note = [], run.record.losses
    run.record.losses = lambda values, *others: (seen.append(values), note(values, *others))
    run.begin_stage()
    for _ in range(steps):
        run.step()
    return seen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_are_those_on_drawn_examples_bit_for_bit(
    tmp_path, monkeypatch, job, shards, precision
):
    stored = trainer(tmp_path / "stored", shards, f"precision={precision}")
    stored.stage = 4
    world = stored.world
    places = stage_mixture(stored.config, 4, world.tasks, world.vocabulary, world.shards)

    class Drawn:
        """The world's own examples, in the order in which the shards' are seen."""

        def examples(self, start, stop):
            numbers = [places.place(index)[1] for index in range(start, stop)]
            return [job.mixture().example(number) for number in numbers]

    expected = losses_of(stored, 3)
    monkeypatch.setattr(stream, "stage_mixture", lambda *_: Drawn())
    drawn = trainer(tmp_path / "drawn", "", f"precision={precision}")
    drawn.stage = 4
    found = losses_of(drawn, 3)
    assert len(expected) == 3 and all(map(torch.equal, expected, found))
    weights = drawn.model.state_dict()
    assert all(torch.equal(value, weights[n]) for n, value in stored.model.state_dict().items())


def test_a_killed_run_goes_on_exactly_and_only_with_these_shards(tmp_path, shards):
    given = f"shards={shards}"
    assert train(1, tmp_path / "whole", *LAST, given) == [0]
    run = (tmp_path / "killed", *LAST, "checkpoint_every=4")
    for place, number, workers in (("updated", 3, 0), ("backward", 2, 1), ("written", 4, 0)):
        arguments = (place, number)
        settings = (given, f"workers={workers}")
        assert train(1, *run, *settings, before=kill_at, arguments=arguments) == [-9]
    moved = tmp_path / "moved"
    shutil.copytree(shards, moved)
    assert train(1, *run, f"shards={moved}") == [0]
    expected, found = tensors(tmp_path / "whole"), tensors(tmp_path / "killed")
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    with pytest.raises(CheckpointError, match=r"begun with other shards than shards=.*out="):
        trainer(tmp_path / "killed", "")
    trainer(tmp_path / "world", "").save()
    with pytest.raises(CheckpointError, match="begun with other shards"):
        trainer(tmp_path / "world", shards)


def note_reads(folder: str) -> None:
    """Notes the number of each example that this process reads."""
    read = ShardIndex.read

    def noted(self, number):
        with (Path(folder) / os.environ["RANK"]).open("a") as file:
            file.write(f"{number}\n")
        return read(self, number)

    ShardIndex.read = noted


def test_processes_see_different_examples_and_together_those_of_one(tmp_path, shards):
    seen = {}
    for count in (1, 2):
        notes = tmp_path / f"notes-{count}"
        notes.mkdir()
        settings = (*LAST, f"shards={shards}", "instruct.images=40")
        codes = train(
            count, tmp_path / str(count), *settings, before=note_reads, arguments=(str(notes),)
        )
        assert codes == [0] * count
        seen[count] = [
            [int(line) for line in (notes / str(rank)).read_text().split()] for rank in range(count)
        ]
    (alone,), pair = seen[1], seen[2]
    assert len(alone) == 40 and len(pair[0]) == len(pair[1]) == 20
    assert Counter(pair[0] + pair[1]) == Counter(alone)
    tasks = index_shards(shards).tasks
    sizes = Counter(tasks.tolist())
    for number, count in Counter(alone).items():  # again only when all of its task were seen
        assert count == 1 or Counter(tasks[alone].tolist())[tasks[number]] > sizes[tasks[number]]


def test_shards_must_fit_the_recipe(tmp_path, shards):
    with pytest.raises(RecipeError, match=r"has pictures of 16 pixels, the recipe size=32"):
        trainer(tmp_path / "run", shards, "size=32")
    with pytest.raises(RecipeError, match="targets=2 is for clusters that are drawn"):
        trainer(tmp_path / "run", shards, "targets=2")
    with pytest.raises(ShardError, match=r"world have no retrieval and no reproduce, only"):
        trainer(tmp_path / "run", shards, "retrieval.images=4")
    with pytest.raises(RecipeError, match=r"folder=own is used by no stage .* trains on shards"):
        trainer(tmp_path / "run", shards, "folder=own")
    shutil.copytree(shards, tmp_path / "copy")
    with pytest.raises(RecipeError, match="holds the same as"):
        trainer(tmp_path / "run", f"{shards},{tmp_path / 'copy'}")
    with pytest.raises(ShardError, match="nowhere is no folder"):
        trainer(tmp_path / "run", tmp_path / "nowhere")


def test_one_stage_on_shards_and_the_others_on_the_world(tmp_path, own):
    """As stage 1 is on the clusters of a corpus."""
    faces = Stage(name="retrieval", images=8, ratios={"face": 1.0})
    rest = Stage(name="instruct", images=8, ratios={"face": 0.5, "subject": 0.5})
    given = (f"shards={own[0]},{own[1]}", "noises=1", "targets=1")
    both = replace(tiny(tmp_path / "run", *given), stages=(faces, rest))
    config = replace(both, shard_stages=("retrieval",))
    run = Trainer(config)
    world = run.world
    stored, drawn = (
        stage_mixture(config, place, world.tasks, world.vocabulary, world.shards)
        for place in (0, 1)
    )
    assert {one.text for one in stored.examples(0, 7)} == {
        index_shards(own[0]).read(number).text for number in range(7)
    }
    texts = {one.text for one in drawn.examples(0, 20)}
    for folder in own:
        index = index_shards(folder)
        assert not texts & {index.read(number).text for number in range(len(index))}
    # The world is a part of what it is trained on: its drawings are compared, and on the card.
    assert world.fingerprints["vocabulary"] and world.fingerprints["shards"]
    run.sheet = lambda: None
    run.run()
    export(run, tmp_path / "exported", dtype=torch.float32)
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "stored examples of celeba" in card and "the starter world:" in card
    with pytest.raises(CheckpointError, match=r"begun with other settings \(shard_stages"):
        Trainer(both)


def test_stage_1_on_clusters_and_nothing_else_of_them(tmp_path, job):
    """Shards as `clusters write` makes them have one task, and no stage but this one draws it."""
    clusters = replace(job, ratios={"retrieval": 1.0}, examples=8)
    build_shards(tmp_path / "stage1", clusters)
    usual = tiny(tmp_path / "run", f"shards={tmp_path / 'stage1'}", "shard_stages=retrieval")
    with pytest.raises(ShardError, match="no reproduce"):
        Trainer(usual)
    Trainer(clusters_alone(usual))
    whole = recipe("from_clusters")
    assert whole.stages == clusters_alone(recipe("starter")).stages
    assert whole.shard_stages == ("retrieval",)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("shard_stages=instruct",), "needs stored examples: name their folders"),
        (("shards=a", "shard_stages=retrieval"), "retrieval is no stage that has images: use ins"),
    ],
)
def test_stages_that_cannot_draw_from_shards(tmp_path, given, line):
    with pytest.raises(RecipeError, match=line):
        tiny(tmp_path, *LAST, *given)


class Disguised:
    """Held-out combinations under the name of a task of training."""

    name = "subject"
    forms = ()

    def example(self, rng, vocabulary):
        return replace(all_tasks()["style_subject"]().example(rng, vocabulary), task=self.name)


def test_what_is_held_out_is_never_drawn_but_may_lie_there(tmp_path, job, shards):
    build_shards(tmp_path / "held", replace(job, ratios={"style_subject": 1.0}, examples=2))
    held = index_shards(tmp_path / "held")
    assert held.combinations == {"style_subject": frozenset({"style+subject"})}
    both = f"{shards},{tmp_path / 'held'}"
    trainer(tmp_path / "run", both)  # no stage draws it
    with pytest.raises(RecipeError, match="heldout_tasks=true changes nothing"):
        trainer(tmp_path / "run", both, "heldout_tasks=true")
    stage = Stage(name="instruct", images=8, ratios={"style_subject": 1.0, "subject": 1.0})
    with pytest.raises(RecipeError, match="stage instruct draws style_subject, a combination"):
        replace(tiny(tmp_path / "run", f"shards={both}"), stages=(stage,))
    drawn = tiny(tmp_path / "run", f"shards={both}", "heldout_tasks=true")
    Trainer(replace(drawn, stages=(stage,)))


def test_a_combination_is_held_out_whatever_its_task_is_called(tmp_path, job, shards):
    disguised = replace(
        job, tasks={"subject": Disguised}, ratios={"subject": 1.0}, examples=3, seed=4
    )
    build_shards(tmp_path / "held", disguised)
    given = f"{shards},{tmp_path / 'held'}"
    cause = r"held holds as subject the combination style\+subject, .* stage instruct draws subject"
    for _ in range(2):  # also where the index is kept
        with pytest.raises(RecipeError, match=cause):
            trainer(tmp_path / "run", given)
    trainer(tmp_path / "run", given, "heldout_tasks=true")


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> list[Path]:
    """Shards of two data sets."""
    root = tmp_path_factory.mktemp("own")
    for name, task in (("celeba", "face"), ("dreambench", "subject")):
        LAYOUTS[name](root / name, Numbered())
        build_shards(root / task, corpus_job(name, root / name, task, size=16))
    return [root / "face", root / "subject"]


def test_a_run_on_data_sets_with_exact_ratios_and_a_card_that_names_them(tmp_path, own):
    stage = Stage(name="instruct", images=24, ratios={"face": 1.0, "subject": 2.0})
    given = f"shards={own[0]},{own[1]}"
    config = replace(tiny(tmp_path / "run", given, "noises=1"), name="own", stages=(stage,))
    assert reckon(config).work["instruct"] > 0
    run = Trainer(config)
    run.sheet = lambda: None
    tasks, note = [], run.record.losses
    run.record.losses = lambda a, b, names: (tasks.extend(names), note(a, b, names))
    run.run()
    assert Counter(tasks) == {"face": 8, "subject": 16}
    with pytest.raises(RecipeError, match="holds celeba, and world=packed knows only its own"):
        Trainer(replace(config, world="packed"))
    export(run, tmp_path / "exported", dtype=torch.float32)
    card = (tmp_path / "exported" / "README.md").read_text()
    (data,) = re.findall(r"\| data \| (.*) \|", card)
    assert "7 stored examples of celeba (non-commercial research only" in data
    assert "stored examples of dreambench" in data and "drawings" not in data
    assert str(own[0].parent) not in card
    assert str(own[0].parent) not in json.dumps(run.facts())
