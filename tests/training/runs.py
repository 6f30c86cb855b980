"""Runs of tiny trainings in processes of their own, forked from one that has imported all."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from instruct_imagen.recipes import override, recipe
from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.training import backward, checkpoint
from instruct_imagen.training.backward import Backward
from instruct_imagen.training.interruptions import LostProcessError
from instruct_imagen.training.loop import Trainer

TINY = [
    "size=16", "channels=16,32", "head_dim=16", "batch_size=4", "concepts=12", "min_styles=8",
    "people=2", "warmup_steps=2", "sheet_every=0", "checkpoint_every=0",
    "pretrain.images=8", "retrieval.images=8", "layouts.images=8", "subjects.images=8",
    "instruct.images=8",
]  # fmt: skip


def tiny(out: Path | str, *settings: str) -> TrainConfig:
    """The starter recipe, small enough for a test."""
    return override(recipe("starter"), [*TINY, f"out={out}", *settings])


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Weights, averages and moments of a run's last checkpoint."""
    state = checkpoint.load_latest(folder / "checkpoints")
    assert state is not None
    moments = {
        f"{index}/{key}": value
        for index, entries in state.optimizer["state"].items()
        for key, value in entries.items()
        if isinstance(value, torch.Tensor)
    }
    averages = {f"ema/{name}": value for name, value in state.ema.items()}
    return {**state.model, **averages, **moments}


def losses(folder: Path) -> dict[int, list[float]]:
    """The losses of each step of the first process, by the images seen after it.

    Steps that were taken again, by a run that went on from before them, must have given the same.
    """
    found: dict[int, list[float]] = {}
    for line in (folder / "steps.jsonl").read_text().splitlines():
        images, values = json.loads(line)
        assert found.setdefault(images, values) == values, f"step to {images} images"
    return found


def _child(
    environment: dict[str, str],
    settings: Sequence[str],
    before: Callable[..., None] | None,
    arguments: Sequence[object],
    sheet: bool,
) -> None:
    os.environ.update(environment)
    multiprocessing.set_start_method("fork", force=True)  # of its workers, as in a usual process
    torch.set_num_threads(1)
    if before is not None:
        before(*arguments)
    # Counting what a step is takes longer than so short a run; `test_step` counts.
    backward.step_work = lambda *_, **__: 1.0
    trainer = Trainer(override(recipe("starter"), settings))
    if not sheet:  # most of the time of so short a run
        trainer.sheet = lambda: None
    step, seen = trainer.step, trainer.record.losses

    def noted(values: torch.Tensor, *others: object) -> None:
        seen(values, *others)
        last.extend(values.tolist())

    def step_and_note() -> None:
        last.clear()
        step()
        if trainer.processes.first:
            with (trainer.folder / "steps.jsonl").open("a") as file:
                file.write(json.dumps([trainer.images, last]) + "\n")

    last: list[float] = []
    trainer.step, trainer.record.losses = step_and_note, noted
    try:
        trainer.run()
    except LostProcessError as error:
        (trainer.folder / "lost.txt").write_text(str(error))
        raise SystemExit(2) from error


def start(
    count: int,
    out: Path,
    *settings: str,
    before: Callable[..., None] | None = None,
    arguments: Sequence[object] = (),
    sheet: bool = False,
) -> list[BaseProcess]:
    """Starts a run of `count` processes; each calls `before(*arguments)` first.

    They draw no sample sheet at the end unless `sheet`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.runs"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(count):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        process = context.Process(
            target=_child,
            args=(environment, [*TINY, f"out={out}", *settings], before, arguments, sheet),
        )
        process.start()
        processes.append(process)
    return processes


def train(count: int, out: Path, *settings: str, **options: object) -> list[int]:
    """Runs to the end; the exit codes."""
    processes = start(count, out, *settings, **options)
    for process in processes:
        process.join(300)  # tracing the step alone takes two minutes on a busy machine
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def traced_only() -> None:
    """Lets `compile` trace the step, forward and backward, without making kernels of it."""
    torch.compile = partial(torch.compile, backend="aot_eager")


def kill_at(place: str, number: int, rank: int = 0) -> None:
    """Ends process `rank` with SIGKILL at the `number`-th time that it comes to a place.

    The places are moments of a step (``backward``, ``updated``) and of a save (``written``,
    ``synced``, ``renamed``).
    """
    if int(os.environ["RANK"]) != rank:
        return
    count = 0

    def then_die(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object, **options: object) -> object:
            nonlocal count
            result = function(*arguments, **options)
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    if place == "backward":
        Backward.add = then_die(Backward.add)
    elif place == "updated":
        Trainer._update = then_die(Trainer._update)
    elif place == "written":
        checkpoint.save_file = then_die(checkpoint.save_file)
    elif place == "synced":
        checkpoint._sync = then_die(checkpoint._sync)
    elif place == "renamed":
        replace = then_die(os.replace)
        checkpoint.os = type("os", (), {**vars(os), "replace": staticmethod(replace)})
    else:
        raise ValueError(place)
