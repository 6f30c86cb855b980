"""The loop: stages one after the other, resumable, in a time budget, in one process or many."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.tracking import GeneralTracker
from tqdm import tqdm

from instruct_imagen.data.example import Example
from instruct_imagen.diffusion.objective import draw_condition_drop, sampling_scheduler
from instruct_imagen.images import save_png
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.recipes.config import TrainConfig, resolved
from instruct_imagen.training import checkpoint
from instruct_imagen.training.adapters import ADAPTER, add_adapters, merged, trained
from instruct_imagen.training.average import Average
from instruct_imagen.training.backward import Backward, Begun, Part
from instruct_imagen.training.build import (
    build_model,
    build_optimizer,
    build_pipeline,
    initial_weights,
    training_device,
)
from instruct_imagen.training.card import read_runs, run_facts
from instruct_imagen.training.draws import rng_for
from instruct_imagen.training.guards import (
    TrainingDivergedError,
    check_room,
    check_weights,
    keep_for_inspection,
)
from instruct_imagen.training.interruptions import peers, stop_signals
from instruct_imagen.training.packed_world import load_world
from instruct_imagen.training.page import write_page
from instruct_imagen.training.processes import Processes
from instruct_imagen.training.record import Record, live, log_line, write_line
from instruct_imagen.training.settings import (
    check_compiler,
    check_contents,
    check_settings,
    check_shares,
    learning_rate,
)
from instruct_imagen.training.sharding import whole
from instruct_imagen.training.sheet import draw_sheet, sheet_of
from instruct_imagen.training.speed import convolution_rate
from instruct_imagen.training.state import averages, gathered, scattered
from instruct_imagen.training.step import TrainingStep
from instruct_imagen.training.stream import left_out_of, stage_stream
from instruct_imagen.training.trackers import tracked

_LOG_EVERY = 20


class Trainer:
    """One training run.

    Args:
        config: The recipe.

    Raises:
        RecipeError: Settings that do not fit together, the device, or the number of processes.
        CheckpointError: The run in this folder cannot go on, or cannot be saved.
        MixtureError: The world has nothing for a stage.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.folder = Path(config.out)
        self.processes = Processes(training_device(config.device), config.parallel)
        self.device = self.processes.device
        check_shares(config, self.processes.count)
        check_compiler(config, self.device)
        last = checkpoint.load_latest(self.folder / "checkpoints")
        if last is not None:
            check_settings(last.progress, config)
        self.world = load_world(config)
        self.left_out = left_out_of(config, self.world)
        if last is not None:
            check_contents(last.progress, self.world.fingerprints, config)
        self.encoder = self.world.encoder
        self.encoder.to(self.device)
        if config.text_store:
            self.encoder.keep_in(config.text_store)
        self.model = build_model(config)
        self.earlier: list[dict[str, Any]] = []  # runs that made the weights it begins with
        if last is None and config.init:
            self.earlier = read_runs(initial_weights(config, self.model))
        if config.lora:
            add_adapters(self.model, config.lora, seed=config.seed)
        if last is not None:
            self.model.load_state_dict(dict(last.model))
        self.model.to(self.device)
        if config.channels_last and not self.processes.shares_weights:
            self.model.to(memory_format=torch.channels_last)
        step = TrainingStep(self.model)
        self.module = self.processes.wrapped(step)
        if config.compile:
            self.module.compile()  # in place; sizes that vary become symbols by themselves
        self.backward = Backward(config, self.world, step, self.processes)
        self.optimizer = build_optimizer(config, trained(self.model))
        self.average = Average((weight for _, weight in trained(self.model)), config.ema_decay)
        self.stage = 0
        self.stage_step = 0
        self.images = 0
        self.seconds = 0.0
        self.skipped = 0
        self.seen: dict[str, int] = {}
        self.stopped_by: int | None = None
        self._facts: dict[str, Any] | None = None
        self.record = Record()
        self.trackers: list[GeneralTracker] = []
        self.machine_rate = 0.0  # GFLOP/s of a convolution, once the run begins
        self._stream: Iterator[list[Example]] = iter(())
        self._ahead: Begun | None = None  # the next step of the current stage
        if last is not None:
            self._resume(last)

    def run(self) -> Path | None:
        """Trains until the last stage ends, the time is up, or a signal asks to stop.

        Returns:
            The sample sheet of the weights as they are then; None after a signal, which leaves no
            time for one.

        Raises:
            TrainingDivergedError: More steps than `skip_limit` were skipped.
            LostProcessError: Another process died.
            CheckpointError: The run cannot be saved.
        """
        if self.processes.first:
            check_room(self.folder, 3 * self._checkpoint_bytes)
            settings = {"config": resolved(self.config), "parameters": self.parameter_count}
            (self.folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
            dtype = torch.bfloat16 if self.config.precision == "bf16" else torch.float32
            self.machine_rate = convolution_rate(dtype, self.device)
        start = time.monotonic()
        limit = self.config.minutes * 60 or float("inf")
        others = peers(self.processes, self.folder, lambda: self.images)
        names = self.config.trackers if self.processes.first else ()
        trackers = tracked(names, self.folder, resolved(self.config))
        with stop_signals() as received, others, trackers as self.trackers:
            while not self._finished and not self.processes.any(
                bool(received) or time.monotonic() - start >= limit
            ):
                self._run_stage(lambda: bool(received) or time.monotonic() - start >= limit)
            if received and self.processes.first:
                print("stopping: saving what there is", file=sys.stderr, flush=True)
            self.save()
            if self.processes.any(bool(received)):
                self.stopped_by = received[0] if received else signal.SIGTERM
                return None
            if self.processes.first:
                print("drawing the sample sheet", file=sys.stderr, flush=True)
            return self.sheet()

    @property
    def parameter_count(self) -> int:
        """Parameters of the network, into which adapters are merged."""
        weights = self.model.named_parameters()
        return sum(weight.numel() for name, weight in weights if ADAPTER not in name)

    @property
    def _checkpoint_bytes(self) -> int:
        """Weights, averages and at most two moments."""
        return 4 * 4 * self.parameter_count

    @property
    def _stage_steps(self) -> int:
        """Steps of the current stage."""
        return -(-self.config.stages[self.stage].images // self.config.batch_size)

    @property
    def _finished(self) -> bool:
        """Whether the last stage, which stays the current one, is at its end."""
        last = self.stage == len(self.config.stages) - 1
        return last and self.stage_step >= self._stage_steps

    def _run_stage(self, stop: Callable[[], bool]) -> None:
        """Steps of the current stage until its end or `stop()`."""
        stage = self.config.stages[self.stage]
        size = self.config.batch_size
        steps = self._stage_steps
        self.begin_stage()
        with tqdm(
            total=steps * size,
            initial=self.stage_step * size,
            desc=stage.name,
            unit="img",
            mininterval=0.1 if sys.stderr.isatty() else 60.0,  # a file keeps every line
            disable=not self.processes.first,
        ) as bar:
            while self.stage_step < steps and not self.processes.any(stop()):
                self.step()
                bar.update(size)
                if self.stage_step % _LOG_EVERY == 0:
                    bar.set_postfix(self._log(stage.name), refresh=False)
                self._every(self.config.checkpoint_every, self.save)
                self._every(self.config.sheet_every, self.sheet)
            if self.record.window:
                bar.set_postfix(self._log(stage.name))
        if self.stage_step >= steps and not self._finished:
            self.stage, self.stage_step = self.stage + 1, 0

    def begin_stage(self) -> None:
        """Opens the stream of the current stage's examples at the current step."""
        self.backward.work = 0.0
        self._ahead = None
        steps = range(self.stage_step, max(self._stage_steps, 1))
        self._stream = stage_stream(self.config, self.stage, steps, self.world, self.processes)

    def _every(self, interval: int, action: Callable[[], Any]) -> None:
        """Calls `action` when the last step went past a multiple of `interval` images."""
        before = self.images - self.config.batch_size
        if interval and self.images // interval > before // interval:
            action()

    def _begin(self, stage_step: int) -> Begun | None:
        """The next step of the stream, which has that number; None at its end."""
        config, began = self.config, time.monotonic()
        examples = next(self._stream, None)
        self.backward.text_s += time.monotonic() - began
        if examples is None:
            return None
        total = config.batch_size // config.noises
        drop = draw_condition_drop(
            total,
            rng_for(config.seed, self.stage, stage_step, 0),
            drop_both=config.drop_both,
            drop_context=config.drop_context,
        )
        return self.backward.begin(examples, drop, self.processes.share(total))

    def step(self) -> None:
        """One optimizer step, on `accumulate` partial batches in each process.

        Raises:
            RuntimeError: The stage has no step left.
        """
        config, backward, began = self.config, self.backward, time.monotonic()
        backward.render_s = backward.text_s = 0.0
        begun = self._ahead or self._begin(self.stage_step)
        if begun is None:
            raise RuntimeError("the stage has no step left: begin_stage opens the current one")
        self._ahead = None
        key = (config.seed, self.stage, self.stage_step)
        drafts = self.stage == len(config.stages) - 1
        parts: list[Part] = []
        for prepared in backward.parts(begun):
            last = len(parts) == config.accumulate - 1
            with nullcontext() if last else self.processes.gradients_later(self.module):
                parts.append(backward.add(self.module, prepared, key, drafts=drafts))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        # Before the norm is read: an accelerator computes while the next step is begun.
        self._ahead = self._begin(self.stage_step + 1)
        norm = float(whole(norm))
        if norm == norm and norm != float("inf"):
            self._update()
        else:
            self._skip(parts)
        self.optimizer.zero_grad(set_to_none=True)
        self.images += config.batch_size
        self.stage_step += 1
        stage = config.stages[self.stage].name
        self.seen[stage] = self.seen.get(stage, 0) + config.batch_size
        for part in parts:
            tasks = [task for task in part.batch.tasks for _ in range(config.noises)]
            self.record.losses(part.losses, part.draws.timesteps, tasks)
        ended = time.monotonic()
        self.seconds += ended - began
        self.record.figures(
            norm=norm,
            render_s=backward.render_s,
            text_s=backward.text_s,
            step_s=ended - began,
        )

    def _update(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.images)
        self.optimizer.step()
        self.average.update()

    def _skip(self, parts: Sequence[Part]) -> None:
        """Leaves the weights as they are, and keeps the step's batches."""
        self.skipped += 1
        name = f"images-{self.images:09d}-process-{self.processes.rank}"
        kept = [
            keep_for_inspection(
                self.folder / "skipped",
                f"{name}-part-{number}",
                part.batch,
                part.draws,
                part.losses,
            )
            for number, part in enumerate(parts)
        ]
        if self.skipped > self.config.skip_limit:
            raise TrainingDivergedError(
                f"{self.skipped} steps had a loss or gradient that is not finite (skip_limit="
                f"{self.config.skip_limit}); the last one's batch is in {kept[0]}: lower "
                "learning_rate or gradient_clip and go on from the last checkpoint"
            )

    def _log(self, stage: str) -> dict[str, str]:
        """Writes one line of means to the log; returns what the progress bar says of it."""
        line = log_line(
            self.config,
            self.record.means(self.processes),
            stage=stage,
            images=self.images,
            seconds=self.seconds,
            skipped=self.skipped,
            work=self.backward.work,
            machine_rate=self.machine_rate,
        )
        if self.processes.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_line(self.folder, line)
            figures = {name: value for name, value in line.items() if name != "stage"}
            for tracker in self.trackers:
                tracker.log(figures, step=self.images)
        return live(line)

    def save(self) -> None:
        """Writes a checkpoint.

        Raises:
            TrainingDivergedError: A weight is not finite.
            CheckpointError: It cannot be written.
        """
        model, ema, optimizer = gathered(self.model, self.average, self.optimizer)
        check_weights(model, self.folder, self.images)
        state = checkpoint.TrainingState(
            model=model,
            ema=ema,
            optimizer=optimizer,
            progress={
                "stage": self.stage,
                "stage_step": self.stage_step,
                "images": self.images,
                "seconds": self.seconds,
                "skipped": self.skipped,
                "ema_steps": self.average.steps,
                "seen": self.seen,
                "earlier": self.earlier,
                "facts": self.facts(),
                "config": resolved(self.config),
                **self.world.fingerprints,
            },
        )
        if self.processes.first:
            checkpoint.save(self.folder / "checkpoints", state, name=f"images-{self.images:09d}")
        self.processes.wait()

    def _resume(self, state: checkpoint.TrainingState) -> None:
        """All but the weights, which were loaded before they were shared out."""
        scattered(state, self.model, self.average, self.optimizer)
        self.average.steps = state.progress["ema_steps"]
        self.stage = state.progress["stage"]
        self.stage_step = state.progress["stage_step"]
        self.images = state.progress["images"]
        self.seconds = state.progress["seconds"]
        self.skipped = state.progress["skipped"]
        self.seen = dict(state.progress["seen"])
        self.earlier = state.progress["earlier"]
        self._facts = state.progress["facts"]

    def facts(self) -> dict[str, Any]:
        """What the card says of this run: as its checkpoint says it, unless it went on since."""
        if self._facts is None or self._facts["images"] != self.images:
            self._facts = run_facts(self.config, stages=self.seen, seconds=self.seconds)
        return self._facts

    def averaged(self) -> InstructImagenPipeline:
        """A pipeline of the averaged weights, beside the network; all processes must ask."""
        weights = merged(averages(self.model, self.average))
        return build_pipeline(self.config, weights, self.encoder, sampling_scheduler(), self.device)

    def sheet(self) -> Path:
        """Draws the sample sheet with the averaged weights, and returns its path."""
        path = self.folder / "sheets" / f"images-{self.images:09d}.png"
        pipeline = self.averaged()
        if self.processes.first:
            path.parent.mkdir(parents=True, exist_ok=True)
            fixed = sheet_of(self.world, self.config.stages[-1].ratios)
            save_png(path, draw_sheet(pipeline, fixed))
            if (self.folder / "config.json").is_file():
                write_page(self.folder)
        self.processes.wait()
        return path
