"""Adapters: the base stays, the first output is the base's, the export needs no adapter."""

from __future__ import annotations

import pytest
import torch

from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.recipes import RecipeError, override, recipe
from instruct_imagen.training import checkpoint
from instruct_imagen.training.adapters import ADAPTER, add_adapters, trained
from instruct_imagen.training.build import build_model
from instruct_imagen.training.dry_run import dry_run
from instruct_imagen.training.export import export
from instruct_imagen.training.loop import Trainer
from tests.training.runs import tensors, tiny, train

EXACT = ("precision=fp32", "lora=2", "seed=1")
ATTENTION = ("to_q", "to_k", "to_v", "to_out", "to_out.0", "add_k_proj", "add_v_proj")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A short training of everything, as a pipeline."""
    folder = tmp_path_factory.mktemp("base")
    trainer = Trainer(tiny(folder / "run"))
    trainer.sheet = lambda: None
    trainer.run()
    export(trainer, folder / "model", dtype=torch.float32)
    return folder / "model"


def adapted(folder, base, *settings):
    trainer = Trainer(tiny(folder, *EXACT, f"init={base}", *settings))
    trainer.sheet = lambda: None
    return trainer


def loss(trainer):
    """Of the first batch of the retrieval stage, which has references."""
    trainer.stage, trainer.stage_step = 1, 0
    trainer.begin_stage()
    trainer.record.window.clear()
    trainer._update = lambda: None
    trainer.step()
    return sum(trainer.record.window["loss"])


def untrained(weights):
    return {
        name.replace(".base_layer.", "."): value.clone()
        for name, value in weights.items()
        if ADAPTER not in name
    }


@pytest.mark.parametrize("blocks", ["transformer", "added_kv"])
def test_every_attention_has_adapters_and_nothing_else_is_trained(blocks):
    model = build_model(tiny("unused", f"blocks={blocks}"))
    linear = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    wanted = {name for name in linear if name.endswith(tuple(f".{end}" for end in ATTENTION))}
    add_adapters(model, 2)
    names = {name for name, _ in trained(model)}
    assert names == {f"{name}.lora_{half}.default.weight" for name in wanted for half in "AB"}
    assert any(".processor.to_k." in name for name in names)  # the context's
    assert (blocks == "added_kv") == any("add_k_proj" in name for name in names)


def test_the_first_output_is_bit_identical_to_that_of_the_base(tmp_path, base):
    whole = loss(adapted(tmp_path / "whole", base, "lora=0"))
    assert loss(adapted(tmp_path / "lora", base)) == whole
    assert loss(adapted(tmp_path / "bf16", base, "precision=bf16")) == loss(
        adapted(tmp_path / "bf16_whole", base, "precision=bf16", "lora=0")
    )


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "adafactor"])
def test_only_adapters_change(tmp_path, base, optimizer):
    trainer = adapted(
        tmp_path / "run", base, f"optimizer={optimizer}", "gradient_checkpointing=true"
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.run()
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]) == (ADAPTER not in name), name
    weights = InstructImagenPipeline.from_pretrained(base).unet.state_dict()
    kept = untrained(trainer.model.state_dict())
    assert kept.keys() == weights.keys()
    assert all(torch.equal(kept[name], weights[name]) for name in kept)


def test_the_export_computes_what_the_adapters_do_and_has_none(tmp_path, base):
    trainer = adapted(tmp_path / "run", base, "ema_decay=0", "learning_rate=0.02")
    trainer.run()
    export(trainer, tmp_path / "model", dtype=torch.float32)
    pipeline = InstructImagenPipeline.from_pretrained(tmp_path / "model")
    plain = InstructImagenPipeline.from_pretrained(base).unet.state_dict()
    assert pipeline.unet.state_dict().keys() == plain.keys()
    expected = loss(trainer)
    other = Trainer(tiny(tmp_path / "other", *EXACT, "lora=0", f"init={tmp_path / 'model'}"))
    assert loss(other) == pytest.approx(expected, rel=1e-5)
    # The adapters do something: the base says another thing.
    assert abs(loss(adapted(tmp_path / "plain", base)) / expected - 1) > 1e-3
    count = sum(weight.numel() for weight in plain.values())
    assert f"| parameters | {count:,} |" in (tmp_path / "model/README.md").read_text()


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, base, optimizer):
    settings = (f"optimizer={optimizer}", "instruct.images=12")
    adapted(tmp_path / "whole", base, *settings).run()
    first = adapted(tmp_path / "parts", base, *settings)
    step = first.step

    def stop_in_the_middle():
        if first.images == 24:
            raise KeyboardInterrupt
        step()
        if first.images == 16:
            first.save()

    first.step = stop_in_the_middle
    with pytest.raises(KeyboardInterrupt):
        first.run()
    second = adapted(tmp_path / "parts", base, *settings)
    assert second.images == 16
    second.run()
    expected, found = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    # Moments are kept of the adapters alone, averages of the whole network.
    state = checkpoint.load_latest(tmp_path / "parts/checkpoints")
    assert len(state.optimizer["state"]) == sum(ADAPTER in name for name in state.model)
    assert state.ema.keys() == state.model.keys()


def test_a_dry_run_counts_what_is_trained(tmp_path, base):
    settings = tiny(tmp_path / "run", *EXACT, f"init={base}")
    lines = list(dry_run(settings, hardware="h100", share=0.5))
    total, changed = (int(word.replace(",", "")) for word in lines[0].split() if word[0].isdigit())
    assert 0 < changed < total / 20
    whole = list(dry_run(tiny(tmp_path / "run"), hardware="h100", share=0.5))
    # No gradients of the base's weights: less work an image.
    work = [float(lines[5].split()[2]), float(whole[5].split()[2])]
    assert 0 < work[0] < work[1]


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_train_adapters_as_one_does(tmp_path, base, parallel):
    settings = (
        "noises=1", "precision=fp32", "optimizer=adamw", "lora=2", f"init={base}",
        "pretrain.images=0", "retrieval.images=4", "layouts.images=0", "subjects.images=0",
        "instruct.images=0",
    )  # fmt: skip
    assert train(1, tmp_path / "one", *settings) == [0]
    assert train(2, tmp_path / "two", *settings, f"parallel={parallel}", sheet=True) == [0, 0]
    expected, found = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    assert expected.keys() == found.keys()
    moments = [name for name in expected if name.endswith("/exp_avg")]
    # A tenth of the first gradients, which are small: this base has hardly learnt to attend.
    largest = max(float(expected[name].abs().max()) for name in moments)
    assert largest > 1e-5
    for name in moments:
        torch.testing.assert_close(
            found[name], expected[name], rtol=0, atol=1e-3 * largest, msg=name
        )


def test_adapters_need_weights_to_adapt_and_are_narrow():
    with pytest.raises(RecipeError, match=r"lora=4 adapts weights that are there.*init=starter"):
        override(recipe("starter"), ["lora=4"])
    with pytest.raises(RecipeError, match="lora=500 must be at most 192"):
        override(recipe("lora"), ["lora=500"])
    with pytest.raises(RecipeError, match="lora=-1 must be 0 or more"):
        override(recipe("lora"), ["lora=-1"])
