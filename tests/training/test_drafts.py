"""An upscaler that also learns from what a base model draws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from instruct_imagen import InstructImagenPipeline
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.model.super_resolution import shrunk
from instruct_imagen.model.texture_transfer import transferred
from instruct_imagen.recipes import RecipeError, Stage, override, recipe
from instruct_imagen.training.drafts import Drafts
from instruct_imagen.training.draws import draw
from instruct_imagen.training.loop import Trainer
from tests.training.runs import tensors, tiny


def small(folder, *settings, images=8):
    stages = (Stage(name="upscale", images=images, ratios=PAPER_RATIOS),)
    config = tiny(folder, "size=64", "low_size=32", "space_to_depth=4", "batch_size=8", *settings)
    return replace(config, stages=stages)


def prepared(trainer):
    trainer.begin_stage()
    return trainer._begin(0).first.encoded


def test_drafts_are_what_a_base_model_makes_of_the_true_picture(tmp_path):
    trainer = Trainer(small(tmp_path / "run", "drop_context=0.5"))
    encoded = prepared(trainer)
    count = len(encoded.images)
    true = shrunk(encoded.images, 32)
    draws = draw(1, rows=range(count), total=count, shape=(3, 32, 32), shift=1.0)
    half = Drafts("starter", 0.5, 32, trainer.encoder, torch.device("cpu"))
    first, second = half(encoded, draws).small, half(encoded, draws).small
    assert torch.equal(first, second)
    drawn = draws.timesteps < 500
    assert 0 < drawn.sum() < count
    assert torch.equal(first[~drawn], true[~drawn])
    assert torch.equal(encoded.images, prepared(trainer).images)
    whole = Drafts("starter", 1.0, 32, trainer.encoder, torch.device("cpu"))(encoded, draws).small
    apart = (whole - true).flatten(1).abs().mean(dim=1)
    assert (apart > 1e-3).all()
    # It is still that picture: nearer to it than to any other of the batch.
    table = (whole[:, None] - true[None]).flatten(2).abs().mean(dim=2)
    assert torch.equal(table.argmin(dim=1), torch.arange(count))
    # The more noise, the more of the model's own: the two with most against the two with least.
    order = draws.timesteps.argsort()
    assert apart[order[-2:]].mean() > apart[order[:2]].mean()


def test_a_batch_equals_its_singles(tmp_path):
    trainer = Trainer(small(tmp_path / "run"))
    encoded = prepared(trainer)
    count = len(encoded.images)
    draws = draw(1, rows=range(count), total=count, shape=(3, 32, 32), shift=1.0)
    drafts = Drafts("starter", 1.0, 32, trainer.encoder, torch.device("cpu"))
    together = drafts(encoded, draws).small
    tenth = replace(draws, timesteps=torch.where(torch.arange(count) == 2, draws.timesteps, 999))
    alone = Drafts("starter", 0.999, 32, trainer.encoder, torch.device("cpu"))(encoded, tenth).small
    assert (alone[2] - together[2]).abs().max() < 0.05  # its first level is a little higher
    assert torch.equal(alone[3], shrunk(encoded.images, 32)[3])


def test_a_run_learns_from_them_and_goes_on_the_same(tmp_path):
    ends = {}
    for name, settings, lengths in (
        ("true", (), [16]),
        ("some", ("draft=starter", "draft_share=0.5"), [16]),
        ("parts", ("draft=starter", "draft_share=0.5"), [8, 16]),
        ("all", ("draft=starter", "draft_share=1"), [16]),
    ):
        for images in lengths:
            trainer = Trainer(small(tmp_path / name, *settings, images=images))
            trainer.sheet = lambda: None
            trainer.run()
        ends[name] = tensors(tmp_path / name)
    weight = "unet.conv_out.weight"
    assert all(torch.equal(value, ends["parts"][key]) for key, value in ends["some"].items())
    assert not torch.equal(ends["true"][weight], ends["some"][weight])
    assert not torch.equal(ends["all"][weight], ends["some"][weight])
    assert ends["true"].keys() == ends["some"].keys()  # the base model is no part of it


def test_references_are_matched_with_them(tmp_path, monkeypatch):
    given = []

    def spied(small, references, size):
        given.append(small)
        return transferred(small, references, size)

    monkeypatch.setattr("instruct_imagen.training.step.transferred", spied)
    for name, settings in (("true", ()), ("drafts", ("draft=starter", "draft_share=1"))):
        trainer = Trainer(small(tmp_path / name, *settings))
        trainer.sheet = lambda: None
        trainer.run()
    true, drafts = given
    assert true.shape == drafts.shape == (4, 3, 32, 32)
    assert (true - drafts).flatten(1).abs().mean(dim=1).min() > 1e-3


def test_a_recipe_that_has_them_can_leave_them_out():
    assert override(recipe("upscaler"), ["draft="]).draft == ""


def test_they_come_in_the_last_stage_alone(tmp_path):
    ends = {}
    for draft in ("", "starter"):
        config = small(tmp_path / f"run{draft}", *((f"draft={draft}",) if draft else ()), images=8)
        (last,) = config.stages
        first = replace(last, name="see")
        trainer = Trainer(replace(config, stages=(first, last)))
        trainer.sheet = lambda: None
        trainer.begin_stage()
        while trainer.stage_step * config.batch_size < first.images:
            trainer.step()
        ends[draft] = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    assert all(torch.equal(value, ends["starter"][key]) for key, value in ends[""].items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("low_size=0", "draft=starter"), "used by upscalers alone"),
        (("draft_share=0.5",), "set draft"),
        (("draft=starter", "draft_share=0"), "draws nothing"),
    ],
)
def test_settings_that_do_nothing_are_refused(tmp_path, settings, words):
    with pytest.raises(RecipeError, match=words):
        small(tmp_path, *settings)


def test_a_base_model_of_another_size_or_of_raw_inputs_is_refused(tmp_path):
    raw = InstructImagenPipeline.from_pretrained("starter", instruction=False)
    raw.save_pretrained(tmp_path / "raw")
    with pytest.raises(RecipeError, match="follows no instructions"):
        Trainer(small(tmp_path, f"draft={tmp_path / 'raw'}"))
    with pytest.raises(RecipeError, match=r"draws 32 pixels .* enlarges 16"):
        Trainer(small(tmp_path, "low_size=16", "draft=starter"))
