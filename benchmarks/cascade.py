"""What a picture of a cascade costs: time, processor time, memory, and where they go.

Draws one picture from an instruction with 0, 1, 2, 4 references of full size, by the base model,
by the upscaler and by both together, in turns, so that a slow moment of the machine meets all. In
the same calls it watches the networks: how often references are encoded, and how long that and the
denoising take. Processor time is that of all threads, waiting ones included, and says more than the
clock where something else is running. The peak of memory is that of a fresh process that draws one
picture with two references. Prints Markdown tables, writes out/cascade.json.

    python benchmarks/cascade.py out/my_upscaler
    python benchmarks/cascade.py out/my_upscaler --threads 1 --turns 3 --steps 12
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from cascade_costs import timed
from cascade_instruction import instruction

from instruct_imagen import Cascade, InstructImagenPipeline, SuperResolutionPipeline
from instruct_imagen.model.unet import ReferenceBatch
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.speed import work

GOAL_S, GOAL_MIB = 3.0, 2048.0
"""Asked of one picture, on two cores."""

STAGES = ("base", "upscaler", "together")

PARTS = ("texts", "lending", "references", "denoising")
"""What is timed in a call: ``lending`` is what references lend to the small picture."""


@dataclass(kw_only=True)
class Watch:
    """What a network did in a call.

    Attributes:
        encoded: Reference pictures that were encoded, each time counted.
        forwards: Calls of the network.
        seconds: Processor time by part, see `PARTS`.
        replay: A call of each part with the inputs that it had.
    """

    encoded: int = 0
    forwards: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    replay: dict[str, Callable[[], Any]] = field(default_factory=dict)


@contextmanager
def watched(pipeline: InstructImagenPipeline) -> Iterator[Watch]:
    """Counts and times what the pipeline asks of its network, until the context ends."""
    seen = Watch()
    unet, texts = pipeline.unet, pipeline.text_encoder
    encode, forward, read = unet.encode_context, unet.forward, texts.forward

    def measured(part: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any, **named: Any) -> Any:
            if part == "denoising":
                seen.forwards += 1
            elif part == "references":
                given: ReferenceBatch = inputs[0]
                seen.encoded += len(given.images)
            began = time.process_time()
            found = action(*inputs, **named)
            seen.seconds[part] += time.process_time() - began
            seen.replay.setdefault(part, lambda: action(*inputs, **named))
            return found

        return call

    unet.encode_context = measured("references", encode)
    unet.forward = measured("denoising", forward)
    texts.forward = measured("texts", read)
    lends = isinstance(pipeline, SuperResolutionPipeline)
    if lends:
        pipeline._details = measured("lending", pipeline._details)
    try:
        yield seen
    finally:
        del unet.encode_context, unet.forward, texts.forward
        if lends:
            del pipeline._details


def turn(cascade: Cascade, count: int, steps: int, upscaler_steps: int) -> dict[str, Any]:
    """One picture with `count` references: seconds of both stages, apart and together."""
    asked = instruction(count, cascade.size)
    options = {"generator": torch.Generator().manual_seed(0)}
    found: dict[str, Any] = {}
    with watched(cascade.base) as found["base watch"]:
        drawn, found["base"] = timed(
            lambda: cascade.base(asked, num_inference_steps=steps, **options)
        )
    with watched(cascade.upscaler) as found["upscaler watch"]:
        _, found["upscaler"] = timed(
            lambda: cascade.upscaler(
                asked, drawn.images, num_inference_steps=upscaler_steps, **options
            )
        )
    _, found["together"] = timed(
        lambda: cascade(asked, num_inference_steps=steps, upscaler_steps=upscaler_steps, **options)
    )
    return found


def middle(values: list[float], digits: int = 2) -> str:
    """Median and range, as text."""
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def show_times(turns: dict[int, list[dict[str, Any]]]) -> None:
    """A row for each number of references."""
    kinds = ("wall", "processor")
    head = " | ".join(f"{stage}, {kind} s" for stage in STAGES for kind in kinds)
    print(f"\n| references | {head} |\n|{'---|' * 7}")
    for count, rows in turns.items():
        cells = (middle([row[stage][kind] for row in rows]) for stage in STAGES for kind in kinds)
        print(f"| {count} | {' | '.join(cells)} |")


@torch.no_grad()
def parts(rows: list[dict[str, Any]], stage: str) -> dict[str, Any]:
    """Where the processor time of a stage goes, and the work of its network."""
    watches: list[Watch] = [row[f"{stage} watch"] for row in rows]
    last = watches[-1]
    seconds = {part: [one.seconds[part] for one in watches] for part in PARTS}
    whole = [row[stage]["processor"] for row in rows]
    seconds["other"] = list(np.array(whole) - np.sum(list(seconds.values()), axis=0))
    return {
        "processor_s": seconds,
        "encoded": [one.encoded for one in watches],
        "forwards": last.forwards,
        "gflop": {
            "references": work(last.replay["references"]),
            "denoising": work(last.replay["denoising"]) * last.forwards,
        },
    }


def show_parts(found: dict[int, dict[str, dict[str, Any]]]) -> None:
    """A row for each stage and number of references."""
    named = (*PARTS, "other")
    print(
        f"\n| | pictures encoded | forwards | {' | '.join(f'{one} s' for one in named)} | "
        f"references GFLOP | denoising GFLOP |\n|{'---|' * 10}"
    )
    for count, stages in found.items():
        for stage, row in stages.items():
            cells = " | ".join(middle(row["processor_s"][one]) for one in named)
            encoded = "/".join(map(str, sorted(set(row["encoded"]))))
            gflop = row["gflop"]
            print(
                f"| {stage}, {count} references | {encoded} | {row['forwards']} | {cells} | "
                f"{gflop['references']:.1f} | {gflop['denoising']:.1f} |"
            )


def fresh(*arguments: str) -> dict[str, Any]:
    """What `cascade_costs` says of a process of its own.

    Raises:
        SystemExit: It failed; its own words are above.
    """
    script = Path(__file__).with_name("cascade_costs.py")
    done = subprocess.run(
        [sys.executable, str(script), *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"the process that draws one picture ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Memory first, then the turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upscaler", help="a saved upscaler")
    parser.add_argument("--base", default="starter", help="a saved base model (starter)")
    parser.add_argument("--references", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--turns", type=int, default=5, help="of each number of references (5)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (2)")
    parser.add_argument("--steps", type=int, default=25, help="of the base model (25)")
    parser.add_argument("--upscaler-steps", type=int, default=8, help="of the upscaler (8)")
    parser.add_argument("--out", type=Path, default=Path("out/cascade.json"))
    chosen = parser.parse_args()
    if chosen.turns < 1:
        parser.error("--turns must be at least 1")
    alone = fresh(
        chosen.base,
        chosen.upscaler,
        "2",
        *map(str, (chosen.threads, chosen.steps, chosen.upscaler_steps)),
    )
    print(f"a fresh process, 2 references: {alone['peak_mib']:.0f} MiB at its peak")
    for part, taken in alone["parts"].items():
        print(f"  {part}: {taken['wall']:.1f} s, {taken['processor']:.1f} of processor time")
    torch.set_num_threads(chosen.threads)
    cascade = Cascade.from_pretrained(chosen.base, chosen.upscaler)
    cascade.set_progress_bar_config(disable=True)
    for pipeline in (cascade.base, cascade.upscaler):
        pipeline.unet.requires_grad_(False)  # the counter of work follows gradients else
    turn(cascade, max(chosen.references), 1, 1)  # the first sets up what later ones share
    turns: dict[int, list[dict[str, Any]]] = {count: [] for count in chosen.references}
    for _ in range(chosen.turns):
        for count, rows in turns.items():
            rows.append(turn(cascade, count, chosen.steps, chosen.upscaler_steps))
    show_times(turns)
    found = {
        count: {stage: parts(rows, stage) for stage in ("base", "upscaler")}
        for count, rows in turns.items()
    }
    show_parts(found)
    slowest = max(median(row["together"]["wall"] for row in rows) for rows in turns.values())
    for name, value, goal in (("s", slowest, GOAL_S), ("MiB", alone["peak_mib"], GOAL_MIB)):
        print(f"{value:.1f} {name} at most, {goal:g} asked: {'met' if value <= goal else 'missed'}")
    facts = {
        "commit": code_commit(),
        "machine": machine_name("cpu"),
        "steps": chosen.steps,
        "upscaler_steps": chosen.upscaler_steps,
        "fresh": alone,
        "turns": {
            count: [{stage: row[stage] for stage in STAGES} for row in rows]
            for count, rows in turns.items()
        },
        "parts": found,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
