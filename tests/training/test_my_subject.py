"""Trainings on a user's own folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.data.mixture import Mixture
from instruct_imagen.recipes import RecipeError, recipe
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.export import export
from instruct_imagen.training.loop import Trainer
from tests.training.runs import tensors, tiny


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "images"
    found.mkdir()
    random = np.random.default_rng(0)
    for index in range(4):
        pixels = random.integers(0, 256, (24, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(found / f"{index}.png")
    (found / "0.txt").write_text("A clay dog on a table.")
    return found


def trainer(out, folder, *settings):
    small = tiny(out, f"folder={folder}", "subject=clay dog", "instruct.images=16", *settings)
    stage = replace(recipe("my_subject").stages[0], images=16)
    found = Trainer(replace(small, name="my_subject", stages=(stage,)))
    found.sheet = lambda: None
    return found


def test_a_run_on_a_folder_goes_on_exactly_and_only_with_that_folder(tmp_path, folder):
    trainer(tmp_path / "whole", folder).run()
    first = trainer(tmp_path / "parts", folder, "workers=1")
    first.begin_stage()
    for _ in range(2):
        first.step()
    first.save()
    moved = folder.rename(tmp_path / "moved")
    second = trainer(tmp_path / "parts", moved)
    assert second.images == 8
    second.run()
    expected, found = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    # What the folder shows, and what its subject is called, both matter.
    (moved / "3.txt").write_text("a clay dog asleep")
    with pytest.raises(CheckpointError, match=r"begun with other images or captions.*out="):
        trainer(tmp_path / "parts", moved)
    with pytest.raises(CheckpointError, match="subject: clay dog, now dog"):
        trainer(tmp_path / "parts", moved, "subject=dog")
    trainer(tmp_path / "words", moved).run()
    other = tensors(tmp_path / "words")
    assert any(not torch.equal(expected[name], other[name]) for name in expected)


def test_photographs_and_scenes_are_both_trained_on(tmp_path, folder):
    run = trainer(tmp_path / "run", folder, "noises=1")
    run.begin_stage()
    for _ in range(4):
        run.step()
    losses, config = run.record.window, run.config
    stream = Mixture(
        run.world.tasks, config.stages[0].ratios, run.world.vocabulary, config.seed * 16
    )
    own = sum(stream.task_at(index) == "my_subject" for index in range(16))
    assert abs(own - 8) <= 1  # half of them, as near as every prefix of a mixture is
    assert len(losses["loss/my_subject"]) == own and len(losses["loss"]) == 16
    del run.sheet  # the class's own
    sheet = Image.open(run.sheet())
    export(run, tmp_path / "model")
    card = (tmp_path / "model/README.md").read_text()
    assert "and 4 images of one's own (clay dog) |" in card
    assert str(folder) not in card
    plain = Trainer(tiny(tmp_path / "plain"))
    assert sheet.height > Image.open(plain.sheet()).height  # one row more


def test_a_folder_trains_adapters_too(tmp_path, folder):
    base = trainer(tmp_path / "base", folder)
    export(base, tmp_path / "model", dtype=torch.float32)
    run = trainer(tmp_path / "run", folder, "lora=2", f"init={tmp_path / 'model'}")
    run.run()
    export(run, tmp_path / "tuned", dtype=torch.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("folder=",), "folder is empty: say folder=my_images"),
        (("subject= ",), "subject is empty: say subject='clay dog'"),
        (("world=packed.zip",), "world=packed.zip knows only its own words"),
    ],
)
def test_settings_that_are_missing_or_do_not_fit(tmp_path, folder, settings, message):
    with pytest.raises(RecipeError, match=message):
        trainer(tmp_path / "run", folder, *settings)


def test_a_folder_that_nothing_uses_is_refused(tmp_path, folder):
    with pytest.raises(RecipeError, match="is used by no stage of the recipe starter"):
        Trainer(tiny(tmp_path / "run", f"folder={folder}"))


def test_a_wrong_folder_is_one_line_and_status_2(tmp_path, capsys):
    settings = [f"out={tmp_path / 'run'}", f"folder={tmp_path / 'none'}", "subject=dog"]
    with pytest.raises(SystemExit) as ended:
        main(["train", "my_subject", *settings])
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip().endswith("is no folder: name that of your images")
