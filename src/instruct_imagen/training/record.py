"""The figures of a run: collected step by step, written as lines of JSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from instruct_imagen.diffusion.objective import TIMESTEPS
from instruct_imagen.training.processes import Processes

LOG = "log.jsonl"
_NOISE_LEVELS = 4


class Record:
    """Figures since the last line of the log.

    Attributes:
        window: Values by name. ``loss`` is also kept for each task (``loss/subject``) and each
            quarter of the noise levels (``loss/noise0`` is the lowest).
    """

    def __init__(self) -> None:
        self.window: dict[str, list[float]] = defaultdict(list)

    def losses(
        self, values: Sequence[float], timesteps: Sequence[int], tasks: Sequence[str]
    ) -> None:
        """Keeps the loss of each sample."""
        for task, value, step in zip(tasks, values, timesteps, strict=True):
            self.window["loss"].append(value)
            self.window[f"loss/{task}"].append(value)
            self.window[f"loss/noise{step * _NOISE_LEVELS // TIMESTEPS}"].append(value)

    def figures(self, **values: float) -> None:
        """Keeps other figures of a step."""
        for name, value in values.items():
            self.window[name].append(value)

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


def live(line: Mapping[str, Any]) -> dict[str, str]:
    """What a progress bar says of a line of the log; rate and remaining time it knows itself."""
    shown = {"loss": f"{line['loss']:.4f}"}
    if "gflops" in line:
        shown |= {
            "GFLOP/s": f"{line['gflops']:,.0f}",
            "of machine": f"{line['share_of_machine']:.0%}",
        }
    return shown
