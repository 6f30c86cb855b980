from __future__ import annotations

import pytest
import torch

from instruct_imagen.training import checkpoint


def state(value, steps=3):
    parameter = torch.nn.Parameter(torch.full((2, 3), float(value)))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    for _ in range(steps):
        parameter.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return checkpoint.TrainingState(
        model={"w": parameter.detach()},
        ema={"w": parameter.detach() / 2},
        optimizer=optimizer.state_dict(),
        progress={"images": value},
    )


def test_round_trip(tmp_path):
    written = state(7)
    checkpoint.save(tmp_path, written, name="a")
    read = checkpoint.load_latest(tmp_path)
    assert torch.equal(read.model["w"], written.model["w"])
    assert torch.equal(read.ema["w"], written.ema["w"])
    assert read.progress == {"images": 7}
    fresh = torch.nn.Parameter(written.model["w"].clone())
    optimizer = torch.optim.AdamW([fresh], lr=0.9)
    optimizer.load_state_dict(read.optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert torch.equal(optimizer.state[fresh]["exp_avg"], written.optimizer["state"][0]["exp_avg"])
    assert optimizer.state[fresh]["step"] == 3


def test_the_newest_is_named_and_old_ones_go_last(tmp_path):
    for value, name in enumerate("abcd"):
        checkpoint.save(tmp_path, state(value), name=name, keep=2)
    assert checkpoint.load_latest(tmp_path).progress == {"images": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LATEST", "c", "d"]


def test_a_name_that_stands_is_not_written_again_and_remains_of_a_crash_go(tmp_path):
    path = checkpoint.save(tmp_path, state(1), name="a")
    before = (path / "model.safetensors").stat().st_mtime_ns
    assert checkpoint.save(tmp_path, state(1), name="a") == path
    assert (path / "model.safetensors").stat().st_mtime_ns == before
    (tmp_path / ".b.writing").mkdir()
    (tmp_path / "b").mkdir()  # renamed, but never named by LATEST
    checkpoint.save(tmp_path, state(2), name="b")
    assert checkpoint.load_latest(tmp_path).progress == {"images": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LATEST", "a", "b"]


def test_nothing_yet_and_something_broken(tmp_path):
    assert checkpoint.load_latest(tmp_path) is None
    path = checkpoint.save(tmp_path, state(1), name="a")
    (path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(checkpoint.CheckpointError, match=r"checkpoint .*a cannot be read"):
        checkpoint.load_latest(tmp_path)


def test_generators_depend_on_all_their_numbers():
    draws = {
        tuple(torch.rand(2, generator=checkpoint.rng_for(*numbers)).tolist())
        for numbers in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 2)]
    }
    assert len(draws) == 5
    again = [torch.rand(2, generator=checkpoint.rng_for(0, 1, 2)) for _ in range(2)]
    assert torch.equal(again[0], again[1])
