from __future__ import annotations

import json
import signal
from dataclasses import replace

import pytest
import torch

from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.mixture import PAPER_RATIOS, Mixture, MixtureError
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.model.text import TextEncoder
from instruct_imagen.pipeline import InstructImagenPipeline, ModelError
from instruct_imagen.recipes import RecipeError, Stage, override, recipe
from instruct_imagen.training import checkpoint, loop
from instruct_imagen.training.build import build_model, build_optimizer, initial_weights
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.export import export
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.packed_world import pack_world
from instruct_imagen.training.settings import learning_rate
from instruct_imagen.training.stream import left_out_of
from tests.training.runs import tiny


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer=adamw", "noises=1", "precision=fp32"),
        ("optimizer=adafactor", "noises=1", "precision=fp32"),
        ("optimizer=muon", "noises=2", "precision=bf16", "decay_after=8"),
    ],
    ids=lambda settings: settings[0],
)
def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path, settings):
    whole = Trainer(tiny(tmp_path / "whole", *settings))
    whole.run()
    # Stops in the middle of the second stage, then goes on in a new trainer.
    first = Trainer(tiny(tmp_path / "parts", *settings))
    stop = iter([False] * 3 + [True] * 100)
    while first.stage < 5:
        first._run_stage(lambda: next(stop))
        if first.images >= 12:
            break
    first.save()
    second = Trainer(tiny(tmp_path / "parts", *settings))
    assert second.images == first.images == 12
    second.run()
    assert second.images == whole.images == 40
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name
    for one, other in zip(whole.average.weights, second.average.weights, strict=True):
        assert torch.equal(one, other)


