"""What a reference is worth to the starter: the v loss with it, without it, and with another one.

Examples that no training draws, of trained and of held-out concepts, each with the same noise in
all three cases. Prints a table, writes out/references.json. Lower is better; a model that ignores
its references shows three equal columns.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from instruct_imagen import InstructImagenPipeline
from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.example import Example, without_instruction
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.sources import FIRST_STYLES
from instruct_imagen.data.world.vocabulary import Vocabulary, heldout_vocabulary
from instruct_imagen.evaluation.cases import CASE_SEED
from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.build import recipe_vocabulary
from instruct_imagen.training.card import code_commit
from instruct_imagen.training.draws import draw
from instruct_imagen.training.step import TrainingStep, encode_batch

BATCH = 32
NOISES = 4


def swapped(examples: Sequence[Example]) -> list[Example]:
    """Each example with the pictures of the next one's references."""
    found = []
    for index, example in enumerate(examples):
        donor = examples[(index + 1) % len(examples)].references
        references = tuple(
            replace(reference, picture=donor[slot % len(donor)].picture)
            for slot, reference in enumerate(example.references)
        )
        found.append(replace(example, references=references))
    return found


@torch.no_grad()
def losses(
    pipeline: InstructImagenPipeline, examples: Sequence[Example], atlas: Atlas, *, drop: bool
) -> list[float]:
    """The v loss of each example, a mean of `NOISES` draws that depend on its place alone."""
    found: list[float] = []
    step = TrainingStep(pipeline.unet)
    for start in range(0, len(examples), BATCH):
        part = examples[start : start + BATCH]
        if not pipeline.instruction:
            part = [without_instruction(example) for example in part]
        batch = make_batch(part, atlas, pipeline.size, drop_context=[drop] * len(part))
        encoded = encode_batch(
            batch, pipeline.text_encoder, device=torch.device("cpu"), channels_last=True
        )
        samples = len(part) * NOISES
        draws = draw(
            start, rows=range(samples), total=samples, shape=encoded.images.shape[1:], shift=1.0
        )
        found += step(encoded, draws).reshape(-1, NOISES).mean(dim=1).tolist()
    return found


def measure(
    pipeline: InstructImagenPipeline, vocabulary: Vocabulary, count: int
) -> dict[str, dict[str, Any]]:
    """For each task of the paper's mixture with references, its three losses."""
    atlas = Atlas.build(vocabulary.pairs)
    rows = {}
    for number, name in enumerate(name for name, ratio in PAPER_RATIOS.items() if ratio > 0):
        task = all_tasks()[name]()
        if not drawable(task, vocabulary):
            continue
        seed = CASE_SEED + 1000 + number
        examples = [task.example(scene_rng(seed, index), vocabulary) for index in range(count)]
        if not examples[0].references:
            continue
        own = losses(pipeline, examples, atlas, drop=False)
        none = losses(pipeline, examples, atlas, drop=True)
        other = losses(pipeline, swapped(examples), atlas, drop=False)
        rows[name] = {
            "with": statistics.mean(own),
            "without": statistics.mean(none),
            "another": statistics.mean(other),
            "gain": gain(none, own),
            "gain_over_another": gain(other, own),
        }
    return rows


def gain(worse: Sequence[float], better: Sequence[float]) -> dict[str, float]:
    """Mean paired difference and its standard error."""
    differences = [one - two for one, two in zip(worse, better, strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return {"mean": statistics.mean(differences), "standard_error": error}


def main() -> None:
    """Measures trained and held-out concepts."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="starter")
    arguments.add_argument("--count", type=int, default=64, help="examples a task")
    arguments.add_argument("--out", type=Path, default=Path("out/references.json"))
    chosen = arguments.parse_args()
    if chosen.count < 2:
        arguments.error("--count must be at least 2: a spread needs two figures")
    pipeline = InstructImagenPipeline.from_pretrained(chosen.model)
    pipeline.unet.to(memory_format=torch.channels_last)
    # The shipped weights have seen no faces.
    config = override(recipe("starter"), ["sources=emoji"])
    worlds = {
        "trained concepts": recipe_vocabulary(config, FIRST_STYLES),
        "held-out concepts": heldout_vocabulary(FIRST_STYLES),
    }
    figures: dict[str, Any] = {"commit": code_commit(), "examples a task": chosen.count}
    for title, vocabulary in worlds.items():
        figures[title] = measure(pipeline, vocabulary, chosen.count)
        print(f"{title:18s} {'with':>8s} {'without':>8s} {'another':>8s}   gain over none, another")
        for name, row in figures[title].items():
            gains = (row["gain"], row["gain_over_another"])
            shown = ", ".join(f"{g['mean']:.4f} ± {g['standard_error']:.4f}" for g in gains)
            print(
                f"{name:18s} {row['with']:8.4f} {row['without']:8.4f} {row['another']:8.4f}   "
                f"{shown}"
            )
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
