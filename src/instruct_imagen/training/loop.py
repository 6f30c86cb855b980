"""The loop: stages one after the other, resumable, within a time budget."""

from __future__ import annotations

import json
import signal
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from tqdm import tqdm

from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.example import Example
from instruct_imagen.data.mixture import Mixture
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.diffusion.objective import (
    draw_condition_drop,
    sampling_scheduler,
    training_scheduler,
)
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.pipeline import InstructImagenPipeline
from instruct_imagen.recipes.config import TrainConfig, resolved
from instruct_imagen.training import checkpoint
from instruct_imagen.training.build import (
    build_model,
    build_optimizer,
)
from instruct_imagen.training.card import write_card
from instruct_imagen.training.checkpoint import CheckpointError
from instruct_imagen.training.packed_world import load_world
from instruct_imagen.training.sheet import Sheet, draw_sheet
from instruct_imagen.training.step import encode_batch, step_loss

_AHEAD = 8


class Trainer:
    """One training run.

    Args:
        config: The recipe.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.folder = Path(config.out)
        self.device = torch.device(config.device)
        self.world = load_world(config)
        self.encoder = self.world.encoder
        self.encoder.to(self.device)
        self.model = build_model(config, self.encoder.width).to(self.device)
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(config, self.model.named_parameters())
        self.ema = EMAModel(
            self.model.parameters(),
            decay=config.ema_decay,
            use_ema_warmup=True,
            power=0.75,
            foreach=True,
        )
        self.scheduler = training_scheduler()
        self.stage = 0
        self.stage_step = 0
        self.images = 0
        self.seconds = 0.0
        self._window: dict[str, list[float]] = defaultdict(list)
        self._ahead: dict[tuple[int, int], list[Example]] = {}
        self._resume()

    def run(self) -> None:
        """Trains until the last stage ends, the time is up, or a signal asks to stop."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {"config": resolved(self.config), "parameters": self.parameter_count}
        (self.folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
        start = time.monotonic()
        limit = self.config.minutes * 60 or float("inf")
        stopping: list[int] = []
        previous = {
            number: signal.signal(number, lambda received, _: stopping.append(received))
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            while self.stage < len(self.config.stages):
                if stopping or time.monotonic() - start >= limit:
                    break
                self._run_stage(lambda: bool(stopping) or time.monotonic() - start >= limit)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        self.save()
        self.sheet()

    @property
    def parameter_count(self) -> int:
        """Trained parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def _run_stage(self, stop: Any) -> None:
        """Steps of the current stage until its end or `stop()`."""
        stage = self.config.stages[self.stage]
        mixture = Mixture(
            all_tasks(), stage.ratios, self.world.vocabulary, self.config.seed * 16 + self.stage
        )
        size = self.config.batch_size
        steps = -(-stage.images // size)
        with tqdm(
            total=steps * size, initial=self.stage_step * size, desc=stage.name, unit="img"
        ) as bar:
            while self.stage_step < steps and not stop():
                self._step(mixture)
                bar.update(size)
                if self.stage_step % 20 == 0:
                    bar.set_postfix(loss=f"{self._log(stage.name):.4f}")
                self._every(self.config.checkpoint_every, self.save)
                self._every(self.config.sheet_every, self.sheet)
        if self._window:
            self._log(stage.name)
        if self.stage_step >= steps:
            self.stage, self.stage_step = self.stage + 1, 0

    def _every(self, interval: int, action: Any) -> None:
        """Calls `action` when the last step went past a multiple of `interval` images."""
        before = self.images - self.config.batch_size
        if interval and self.images // interval > before // interval:
            action()

    def _step(self, mixture: Mixture) -> None:
        """One optimizer step."""
        config = self.config
        began = time.monotonic()
        size = config.batch_size
        count = size // config.noises
        generator = checkpoint.rng_for(config.seed, self.stage, self.stage_step)
        drop = draw_condition_drop(
            count, generator, drop_both=config.drop_both, drop_context=config.drop_context
        )
        examples = self._examples(mixture, count)
        drawn = time.monotonic()
        batch = make_batch(
            examples,
            self.world.atlas,
            config.size,
            device=self.device,
            drop_text=drop.text.tolist(),
            drop_context=drop.context.tolist(),
        )
        rendered = time.monotonic()
        encoded = encode_batch(
            batch, self.encoder, device=self.device, channels_last=config.channels_last
        )
        ready = time.monotonic()
        with self._precision():
            loss = step_loss(
                self.model,
                self.scheduler,
                encoded,
                generator,
                timestep_shift=config.timestep_shift,
                noises=config.noises,
            )
        loss.mean.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.images)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.step(self.model.parameters())
        self.images += size
        self.stage_step += 1
        # Reading the figures waits for an accelerator, so it comes before the clock.
        norm, losses = float(norm), loss.per_sample.tolist()
        ended = time.monotonic()
        self.seconds += ended - began
        self._remember(
            losses,
            loss.timesteps.tolist(),
            [task for task in batch.tasks for _ in range(config.noises)],
            norm=norm,
            render_s=rendered - drawn,
            text_s=drawn - began + ready - rendered,
            step_s=ended - began,
        )

    def _examples(self, mixture: Mixture, count: int) -> list[Example]:
        """The step's examples, with their texts encoded and kept.

        Those of `_AHEAD` steps are encoded together: texts are encoded in blocks of like length,
        which few texts leave half empty.
        """
        place = (self.stage, self.stage_step)
        if place not in self._ahead:
            first = self.stage_step * count
            drawn = mixture.examples(first, first + _AHEAD * count)
            self.encoder([example.text for example in drawn])
            self._ahead = {
                (self.stage, self.stage_step + step): drawn[step * count : (step + 1) * count]
                for step in range(_AHEAD)
            }
        return self._ahead.pop(place)

    def _precision(self) -> Any:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _remember(
        self,
        losses: Sequence[float],
        timesteps: Sequence[int],
        tasks: Sequence[str],
        **figures: float,
    ) -> None:
        """Keeps the step's figures for the next line of the log."""
        for name, value in figures.items():
            self._window[name].append(value)
        for task, value, step in zip(tasks, losses, timesteps, strict=True):
            self._window["loss"].append(value)
            self._window[f"loss/{task}"].append(value)
            self._window[f"loss/noise{step * 4 // 1000}"].append(value)

    def _log(self, stage: str) -> float:
        """Writes one line of means to log.jsonl; returns the mean loss."""
        means = {name: sum(values) / len(values) for name, values in self._window.items()}
        line = {"stage": stage, "images": self.images, "seconds": round(self.seconds, 1)}
        line["images_per_s"] = round(self.config.batch_size / means["step_s"], 2)
        line |= {name: round(value, 5) for name, value in means.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._window.clear()
        return means["loss"]

    def save(self) -> None:
        """Writes a checkpoint."""
        names = [name for name, _ in self.model.named_parameters()]
        checkpoint.save(
            self.folder / "checkpoints",
            checkpoint.TrainingState(
                model=dict(self.model.state_dict()),
                ema=dict(zip(names, self.ema.shadow_params, strict=True)),
                optimizer=self.optimizer.state_dict(),
                progress={
                    "stage": self.stage,
                    "stage_step": self.stage_step,
                    "images": self.images,
                    "seconds": self.seconds,
                    "ema_steps": self.ema.optimization_step,
                    "config": resolved(self.config),
                },
            ),
            name=f"images-{self.images:09d}",
        )

    def _resume(self) -> None:
        state = checkpoint.load_latest(self.folder / "checkpoints")
        if state is None:
            return
        changed = incompatible_settings(state.progress["config"], resolved(self.config))
        if changed:
            raise CheckpointError(
                f"the run in {self.folder} was begun with other settings ({changed}): "
                "give the same ones, or another folder: out=…"
            )
        self.model.load_state_dict(dict(state.model))
        if self.config.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.optimizer.load_state_dict(dict(state.optimizer))
        self._match_layouts()
        names = [name for name, _ in self.model.named_parameters()]
        self.ema.shadow_params = [state.ema[name].to(self.device).clone() for name in names]
        self.ema.optimization_step = state.progress["ema_steps"]
        self.stage = state.progress["stage"]
        self.stage_step = state.progress["stage_step"]
        self.images = state.progress["images"]
        self.seconds = state.progress["seconds"]

    def _match_layouts(self) -> None:
        """Gives the optimizer's moments the memory layout of their parameters.

        A checkpoint keeps no layout, and a fused optimizer walks raw memory: with a channels-last
        weight and a contiguous moment it would pair the wrong elements.
        """
        for parameter, entries in self.optimizer.state.items():
            for key, value in entries.items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)

    def pipeline(self) -> InstructImagenPipeline:
        """The network as it is, ready to sample."""
        pipeline = InstructImagenPipeline(self.model, self.encoder, sampling_scheduler())
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def sheet(self) -> None:
        """Draws the sample sheet with the averaged weights."""
        sheet = Sheet(rows=fixed_examples(self.world.vocabulary), atlas=self.world.atlas)
        self.ema.store(self.model.parameters())
        self.ema.copy_to(self.model.parameters())
        try:
            draw_sheet(
                self.pipeline(), sheet, self.folder / "sheets" / f"images-{self.images:09d}.png"
            )
        finally:
            self.ema.restore(self.model.parameters())

    def export(
        self, folder: Path, dtype: torch.dtype = torch.float16, max_shard_size: str = "10GB"
    ) -> None:
        """Writes the averaged weights as a pipeline that `from_pretrained` reads.

        Args:
            folder: To be written.
            dtype: Of the weights.
            max_shard_size: Largest file of weights, as diffusers reads it, e.g. ``"15MB"``.
        """
        self.ema.store(self.model.parameters())
        self.ema.copy_to(self.model.parameters())
        try:
            averaged = build_model(self.config, self.encoder.width)
            averaged.load_state_dict(self.model.state_dict())
        finally:
            self.ema.restore(self.model.parameters())
        # nn.Module's own `to`: that of ModelMixin warns about float32 modules that we do not have.
        averaged = torch.nn.Module.to(averaged, dtype)
        pipeline = InstructImagenPipeline(averaged, self.encoder, sampling_scheduler())
        pipeline.save_pretrained(folder, max_shard_size=max_shard_size)
        vocabulary = self.world.vocabulary
        write_card(
            folder,
            self.config,
            parameters=self.parameter_count,
            images=self.images,
            seconds=self.seconds,
            pairs=len(vocabulary.pairs),
            concepts=len(vocabulary.concepts),
            styles=len(vocabulary.styles),
            holdout=holdout().version,
            dtype=str(dtype).removeprefix("torch."),
        )


def learning_rate(config: TrainConfig, images: int) -> float:
    """The rate of the step that follows `images` images: linear warm-up, inverse-root decay."""
    step = images // config.batch_size + 1
    rate = config.learning_rate * min(1.0, step / max(config.warmup_steps, 1))
    if config.decay_after and images > config.decay_after:
        rate *= (config.decay_after / images) ** 0.5
    return rate


# What may change from one part of a run to the next: all else would make it another run.
_FREE_SETTINGS = frozenset(
    {"minutes", "out", "device", "world", "checkpoint_every", "sheet_every", "learning_rate"}
    | {"warmup_steps", "decay_after", "gradient_clip", "ema_decay", "precision", "channels_last"}
)


def incompatible_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which settings keep a run from going on: ``"batch_size: 32, now 64"``; empty if none.

    The lengths of stages may change, their order and ratios may not.
    """
    found = [
        f"{key}: {before.get(key)}, now {value}"
        for key, value in now.items()
        if key not in _FREE_SETTINGS and key != "stages" and before.get(key) != value
    ]
    then = [(stage["name"], stage["ratios"]) for stage in before["stages"]]
    if then != [(stage["name"], stage["ratios"]) for stage in now["stages"]]:
        found.append("stages")
    return "; ".join(found)
