"""The loop: stages one after the other, resumable, in a time budget, in one process or many."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.tracking import GeneralTracker
from torch import Tensor
from tqdm import tqdm

from instruct_imagen.data.batch import Batch, make_batch
from instruct_imagen.data.example import Example
from instruct_imagen.data.mixture import Mixture
from instruct_imagen.diffusion.objective import (
    ConditionDrop,
    draw_condition_drop,
    sampling_scheduler,
)
from instruct_imagen.images import save_png
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.recipes.config import RecipeError, TrainConfig, resolved
from instruct_imagen.training import checkpoint
from instruct_imagen.training.adapters import ADAPTER, add_adapters, merged, trained
from instruct_imagen.training.average import Average
from instruct_imagen.training.build import (
    build_model,
    build_optimizer,
    initial_weights,
    training_device,
)
from instruct_imagen.training.card import read_runs, run_facts
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.draws import Draws, draw, rng_for
from instruct_imagen.training.guards import (
    TrainingDivergedError,
    check_room,
    keep_for_inspection,
)
from instruct_imagen.training.interruptions import peers, stop_signals
from instruct_imagen.training.packed_world import load_world
from instruct_imagen.training.page import write_page
from instruct_imagen.training.processes import Processes
from instruct_imagen.training.record import Record, live, write_line
from instruct_imagen.training.settings import incompatible_settings, learning_rate
from instruct_imagen.training.sharding import whole
from instruct_imagen.training.sheet import draw_sheet, sheet_of
from instruct_imagen.training.speed import convolution_rate
from instruct_imagen.training.state import averages, gathered, scattered
from instruct_imagen.training.step import TrainingStep, encode_batch, step_work
from instruct_imagen.training.stream import StepExamples, stream
from instruct_imagen.training.trackers import start_trackers

_LOG_EVERY = 20


class Trainer:
    """One training run.

    Args:
        config: The recipe.

    Raises:
        RecipeError: Settings that do not fit together, the device, or the number of processes.
        CheckpointError: The run in this folder cannot go on, or cannot be saved.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.folder = Path(config.out)
        self.processes = Processes(training_device(config.device), config.parallel)
        self.device = self.processes.device
        self._check_shares()
        last = checkpoint.load_latest(self.folder / "checkpoints")
        if last is not None:
            self._check_settings(last)
        self.world = load_world(config)
        if last is not None:
            self._check_photographs(last)
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
        self.module = self.processes.wrapped(TrainingStep(self.model))
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
        self.step_work = 0.0  # GFLOP of a stage's first step in this process
        self._stream: Iterator[list[Example]] = iter(())
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
        with stop_signals() as received, self._peers(), self._tracked():
            while not self._finished and not self.processes.any(
                bool(received) or time.monotonic() - start >= limit
            ):
                self._run_stage(lambda: bool(received) or time.monotonic() - start >= limit)
            self.save()
            if self.processes.any(bool(received)):
                self.stopped_by = received[0] if received else signal.SIGTERM
                return None
            return self.sheet()

    def _peers(self) -> AbstractContextManager[None]:
        return peers(self.processes, self.folder, lambda: self.images)

    @contextmanager
    def _tracked(self) -> Iterator[None]:
        """Starts the trackers, and closes them however the run ends."""
        if self.processes.first:
            settings = resolved(self.config)
            self.trackers = start_trackers(self.config.trackers, self.folder, settings)
        try:
            yield
        finally:
            for tracker in self.trackers:
                tracker.finish()
            self.trackers = []

    @property
    def parameter_count(self) -> int:
        """Parameters of the network, into which adapters are merged."""
        weights = self.model.named_parameters()
        return sum(weight.numel() for name, weight in weights if ADAPTER not in name)

    @property
    def _checkpoint_bytes(self) -> int:
        """Weights, averages and at most two moments."""
        return 4 * 4 * self.parameter_count

    def _check_shares(self) -> None:
        config, count = self.config, self.processes.count
        parts = config.noises * config.targets * config.accumulate * count
        if config.batch_size % parts:
            raise RecipeError(
                f"batch_size={config.batch_size} must be a multiple of noises={config.noises} × "
                f"targets={config.targets} × accumulate={config.accumulate} × {count} processes"
            )

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
        config = self.config
        stage = config.stages[self.stage]
        self.step_work = 0.0
        count = config.batch_size // config.noises
        mixture = Mixture(
            self.world.tasks,
            stage.ratios,
            self.world.vocabulary,
            config.seed * 16 + self.stage,
            config.targets,
        )
        self._stream = stream(
            StepExamples(
                mixture=mixture,
                count=count,
                share=self.processes.share(count),
                instruction=config.instruction,
            ),
            range(self.stage_step, max(self._stage_steps, 1)),
            self.encoder,
            workers=config.workers,
        )

    def _every(self, interval: int, action: Callable[[], Any]) -> None:
        """Calls `action` when the last step went past a multiple of `interval` images."""
        before = self.images - self.config.batch_size
        if interval and self.images // interval > before // interval:
            action()

    def step(self) -> None:
        """One optimizer step, on `accumulate` partial batches in each process."""
        config = self.config
        began = time.monotonic()
        self.render_s = self.text_s = 0.0
        key = (config.seed, self.stage, self.stage_step)
        total = config.batch_size // config.noises
        drop = draw_condition_drop(
            total, rng_for(*key, 0), drop_both=config.drop_both, drop_context=config.drop_context
        )
        share = self.processes.share(total)
        examples = next(self._stream)
        self.text_s += time.monotonic() - began
        size = len(share) // config.accumulate
        parts = []
        for number in range(config.accumulate):
            rows = share[number * size : (number + 1) * size]
            own = examples[number * size : (number + 1) * size]
            last = number == config.accumulate - 1
            with nullcontext() if last else self.processes.gradients_later(self.module):
                parts.append(self._backward(own, rows, drop, key))
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
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
        for batch, draws, losses in parts:
            tasks = [task for task in batch.tasks for _ in range(config.noises)]
            self.record.losses(losses.tolist(), draws.timesteps.tolist(), tasks)
        ended = time.monotonic()
        self.seconds += ended - began
        self.record.figures(
            norm=norm, render_s=self.render_s, text_s=self.text_s, step_s=ended - began
        )

    def _backward(
        self,
        examples: Sequence[Example],
        rows: range,
        drop: ConditionDrop,
        key: tuple[int, ...],
    ) -> tuple[Batch, Draws, Tensor]:
        """Adds the gradient of a partial batch; returns it with its draws and losses."""
        config = self.config
        began = time.monotonic()
        batch = make_batch(
            examples,
            self.world.atlas,
            config.size,
            device=self.device,
            drop_text=drop.text[rows.start : rows.stop].tolist(),
            drop_context=drop.context[rows.start : rows.stop].tolist(),
            photographs=self.world.photographs,
        )
        rendered = time.monotonic()
        encoded = encode_batch(
            batch, self.encoder, device=self.device, channels_last=config.channels_last
        )
        self.render_s += rendered - began
        self.text_s += time.monotonic() - rendered
        draws = draw(
            *key,
            rows=range(rows.start * config.noises, rows.stop * config.noises),
            total=config.batch_size,
            shape=encoded.images.shape[1:],
            shift=config.timestep_shift,
            device=self.device,
        )
        if not self.step_work:
            self.step_work = config.accumulate * step_work(
                self.model.config, encoded, draws, lora=config.lora
            )
        with self._precision():
            losses = self.module(encoded, draws)
        # Processes take the mean of their gradients, partial batches add up.
        (losses.sum() * (self.processes.count / config.batch_size)).backward()
        return batch, draws, losses.detach()

    def _update(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.images)
        self.optimizer.step()
        self.average.update()

    def _skip(self, parts: Sequence[tuple[Batch, Draws, Tensor]]) -> None:
        """Leaves the weights as they are, and keeps the step's batches."""
        self.skipped += 1
        name = f"images-{self.images:09d}-process-{self.processes.rank}"
        kept = [
            keep_for_inspection(self.folder / "skipped", f"{name}-part-{number}", *part)
            for number, part in enumerate(parts)
        ]
        if self.skipped > self.config.skip_limit:
            raise TrainingDivergedError(
                f"{self.skipped} steps had a loss or gradient that is not finite (skip_limit="
                f"{self.config.skip_limit}); the last one's batch is in {kept[0]}: lower "
                "learning_rate or gradient_clip and go on from the last checkpoint"
            )

    def _precision(self) -> Any:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _log(self, stage: str) -> dict[str, str]:
        """Writes one line of means to the log; returns what the progress bar says of it."""
        means = self.record.means(self.processes)
        line: dict[str, Any] = {"stage": stage, "images": self.images}
        line["seconds"] = round(self.seconds, 1)
        line["images_per_s"] = round(self.config.batch_size / means["step_s"], 2)
        line["skipped"] = self.skipped
        if self.step_work and self.machine_rate:
            line["gflops"] = float(f"{self.step_work / means['step_s']:.4g}")
            line["share_of_machine"] = float(f"{line['gflops'] / self.machine_rate:.3g}")
        line |= {name: round(value, 5) for name, value in means.items()}
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
        broken = [name for name, value in model.items() if not torch.isfinite(value).all()]
        if broken:
            raise TrainingDivergedError(
                f"after {self.images:,} images {broken[0]} is not finite: nothing is saved; go on "
                f"from the last checkpoint in {self.folder} with a lower learning_rate"
            )
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
                "photographs": self.world.fingerprint,
            },
        )
        if self.processes.first:
            checkpoint.save(self.folder / "checkpoints", state, name=f"images-{self.images:09d}")
        self.processes.wait()

    def _check_settings(self, state: checkpoint.TrainingState) -> None:
        changed = incompatible_settings(state.progress["config"], resolved(self.config))
        if changed:
            raise CheckpointError(
                f"the run in {self.folder} was begun with other settings ({changed}): "
                "give the same ones, or another folder: out=…"
            )

    def _check_photographs(self, state: checkpoint.TrainingState) -> None:
        if state.progress.get("photographs", "") != self.world.fingerprint:
            raise CheckpointError(
                f"the run in {self.folder} was begun with other images or captions than those in "
                f"folder={self.config.folder}: give the same ones, or another folder: out=…"
            )

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
        weights = averages(self.model, self.average)
        model = build_model(self.config)
        model.load_state_dict({**model.state_dict(), **merged(weights)})
        if self.config.channels_last:
            model.to(memory_format=torch.channels_last)
        pipeline = InstructImagenPipeline(
            model.to(self.device),
            self.encoder,
            sampling_scheduler(),
            instruction=self.config.instruction,
        )
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

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
