"""Every setting of a recipe has an effect: the walk over all fields."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch._dynamo import lookup_backend
from transformers import AutoTokenizer, T5Config, T5EncoderModel

from instruct_imagen.model.text import starter_encoder_folder
from instruct_imagen.recipes import recipe
from instruct_imagen.recipes.config import RecipeError, TrainConfig, resolved
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.settings import check_settings, incompatible_settings
from tests.training.runs import tensors, tiny

# Another value for each setting that changes what is computed, on top of the tiny starter.
CHANGED = {
    "size": "size=8",
    "low_size": "low_size=8",
    "low_noise": "low_noise=0.9",  # on top of `BASES`
    "space_to_depth": "space_to_depth=1",
    "channels": "channels=16,48",
    "layers": "layers=2",
    "level_layers": "level_layers=1,2",
    "head_dim": "head_dim=8",
    "attention_levels": "attention_levels=2",
    "blocks": "blocks=added_kv",
    "max_markers": "max_markers=6",
    "min_styles": "min_styles=9",  # on top of `BASES`
    "concepts": "concepts=9",
    "categories": "categories=Food & Drink",
    "most_assets": "most_assets=1",
    "places": "places=1",
    "turned": "turned=1",
    "tinted": "tinted=1",
    "instruction": "instruction=false",
    "seed": "seed=1",
    "batch_size": "batch_size=8",
    "noises": "noises=1",
    "targets": "targets=2",
    "optimizer": "optimizer=adamw",
    "learning_rate": "learning_rate=1e-4",
    "warmup_steps": "warmup_steps=0",
    "decay_after": "decay_after=2",
    "cooldown": "cooldown=8",
    "gradient_clip": "gradient_clip=1e-3",
    "ema_decay": "ema_decay=0.1",
    "timestep_shift": "timestep_shift=3",
    "drop_both": "drop_both=0.9",
    "drop_context": "drop_context=0.9",
    "precision": "precision=fp32",
    "accumulate": "accumulate=2",
    "stages": "retrieval.images=12",
}
# Where it is seen only together with others: the concepts with most styles are taken first, and
# a base model has no small input.
BASES = {
    "min_styles": ("concepts=0", "categories=Food & Drink"),
    "low_noise": ("low_size=8",),
}
# What the others change, and the test that sees it.
ELSEWHERE = {
    "draft": "test_drafts_are_what_a_base_model_makes_of_the_true_picture",
    "draft_share": "test_drafts_are_what_a_base_model_makes_of_the_true_picture",
    "name": "test_a_run_leaves_checkpoint_sheet_config_and_a_usable_pipeline",
    "parallel": "test_a_run_with_each_optimizer",
    "workers": "test_a_run_killed_at_twenty_moments_equals_the_one_that_was_not",
    "skip_limit": "test_too_many_such_steps_end_the_run",
    "gradient_checkpointing": "test_gradient_checkpointing_changes_memory_and_not_the_loss",
    "text_dim": "test_any_text_encoder_of_transformers_trains",
    "text_encoder": "test_any_text_encoder_of_transformers_trains",
    "compile": "test_a_compiled_step_has_the_losses_of_the_plain_one",
    "channels_last": "test_channels_last_is_a_layout_and_nothing_else",
    "checkpoint_every": "test_kills_do_end_runs_in_the_middle_of_a_save",
    "sheet_every": "test_sheets_are_drawn_so_often",
    "minutes": "test_the_time_budget_ends_a_run_with_a_checkpoint",
    "out": "test_a_run_leaves_checkpoint_sheet_config_and_a_usable_pipeline",
    "sources": "test_people_are_those_of_the_world",
    "people": "test_people_are_those_of_the_world",
    "device": "test_wrong_input_is_one_line_and_status_2",
    "trackers": "test_a_run_leaves_a_page_with_its_curves_and_sheets_and_event_files",
    "text_store": "test_a_text_store_changes_no_result_of_a_run",
    "world": "test_a_packed_world_trains_like_the_real_one",
    "heldout_tasks": "test_held_out_tasks_are_trained_on_with_the_switch_alone",
    "lora": "test_only_adapters_change",
    "folder": "test_a_run_on_a_folder_goes_on_exactly_and_only_with_that_folder",
    "subject": "test_a_run_on_a_folder_goes_on_exactly_and_only_with_that_folder",
    "init": "test_a_run_begins_with_the_weights_of_a_saved_pipeline",
    "shards": "test_steps_are_those_on_drawn_examples_bit_for_bit",
    "shard_stages": "test_one_stage_on_shards_and_the_others_on_the_world",
}
SHORT = (
    "pretrain.images=0", "retrieval.images=8", "layouts.images=0", "subjects.images=0",
    "instruct.images=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What a short run leaves, by its settings."""

    @cache
    def run(*settings: str):
        folder = tmp_path_factory.mktemp("run")
        trainer = Trainer(tiny(folder, *SHORT, *settings))
        trainer.sheet = lambda: None
        trainer.run()
        return tensors(folder)

    return run


def test_every_field_is_walked():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert fields == CHANGED.keys() | ELSEWHERE.keys()
    assert not CHANGED.keys() & ELSEWHERE.keys()
    tests = "\n".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    for name in ELSEWHERE.values():
        assert re.search(rf"^def {name}\(", tests, re.MULTILINE), name


@pytest.mark.parametrize("field", CHANGED)
def test_a_setting_changes_what_is_trained(result, field):
    base = BASES.get(field, ())
    usual, changed = result(*base), result(*base, CHANGED[field])
    same = usual.keys() == changed.keys() and all(
        usual[name].shape == changed[name].shape and bool((usual[name] == changed[name]).all())
        for name in usual
    )
    assert not same