def test_a_run_leaves_checkpoint_sheet_config_and_a_usable_pipeline(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run"))
    trainer.run()
    assert (tmp_path / "run/sheets/images-000000040.png").is_file()
    assert json.loads((tmp_path / "run/config.json").read_text())["config"]["size"] == 16
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == [
        "pretrain",
        "retrieval",
        "layouts",
        "subjects",
        "instruct",
    ]
    assert lines[-1]["images"] == 40
    export(trainer, tmp_path / "exported", dtype=torch.float32)
    pipeline = InstructImagenPipeline.from_pretrained(tmp_path / "exported")
    card = (tmp_path / "exported/README.md").read_text()
    assert "| images seen in training | 40 (steps: 10) |" in card
    assert "pretrain 8, retrieval 8, layouts 8, subjects 8, instruct 8" in card
    for name, parameter in zip(
        dict(trainer.model.named_parameters()), trainer.average.weights, strict=True
    ):
        assert torch.equal(pipeline.unet.get_parameter(name), parameter), name


def test_a_packed_world_trains_like_the_real_one(tmp_path):
    config = tiny(tmp_path / "real", "precision=fp32")
    path = pack_world(config, tmp_path / "world.zip")
    real = Trainer(config)
    packed = Trainer(tiny(tmp_path / "packed", f"world={path}", "precision=fp32"))
    assert set(packed.world.vocabulary.pairs) == set(real.world.vocabulary.pairs)
    assert packed.world.vocabulary.variety == real.world.vocabulary.variety
    with pytest.raises(RecipeError, match=r"packed with places=0\.25, the recipe has 0\.5"):
        Trainer(tiny(tmp_path / "other", f"world={path}", "places=0.5"))
    mixture = Mixture(all_tasks(), PAPER_RATIOS, real.world.vocabulary, seed=123)
    examples = mixture.examples(0, 50)
    pixels = [make_batch(examples, trainer.world.atlas, 16) for trainer in (real, packed)]
    assert torch.equal(pixels[0].targets, pixels[1].targets)
    assert torch.equal(pixels[0].reference_images, pixels[1].reference_images)
    texts = [example.text for example in examples]
    # Half precision, and words that the sampled texts of `pack_world` never used.
    difference = (real.encoder(texts).states - packed.encoder(texts).states).abs()
    assert difference.max() < 2e-2
    packed.run()
    assert packed.images == 40
    with pytest.raises(RecipeError, match="packed with size=16, the recipe has 32"):
        Trainer(tiny(tmp_path / "other", f"world={path}", "size=32"))


def test_the_time_budget_ends_a_run_with_a_checkpoint(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", "minutes=0.0001", "instruct.images=400000"))
    trainer.run()
    state = checkpoint.load_latest(tmp_path / "run/checkpoints")
    assert state is not None
    assert state.progress["images"] == trainer.images < 400_000


def test_optimizers_by_name():
    model = build_model(tiny("unused"))
    for setting, name in (("adamw", "AdamW"), ("adafactor", "Adafactor"), ("muon", "Muon")):
        config = tiny("unused", f"optimizer={setting}")
        assert type(build_optimizer(config, model.named_parameters())).__name__ == name


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    one = build_model(tiny("unused")).state_dict()
    torch.manual_seed(6)
    same = build_model(tiny("unused")).state_dict()
    other = build_model(tiny("unused", "seed=1")).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_run_does_not_go_on_with_other_settings(tmp_path):
    Trainer(tiny(tmp_path / "run")).save()
    with pytest.raises(CheckpointError, match=r"batch_size: 4, now 8.*out="):
        Trainer(tiny(tmp_path / "run", "batch_size=8"))
    with pytest.raises(CheckpointError, match="optimizer: muon, now adamw"):
        Trainer(tiny(tmp_path / "run", "optimizer=adamw"))
    Trainer(tiny(tmp_path / "run", "minutes=1", "instruct.images=16", "learning_rate=1e-4"))


def test_a_finished_run_can_be_lengthened(tmp_path):
    Trainer(tiny(tmp_path / "run")).run()
    longer = Trainer(tiny(tmp_path / "run", "instruct.images=16"))
    assert longer.images == 40
    longer.run()
    assert longer.images == 48
    whole = Trainer(tiny(tmp_path / "whole", "instruct.images=16"))
    whole.run()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(longer)[name]), name


def test_the_card_says_what_was_trained_and_not_what_export_is_told(tmp_path):
    Trainer(tiny(tmp_path / "run", "seed=3")).run()
    again = Trainer(tiny(tmp_path / "run", "seed=3", "pretrain.images=24"))
    assert again.facts()["stages"]["pretrain"] == 8
    assert again.facts()["changed"]["seed"] == 3


def test_a_signal_saves_and_stops(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", "instruct.images=400000"))
    step = trainer.step

    def interrupted():
        step()
        if trainer.images == 12:
            signal.raise_signal(signal.SIGTERM)

    trainer.step = interrupted
    before = signal.getsignal(signal.SIGTERM)
    trainer.run()
    assert trainer.images == 12
    assert signal.getsignal(signal.SIGTERM) is before
    assert checkpoint.load_latest(tmp_path / "run/checkpoints").progress["images"] == 12


def test_the_rate_rises_then_falls_with_the_root():
    config = tiny("unused", "warmup_steps=4", "decay_after=100", "learning_rate=0.01")
    rates = [learning_rate(config, images) for images in (0, 4, 12, 100, 400)]
    assert rates == pytest.approx([0.0025, 0.005, 0.01, 0.01, 0.005])
    constant = tiny("unused", "warmup_steps=0", "decay_after=0", "learning_rate=0.01")
    assert learning_rate(constant, 10**9) == 0.01


def test_the_rate_falls_to_nothing_at_the_end_of_the_last_stage():
    config = tiny("unused", "warmup_steps=0", "decay_after=0", "cooldown=16", "learning_rate=0.01")
    rates = [learning_rate(config, images) for images in (20, 24, 28, 36, 40, 44)]
    assert rates == pytest.approx([0.01, 0.01, 0.0075, 0.0025, 0, 0])


def test_the_network_of_a_run_can_be_trained_in_bf16_and_sampled_in_float32(tmp_path):
    """The frozen encoder computes in bf16 while training and in float32 once exported."""
    trainer = Trainer(tiny(tmp_path / "run", "precision=bf16"))
    texts = ["Draw the [ref#1] dog on a pink background.", "[ref#2] style image"]
    ours = trainer.encoder(texts).states
    theirs = TextEncoder()(texts).states
    assert ours.dtype == theirs.dtype == torch.float32
    similar = torch.nn.functional.cosine_similarity(ours, theirs, dim=-1)
    assert similar[theirs.abs().sum(-1) > 0].min() > 0.999


def test_a_run_begins_with_the_weights_of_a_saved_pipeline(tmp_path):
    first = Trainer(tiny(tmp_path / "first"))
    first.run()
    export(first, tmp_path / "model", dtype=torch.float32)
    second = Trainer(tiny(tmp_path / "second", f"init={tmp_path / 'model'}", "seed=1"))
    assert second.images == 0
    for mine, averaged in zip(second.model.parameters(), first.average.weights, strict=True):
        assert torch.equal(mine, averaged)
    for mine, average in zip(second.model.parameters(), second.average.weights, strict=True):
        assert torch.equal(mine, average)
    second.run()
    # Both runs are on the card.
    (tmp_path / "again").mkdir()
    export(second, tmp_path / "again")
    runs = json.loads((tmp_path / "again/training.json").read_text())
    assert [run["images"] for run in runs] == [40, 40]
    assert (
        "| images seen in training | 80 (steps: 20) |" in (tmp_path / "again/README.md").read_text()
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter").touch()
    with pytest.raises(FileExistsError, match=r"other files .letter"):
        export(second, tmp_path / "full")
    # An earlier export is replaced, but not if somebody added a file.
    export(second, tmp_path / "again", dtype=torch.bfloat16)
    assert "bfloat16" in (tmp_path / "again/README.md").read_text()
    (tmp_path / "again/notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"other files .notes\.txt"):
        export(second, tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again",
        "first",
        "full",
        "model",
        "second",
    ]
    # It goes on from its own checkpoint then, also where the first weights are gone.
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    third = Trainer(second.config)
    assert third.images == 40
    assert third.earlier == second.earlier != []


def test_weights_to_begin_with_must_exist_and_fit(tmp_path):
    with pytest.raises(ModelError, match="there is no model 'nowhere'"):
        Trainer(tiny(tmp_path / "run", "init=nowhere"))
    with pytest.raises(RecipeError, match="init=starter holds another network"):
        Trainer(tiny(tmp_path / "run", "init=starter"))
    # Heads change no shape, but what the weights mean.
    for setting in ("head_dim=16", "size=64", "max_markers=9"):
        config = override(recipe("continued"), [setting])
        with pytest.raises(RecipeError, match="init=starter holds another network"):
            initial_weights(config, build_model(config))
    config = recipe("continued")
    assert (initial_weights(config, build_model(config)) / "training.json").is_file()


def test_a_stage_that_is_over_has_no_step_left(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run"))
    trainer.begin_stage()
    trainer.step()
    trainer.step()
    assert (trainer.images, trainer.stage_step) == (8, 2)
    with pytest.raises(RuntimeError, match="no step left: begin_stage"):
        trainer.step()
    assert (trainer.images, trainer.average.steps) == (8, 2)


def test_the_next_step_is_begun_before_the_norm_is_read(tmp_path, monkeypatch):
    """With its first partial batch; the others wait for their turn, to save memory."""
    trainer, order = Trainer(tiny(tmp_path / "run", "accumulate=2")), []
    trainer.begin_stage()
    prepare = trainer.backward._prepare
    trainer.backward._prepare = lambda *given: order.append("ready") or prepare(*given)
    monkeypatch.setattr(loop, "whole", lambda norm: order.append("read") or norm)
    trainer.step()
    assert order == ["ready", "ready", "ready", "read"]
    trainer.step()
    assert order[4:] == ["ready", "read"]


def test_compile_without_a_compiler_says_so_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RecipeError, match=r"compile=true needs a C\+\+ compiler"):
        Trainer(tiny(tmp_path / "run", "compile=true"))


def test_what_the_world_lacks_is_said_before_the_training(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run"))
    assert trainer.left_out == left_out_of(trainer.config, trainer.world)
    world = replace(trainer.world, vocabulary=replace(trainer.world.vocabulary, faces=()))
    assert left_out_of(trainer.config, world) == (
        "face is left out: the world has no faces; the other tasks share its 0.05",
        "face_hq is left out: the world has no second set of faces; the other tasks share its 0.05",
    )
    alone = Stage(name="instruct", images=8, ratios={"face": 1.0})
    config = replace(trainer.config, stages=(*trainer.config.stages[:-1], alone))
    with pytest.raises(MixtureError, match="face cannot be drawn: the world has no faces"):
        left_out_of(config, world)
    # Not where the stage is skipped.
    skipped = replace(config, stages=(*config.stages[:-1], replace(alone, images=0)))
    assert left_out_of(skipped, world) == ()
