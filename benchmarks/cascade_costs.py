"""What a fresh process takes for one picture of a cascade: its parts, and its peak of memory.

Run by `cascade.py`, which reads the JSON line that it prints; the parts are in seconds of wall and
of processor time. Linux alone says how much memory a process had at its peak without what the one
before it in the same place had (`VmHWM`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def timed(action: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a call gives, and the seconds it takes: of all threads of this process, and by clock."""
    wall, own = time.perf_counter(), time.process_time()
    found = action()
    return found, {
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - own,
    }


def peak_mib() -> float:
    """Most memory that this process has had in use, MiB.

    Raises:
        OSError, ValueError: The system does not say.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError("/proc/self/status has no VmHWM: this takes Linux")


def imported() -> None:
    """Imports what a cascade takes."""
    import instruct_imagen.cascade  # noqa: F401


def main(arguments: Sequence[str]) -> None:
    """Prints the line."""
    base, upscaler, references, threads, steps, upscaler_steps = arguments
    _, importing = timed(imported)
    import torch
    from cascade_instruction import instruction

    from instruct_imagen import Cascade

    torch.set_num_threads(int(threads))
    cascade, loading = timed(lambda: Cascade.from_pretrained(base, upscaler))
    cascade.set_progress_bar_config(disable=True)
    asked = instruction(int(references), cascade.size)
    _, drawing = timed(
        lambda: cascade(
            asked,
            num_inference_steps=int(steps),
            upscaler_steps=int(upscaler_steps),
            generator=torch.Generator().manual_seed(0),
        )
    )
    parts = {"importing": importing, "loading": loading, "first picture": drawing}
    print(json.dumps({"peak_mib": peak_mib(), "parts": parts}))


if __name__ == "__main__":
    main(sys.argv[1:])
