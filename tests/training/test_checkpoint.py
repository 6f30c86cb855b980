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


def test_a_damaged_later_checkpoint_goes_and_the_one_in_use_stays(tmp_path):
    for value, name in enumerate("bd", start=1):
        checkpoint.save(tmp_path, state(value), name=name)
    (tmp_path / "d/state.json").write_text("{}")
    (tmp_path / "best").mkdir()  # a user's own
    with pytest.warns(UserWarning, match="going on from checkpoint b"):
        assert checkpoint.load_latest(tmp_path).progress == {"images": 1}
    checkpoint.save(tmp_path, state(3), name="c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LATEST", "b", "best", "c"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"gone"])
def test_a_damaged_pointer_does_not_begin_anew(tmp_path, content):
    for value, name in enumerate("ab", start=1):
        checkpoint.save(tmp_path, state(value), name=name)
    (tmp_path / "LATEST").write_bytes(content)
    with pytest.warns(UserWarning, match="going on from checkpoint b"):
        assert checkpoint.load_latest(tmp_path).progress == {"images": 2}


def test_nothing_yet_and_something_broken(tmp_path):
    assert checkpoint.load_latest(tmp_path) is None
    path = checkpoint.save(tmp_path, state(1), name="a")
    (path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(checkpoint.CheckpointError, match=r"checkpoint .*a is damaged .*no other"):
        checkpoint.load_latest(tmp_path)


@pytest.mark.parametrize("file", ["model", "ema", "optimizer", "state"])
def test_one_changed_bit_is_found_and_the_checkpoint_before_is_used(tmp_path, file):
    checkpoint.save(tmp_path, state(1), name="a")
    path = checkpoint.save(tmp_path, state(2), name="b")
    damaged = next(path.glob(f"{file}.*"))
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"checkpoint .*b is damaged \({damaged.name} is not"):
        assert checkpoint.load_latest(tmp_path).progress == {"images": 1}
    # The run comes to the same place again, and writes what was damaged anew.
    checkpoint.save(tmp_path, state(2), name="b")
    assert checkpoint.load_latest(tmp_path).progress == {"images": 2}
