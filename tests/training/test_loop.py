from __future__ import annotations

import json

import pytest
import torch

from instruct_imagen.data.mixture import PAPER_RATIOS, Mixture
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.recipes import override, recipe
from instruct_imagen.training import checkpoint
from instruct_imagen.training.build import build_model, build_optimizer
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.packed_world import pack_world

TINY = [
    "size=16", "channels=16,32", "head_dim=16", "batch_size=4", "concepts=12", "min_styles=8",
    "warmup_steps=2", "sheet_every=0", "checkpoint_every=0",
    "pretrain.images=8", "retrieval.images=8", "warmup.images=8", "instruct.images=8",
]  # fmt: skip


def tiny(out, *settings):
    return override(recipe("starter"), [*TINY, f"out={out}", *settings])


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor"])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, optimizer):
    setting = f"optimizer={optimizer}"
    whole = Trainer(tiny(tmp_path / "whole", setting))
    whole.run()
    # Stops in the middle of the second stage, then goes on in a new trainer.
    first = Trainer(tiny(tmp_path / "parts", setting))
    stop = iter([False] * 3 + [True] * 100)
    while first.stage < 4:
        first._run_stage(lambda: next(stop))
        if first.images >= 12:
            break
    first.save()
    second = Trainer(tiny(tmp_path / "parts", setting))
    assert second.images == first.images == 12
    second.run()
    assert second.images == whole.images == 32
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name
    for one, other in zip(whole.ema.shadow_params, second.ema.shadow_params, strict=True):
        assert torch.equal(one, other)


def test_a_run_leaves_checkpoint_sheet_config_and_a_usable_pipeline(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run"))
    trainer.run()
    assert (tmp_path / "run/sheets/images-000000032.png").is_file()
    assert json.loads((tmp_path / "run/config.json").read_text())["config"]["size"] == 16
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["pretrain", "retrieval", "warmup", "instruct"]
    assert lines[-1]["images"] == 32
    trainer.export(tmp_path / "exported", torch.float32)
    pipeline = InstructImagenPipeline.from_pretrained(tmp_path / "exported")
    card = (tmp_path / "exported/README.md").read_text()
    assert "| images seen in training | 32 (steps: 8 of 4) |" in card
    assert "pretrain 8, retrieval 8, warmup 8, instruct 8" in card
    for name, parameter in zip(
        dict(trainer.model.named_parameters()), trainer.ema.shadow_params, strict=True
    ):
        assert torch.equal(pipeline.unet.get_parameter(name), parameter), name


def test_a_packed_world_trains_like_the_real_one(tmp_path):
    config = tiny(tmp_path / "real")
    path = pack_world(config, tmp_path / "world.zip")
    real, packed = Trainer(config), Trainer(tiny(tmp_path / "packed", f"world={path}"))
    assert set(packed.world.vocabulary.pairs) == set(real.world.vocabulary.pairs)
    mixture = Mixture(all_tasks(), PAPER_RATIOS, real.world.vocabulary, seed=123)
    texts = [example.text for example in mixture.examples(0, 50)]
    # Half precision, and words that the sampled texts of `pack_world` never used.
    difference = (real.encoder(texts).states - packed.encoder(texts).states).abs()
    assert difference.max() < 2e-2
    packed.run()
    assert packed.images == 32


def test_the_time_budget_ends_a_run_with_a_checkpoint(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", "minutes=0.0001", "instruct.images=400000"))
    trainer.run()
    state = checkpoint.load_latest(tmp_path / "run/checkpoints")
    assert state is not None
    assert state.progress["images"] == trainer.images < 400_000


def test_optimizers_by_name():
    config = tiny("unused")
    model = build_model(config, 384)
    assert type(build_optimizer(config, model.parameters())).__name__ == "AdamW"
    config = tiny("unused", "optimizer=adafactor")
    assert type(build_optimizer(config, model.parameters())).__name__ == "Adafactor"


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    one = build_model(tiny("unused"), 384).state_dict()
    torch.manual_seed(6)
    same = build_model(tiny("unused"), 384).state_dict()
    other = build_model(tiny("unused", "seed=1"), 384).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
