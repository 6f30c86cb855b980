"""Several processes train as one does: the same steps, up to the order of float32 sums."""

from __future__ import annotations

import json

import pytest
import torch

from instruct_imagen.training import checkpoint
from tests.training.runs import kill_at, losses, tensors, traced_only, train

EXACT = ("noises=1", "precision=fp32", "optimizer=adamw")
ONE_STEP = (
    "pretrain.images=0", "retrieval.images=4", "layouts.images=0", "subjects.images=0",
    "instruct.images=0",
)  # fmt: skip
WAYS = {
    "two partial batches": (1, ("accumulate=2",)),
    "two processes": (2, ()),
    "two processes, two partial batches": (2, ("accumulate=2",)),
    "four processes": (4, ()),
    "two processes, weights shared out": (2, ("parallel=fsdp",)),
    "two processes, two partial batches, compiled": (2, ("accumulate=2", "compile=true")),
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One step, and a run of several stages, of a single process."""
    folder = tmp_path_factory.mktemp("alone")
    assert train(1, folder / "step", *EXACT, *ONE_STEP) == [0]
    assert train(1, folder / "run", *EXACT) == [0]
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_gradients_of_a_step_are_those_of_one_process(alone, tmp_path, way):
    """First moments after one step are a tenth of its gradients, which are of the order of 0.1."""
    count, settings = WAYS[way]
    before = traced_only if "compile=true" in settings else None
    codes = train(count, tmp_path / "run", *EXACT, *ONE_STEP, *settings, before=before)
    assert codes == [0] * count
    expected, found = tensors(alone / "step"), tensors(tmp_path / "run")
    assert expected.keys() == found.keys()
    moments = [name for name in expected if name.endswith("/exp_avg")]
    assert max(float(expected[name].abs().max()) for name in moments) > 1e-3
    for name in moments:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-7, msg=name)


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor"])
@pytest.mark.parametrize("way", ["two processes", "two processes, weights shared out"])
def test_a_run_with_each_optimizer(tmp_path, way, optimizer):
    """Losses of ten steps agree within 1%: optimizers divide by gradients next to zero."""
    count, settings = WAYS[way]
    run = (*EXACT[:2], f"optimizer={optimizer}")
    codes = train(count, tmp_path / "many", *run, *settings)
    if optimizer == "adafactor" and "parallel=fsdp" in settings:
        assert codes == [1, 1]  # it is refused: means over rows cannot be shared out
        return
    assert codes == [0] * count
    assert train(1, tmp_path / "one", *run) == [0]
    expected, found = (logged(tmp_path / name) for name in ("one", "many"))
    assert found == pytest.approx(expected, rel=0.01)


def logged(folder):
    """The mean loss over all processes, a value a stage: each has two steps."""
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("count", "strategy"), [(1, "ddp"), (4, "ddp"), (1, "fsdp"), (4, "fsdp")])
def test_a_run_of_two_processes_goes_on_with_another_number(alone, tmp_path, count, strategy):
    folder, way = tmp_path / "run", f"parallel={strategy}"
    assert train(2, folder, *EXACT, "instruct.images=4", way) == [0, 0]
    assert checkpoint.load_latest(folder / "checkpoints").progress["images"] == 36
    assert train(count, folder, *EXACT, way) == [0] * count
    assert checkpoint.load_latest(folder / "checkpoints").progress["images"] == 40
    assert logged(folder)[-1] == pytest.approx(sum(losses(alone / "run")[40]) / 4, rel=0.01)


def test_a_lost_process_ends_the_run_with_a_message_and_a_checkpoint(tmp_path):
    folder = tmp_path / "run"
    settings = (*EXACT, "checkpoint_every=4", "instruct.images=4000")
    codes = train(2, folder, *settings, before=kill_at, arguments=("updated", 7, 1))
    assert codes == [2, -9]
    message = (folder / "lost.txt").read_text()
    assert "process 0 of 2 lost another one after 2" in message
    assert "start the run again" in message
    state = checkpoint.load_latest(folder / "checkpoints")
    assert state.progress["images"] in (24, 28)
    assert train(1, folder, *EXACT) == [0]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_draw_one_sheet(tmp_path, strategy):
    settings = (*EXACT, *ONE_STEP, f"parallel={strategy}")
    assert train(2, tmp_path / "run", *settings, sheet=True) == [0, 0]
    assert [path.name for path in (tmp_path / "run/sheets").iterdir()] == ["images-000000004.png"]


def test_a_batch_must_be_divisible(tmp_path):
    assert train(4, tmp_path / "run", "noises=2") == [1] * 4
