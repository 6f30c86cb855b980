"""What ends a run, or a step, before it does harm."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import time
from collections import namedtuple

import pytest
import torch
from safetensors.torch import load_file

from instruct_imagen.training import checkpoint
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.guards import TrainingDivergedError, check_room
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.step import TrainingStep
from tests.training.runs import start, tiny, train


def test_a_step_that_is_not_finite_is_skipped_counted_and_kept(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", "noises=1", "precision=fp32", "retrieval.images=16"))
    module, before = trainer.module, {}

    def once_infinite(encoded, draws):
        losses = module(encoded, draws)
        if trainer.images == 12:
            before.update({name: w.clone() for name, w in trainer.model.state_dict().items()})
            return losses * torch.tensor([1, float("inf"), 1, 1])
        if trainer.images == 16:
            for name, weight in trainer.model.state_dict().items():
                assert torch.equal(weight, before[name]), name
        return losses

    trainer.module = once_infinite
    trainer.run()
    assert trainer.skipped == 1
    assert trainer.average.steps == 11
    assert all(torch.isfinite(weight).all() for weight in trainer.model.state_dict().values())
    kept = json.loads((tmp_path / "run/skipped/images-000000012-process-0-part-0.json").read_text())
    assert kept["samples that are not finite"] == [1]
    assert len(kept["texts"]) == 4
    tensors = load_file(tmp_path / "run/skipped/images-000000012-process-0-part-0.safetensors")
    assert tensors["targets"].shape == (4, 3, 16, 16)
    assert tensors["noise"].shape == (4, 3, 16, 16)
    state = checkpoint.load_latest(tmp_path / "run/checkpoints")
    assert state.progress["skipped"] == 1


def test_too_many_such_steps_end_the_run(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", "skip_limit=2", "precision=fp32"))
    trainer.module = lambda encoded, draws: module(encoded, draws) * float("nan")
    module = TrainingStep(trainer.model)
    with pytest.raises(TrainingDivergedError, match=r"3 steps had .*skip_limit=2.*lower"):
        trainer.run()
    assert trainer.images == 12 - 4
    assert len(list((tmp_path / "run/skipped").glob("*.json"))) == 3


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trainer = Trainer(tiny(tmp_path / "run", "checkpoint_every=4", "precision=fp32"))
    update = trainer._update

    def then_break():
        update()
        if trainer.images == 8:
            with torch.no_grad():
                trainer.model.null_token.fill_(float("nan"))

    trainer._update = then_break
    with pytest.raises(TrainingDivergedError, match="null_token is not finite: nothing is saved"):
        trainer.run()
    state = checkpoint.load_latest(tmp_path / "run/checkpoints")
    assert state.progress["images"] == 8


def test_room_is_looked_for_at_the_start(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 5_000_000))
    with pytest.raises(CheckpointError, match="room for 5 MB and checkpoints need 10"):
        check_room(tmp_path / "run", 10_000_000)
    with pytest.raises(CheckpointError, match="checkpoints need"):
        Trainer(tiny(tmp_path / "run")).run()
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written"):
        check_room(tmp_path / "file/run", 1)


def no_large_files() -> None:
    """As if the disk were full: what is written beyond 50 kB fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    assert train(1, tmp_path / "run", "instruct.images=4") == [0]
    before = checkpoint.load_latest(tmp_path / "run/checkpoints").progress["images"]
    assert train(1, tmp_path / "run", before=no_large_files) == [1]
    folder = tmp_path / "run/checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == ["LATEST", f"images-{before:09d}"]
    assert checkpoint.load_latest(folder).progress["images"] == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_ends_a_run_within_seconds(tmp_path, number):
    (process,) = start(1, tmp_path / "run", "instruct.images=4000000", "checkpoint_every=0")
    while not (tmp_path / "run/steps.jsonl").is_file():
        assert process.is_alive()
        time.sleep(0.05)
    os.kill(process.pid, number)
    process.join(20)
    assert process.exitcode == 0
    state = checkpoint.load_latest(tmp_path / "run/checkpoints")
    lines = (tmp_path / "run/steps.jsonl").read_text().splitlines()
    assert state.progress["images"] == json.loads(lines[-1])[0]