def test_the_same_settings_change_nothing(result):
    """The walk can tell: one more run of the usual settings leaves the very same."""
    usual, again = result(), result("minutes=60")
    assert usual.keys() == again.keys()
    assert all(bool((usual[name] == again[name]).all()) for name in usual)


def test_channels_last_is_a_layout_and_nothing_else(tmp_path):
    losses = []
    for layout in ("true", "false"):
        trainer = Trainer(tiny(tmp_path / layout, f"channels_last={layout}", "precision=fp32"))
        kernel = trainer.model.unet.down_blocks[0].resnets[0].conv1.weight
        assert (kernel.stride()[1] == 1) == (layout == "true")
        trainer.begin_stage()
        trainer.step()
        losses.append(trainer.record.window["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_compiled_step_has_the_losses_of_the_plain_one(tmp_path, monkeypatch):
    """Traced, forward and backward, as for kernels; making those too would take minutes here."""
    traced = []

    def counted(graph, inputs):
        traced.append(graph)
        return lookup_backend("aot_eager")(graph, inputs)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counted))
    losses, weights = [], []
    for chosen in ("true", "false"):
        settings = (*SHORT, f"compile={chosen}", "precision=fp32", "retrieval.images=16")
        trainer = Trainer(tiny(tmp_path / chosen, *settings))
        trainer.sheet = lambda: None
        trainer.stage = 1  # which has references
        trainer.begin_stage()
        for _ in range(3):
            trainer.step()
        trainer.save()
        losses.append(trainer.record.window["loss"])
        weights.append(tensors(tmp_path / chosen))
    assert traced  # in few graphs, however the numbers of references and words vary
    assert len(traced) <= 4
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert weights[0].keys() == weights[1].keys()  # as if it had not been compiled


def kept_for_backward(trainer: Trainer) -> int:
    """Bytes that one step keeps for its backward pass."""
    found = 0

    def kept(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal found
        found += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        trainer.step()
    return found


def test_gradient_checkpointing_changes_memory_and_not_the_loss(tmp_path):
    losses, memory, weights = [], [], []
    for chosen in ("true", "false"):
        settings = (*SHORT, f"gradient_checkpointing={chosen}", "precision=fp32")
        trainer = Trainer(tiny(tmp_path / chosen, *settings))
        trainer.stage = 1  # which has references
        trainer.begin_stage()
        memory.append(kept_for_backward(trainer))
        losses.append(trainer.record.window["loss"])
        weights.append(
            torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])
        )
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(*weights)
    assert memory[0] < 0.7 * memory[1]  # weights are counted, too


def test_any_text_encoder_of_transformers_trains(tmp_path):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(starter_encoder_folder())
    settings = {"vocab_size": len(tokenizer), "d_model": 16, "d_kv": 4, "d_ff": 32}
    T5EncoderModel(T5Config(**settings, num_layers=1, num_heads=2)).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    chosen = (*SHORT, f"text_encoder={tmp_path / 't5'}")
    with pytest.raises(RecipeError, match=r"text_dim=384, but the states of .* have 16"):
        Trainer(tiny(tmp_path / "run", *chosen))
    trainer = Trainer(tiny(tmp_path / "run", *chosen, "text_dim=16"))
    trainer.begin_stage()
    trainer.step()


def test_a_text_store_changes_no_result_of_a_run(tmp_path, result):
    """Neither while it fills, nor when all texts come from it; in half precision, too."""
    plain = result()
    store = tmp_path / "texts"
    for name in ("cold", "warm"):
        trainer = Trainer(tiny(tmp_path / name, *SHORT, f"text_store={store}"))
        trainer.sheet = lambda: None
        trainer.run()
        found = tensors(tmp_path / name)
        assert found.keys() == plain.keys()
        assert all(bool((found[key] == plain[key]).all()) for key in plain), name
        assert (trainer.encoder.store.hits > 0) == (name == "warm")
    # All of the second run's texts were read: it has written none.
    assert len(list(store.iterdir())) == 1


def test_sheets_are_drawn_so_often(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", *SHORT, "sheet_every=4"))
    drawn = []
    trainer.sheet = lambda: drawn.append(trainer.images)
    trainer.run()
    assert drawn == [4, 8, 8]


def test_the_config_is_saved_as_it_was(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", *SHORT, "seed=5"))
    trainer.sheet = lambda: None
    trainer.run()
    saved = json.loads((tmp_path / "run/config.json").read_text())["config"]
    assert saved["seed"] == 5
    assert saved["name"] == recipe("starter").name
    assert set(saved) == {field.name for field in dataclasses.fields(TrainConfig)}


def test_a_setting_that_a_run_did_not_know_was_at_its_default():
    now = resolved(tiny("unused"))
    before = {name: value for name, value in now.items() if name != "blocks"}
    assert incompatible_settings(before, now) == ""
    found = incompatible_settings(before, now | {"blocks": "added_kv"})
    assert found == "blocks: transformer, now added_kv"


def test_a_recipe_that_changed_since_is_told_from_another_setting(tmp_path):
    """No setting reaches the order and ratios of stages: 'give the same ones' would not help."""
    config = tiny(tmp_path)
    before = resolved(config)
    longer = [{**stage, "images": stage["images"] + 4} for stage in before["stages"]]
    check_settings({"config": before | {"stages": longer}}, config)
    others = [{**stage, "ratios": {"styled": 1.0}} for stage in before["stages"]]
    for changed in (others, before["stages"][1:], before["stages"][::-1]):
        with pytest.raises(CheckpointError, match=r"recipe starter has changed since: go on.*init"):
            check_settings({"config": before | {"stages": changed, "seed": 9}}, config)
    with pytest.raises(CheckpointError, match=r"other settings \(name: small, now starter\)"):
        check_settings({"config": before | {"stages": others, "name": "small"}}, config)
