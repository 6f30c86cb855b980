"""Training of an upscaler, through the same loop."""

from __future__ import annotations

import json
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from instruct_imagen import InstructImagenPipeline, Instruction, SuperResolutionPipeline
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.model.super_resolution import enlarged, shrunk
from instruct_imagen.pipeline import ModelError, saved_pipeline
from instruct_imagen.recipes import Stage
from instruct_imagen.training.draws import draw
from instruct_imagen.training.export import export
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.step import Encoded, TrainingStep
from tests import tiny as models
from tests.training.runs import tensors, tiny


def small(folder, *settings, images=16):
    stages = (Stage(name="upscale", images=images, ratios=PAPER_RATIOS),)
    return replace(tiny(folder, "low_size=8", *settings), stages=stages)


@pytest.mark.parametrize("context", ["drop_context=0.1", "drop_context=1"])
def test_a_run_leaves_a_sheet_and_a_pipeline_that_enlarges(tmp_path, context):
    trainer = Trainer(small(tmp_path / "run", context))
    sheet = trainer.run()
    rows = len(fixed_examples(trainer.world.vocabulary, each=1))
    assert rows >= 10
    assert Image.open(sheet).size == (4 * (7 * 64 + 6), 12 + rows * (64 + 12))
    export(trainer, tmp_path / "exported")
    export(trainer, tmp_path / "exported")  # in place of the first
    assert "A `SuperResolutionPipeline`" in (tmp_path / "exported/README.md").read_text()
    assert "8 → 16 px" in (tmp_path / "exported/README.md").read_text()
    pipeline = SuperResolutionPipeline.from_pretrained(tmp_path / "exported")
    assert pipeline.config.references is (context == "drop_context=0.1")
    pipeline.set_progress_bar_config(disable=True)
    pixels = np.full((8, 8, 3), 200, np.uint8)
    image = pipeline(Instruction("A dog."), pixels, num_inference_steps=2).images[0]
    assert image.size == (16, 16)
    with pytest.raises(ModelError, match="is an upscaler: load it with SuperResolutionPipeline"):
        saved_pipeline(tmp_path / "exported")
    with pytest.raises(ModelError, match="is an upscaler: use SuperResolutionPipeline"):
        InstructImagenPipeline.from_pretrained(tmp_path / "exported")
    with pytest.raises(ModelError, match="is no upscaler: use InstructImagenPipeline"):
        SuperResolutionPipeline.from_pretrained("starter")
    # A new run can begin with it, and a base model's cannot.
    begun = Trainer(small(tmp_path / "next", context, f"init={tmp_path / 'exported'}"))
    name = "unet.conv_in.weight"
    torch.testing.assert_close(
        begun.model.state_dict()[name],
        pipeline.unet.state_dict()[name].float(),
        rtol=0,
        atol=0,
    )
    with pytest.raises(ModelError, match="is a base model: name an upscaler"):
        Trainer(small(tmp_path / "other", "init=starter"))


def test_a_run_that_goes_on_equals_one_that_was_not_stopped(tmp_path):
    for name, lengths in (("whole", [16]), ("parts", [8, 16])):
        for images in lengths:
            trainer = Trainer(small(tmp_path / name, images=images))
            trainer.sheet = lambda: None
            trainer.run()
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_text_alone_leaves_what_reads_references_untrained(tmp_path):
    trainer = Trainer(small(tmp_path / "run", "drop_context=1"))
    trainer.sheet = lambda: None
    before = trainer.model.marker_context.weight.detach().clone()
    trainer.run()
    # Weight decay alone has moved it.
    ratio = trainer.model.marker_context.weight.detach() / before
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.mean())))
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["loss"] > 0


def test_the_network_sees_the_true_picture_small_noised_and_enlarged():
    """Ho et al. 2022, §3: the small picture is noised too, at a level of its own."""
    model = models.own_upscaler()
    step = TrainingStep(model)
    images = torch.zeros(2, 3, 16, 16)
    images[0] = 0.5  # flat pictures stay what they are, however small they were
    encoded = Encoded(
        images=images,
        text=models.texts(2, models.TEXT_DIM),
        references=models.references([], batch=2, channels=3, size=16, dim=models.TEXT_DIM),
    )
    draws = draw(1, rows=range(2), total=2, shape=(3, 16, 16), shift=1.0, low_noise=0.4, low_size=4)
    seen = []
    model.register_forward_pre_hook(
        lambda _, given, named: seen.append(named["low"]), with_kwargs=True
    )
    step(encoded, draws)
    levels = draws.low.timesteps
    time = torch.arange(1001, dtype=torch.float64) / 1000
    bar = torch.cos((time + 0.008) / 1.008 * torch.pi / 2).square()
    kept = (1 - (1 - bar[1:] / bar[:-1]).clamp(max=0.999)).cumprod(0)[levels].float()
    alpha, sigma = kept.sqrt()[:, None, None, None], (1 - kept).sqrt()[:, None, None, None]
    small = alpha * images[..., :4, :4] + sigma * draws.low.noise
    expected = interpolate(small, size=(16, 16), mode="bicubic", align_corners=False)
    torch.testing.assert_close(seen[0].images, expected)
    torch.testing.assert_close(seen[0].picture, images)  # what is added to has no noise
    assert torch.equal(seen[0].levels, levels)


@pytest.mark.parametrize("settings", [(), ("drop_context=1",)])
def test_references_lend_details_to_what_is_enlarged_in_training(tmp_path, monkeypatch, settings):
    stages = (Stage(name="upscale", images=8, ratios={"reproduce": 1.0}),)
    config = tiny(tmp_path / "run", "low_size=8", "drop_both=0", "drop_context=0", *settings)
    trainer = Trainer(replace(config, stages=stages))
    trainer.sheet = lambda: None
    seen = []
    forward = TrainingStep.forward

    def spied(step, encoded, draws):
        if encoded.images.device.type != "meta":  # work is counted without values
            seen.append((encoded, step._low(encoded, encoded.images, one_each(draws))))
        return forward(step, encoded, draws)

    def one_each(draws):
        count = config.batch_size // config.noises
        low = replace(
            draws.low, noise=draws.low.noise[:count], timesteps=draws.low.timesteps[:count]
        )
        return replace(draws, low=low)

    monkeypatch.setattr(TrainingStep, "forward", spied)
    trainer.run()
    assert seen
    for encoded, low in seen:
        plain = enlarged(shrunk(encoded.images, 8), 16)
        if settings:
            assert not low.details.any()
            assert torch.equal(low.picture, plain)
        else:
            torch.testing.assert_close(low.picture, encoded.images, rtol=0, atol=1e-3)
            assert torch.equal(low.picture, (plain + low.details).clamp(-1, 1))


def test_an_upscaler_is_trained_under_noise_that_decides_something(tmp_path):
    for settings, highest in ((("low_size=8",), 750), ((), 1000)):
        trainer = Trainer(tiny(tmp_path / f"run{highest}", *settings))
        seen = trainer.record.losses = Mock(wraps=trainer.record.losses)
        trainer.sheet = lambda: None
        trainer.run()
        levels = [step for call in seen.call_args_list for step in call.args[1].tolist()]
        assert highest - 200 < max(levels) < highest


def test_exported_base_models_are_still_read_as_such(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run"))
    export(trainer, tmp_path / "exported")
    assert InstructImagenPipeline.from_pretrained(tmp_path / "exported").size == 16
