"""The figures of a run: collected step by step, written as lines of JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from instruct_imagen.diffusion.objective import TIMESTEPS
from instruct_imagen.recipes.config import TrainConfig
from instruct_imagen.training.processes import Processes

LOG = "log.jsonl"
_NOISE_LEVELS = 4


class Record:
    """Figures since the last line of the log.

    ``loss`` is also kept for each task (``loss/subject``) and each quarter of the noise levels
    (``loss/noise0`` is the lowest).
    """

    def __init__(self) -> None:
        self._window: dict[str, list[float]] = defaultdict(list)
        self._losses: list[tuple[Tensor, Tensor, tuple[str, ...]]] = []

    @property
    def window(self) -> dict[str, list[float]]:
        """Values by name; waits for an accelerator's losses."""
        for values, timesteps, tasks in self._losses:
            for task, value, step in zip(tasks, values.tolist(), timesteps.tolist(), strict=True):
                self._window["loss"].append(value)
                self._window[f"loss/{task}"].append(value)
                self._window[f"loss/noise{step * _NOISE_LEVELS // TIMESTEPS}"].append(value)
        self._losses.clear()
        return self._window

    def losses(self, values: Tensor, timesteps: Tensor, tasks: Sequence[str]) -> None:
        """Keeps the loss of each sample, (B,) each; an accelerator is not waited for."""
        self._losses.append((values, timesteps, tuple(tasks)))

    def figures(self, **values: float) -> None:
        """Keeps other figures of a step."""
        for name, value in values.items():
            self._window[name].append(value)

    def means(self, processes: Processes) -> dict[str, float]:
        """Means over all processes since the last call; all must ask."""
        found: dict[str, list[float]] = defaultdict(list)
        for window in processes.gathered(dict(self.window)):
            for name, values in window.items():
                found[name].extend(values)
        self.window.clear()
        return {name: sum(values) / len(values) for name, values in found.items()}


def write_line(folder: Path, line: Mapping[str, Any]) -> None:
    """Appends a line to the run's log."""
    with (folder / LOG).open("a") as file:
        file.write(json.dumps(dict(line)) + "\n")


def log_line(
    config: TrainConfig,
    means: Mapping[str, float],
    *,
    stage: str,
    images: int,
    seconds: float,
    skipped: int,
    work: float,
    machine_rate: float,
) -> dict[str, Any]:
    """A line of the log.

    Args:
        config: Of the run.
        means: Of `Record.means`.
        stage: The current one.
        images: Seen so far.
        seconds: Of steps so far.
        skipped: Steps.
        work: GFLOP of a step in this process; 0 where it is not known.
        machine_rate: GFLOP/s of the machine; 0 where it is not known.
    """
    line: dict[str, Any] = {"stage": stage, "images": images, "seconds": round(seconds, 1)}
    line["images_per_s"] = round(config.batch_size / means["step_s"], 2)
    line["skipped"] = skipped
    if work and machine_rate:
        line["gflops"] = float(f"{work / means['step_s']:.4g}")
        line["share_of_machine"] = float(f"{line['gflops'] / machine_rate:.3g}")
    return line | {name: round(value, 5) for name, value in means.items()}


def live(line: Mapping[str, Any]) -> dict[str, str]:
    """What a progress bar says of a line of the log; rate and remaining time it knows itself."""
    shown = {"loss": f"{line['loss']:.4f}"}
    if "gflops" in line:
        shown |= {
            "GFLOP/s": f"{line['gflops']:,.0f}",
            "of machine": f"{line['share_of_machine']:.0%}",
        }
    return shown
