"""What a folder of encoded texts (`text_store`) saves a training of the starter.

Takes the same steps of stage 2 without a folder, while one fills, and with the full one, in turns
of eight steps, which encode their texts together. Prints medians with quartiles and writes
out/text_store.json. Nothing else should be running.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.speed import seconds

TURN = 8


def trainer_of(folder: Path, encoder: str, store: str) -> Trainer:
    """A training at the beginning of stage 2."""
    settings = [f"out={folder}", f"text_encoder={encoder}", f"text_store={store}", "trackers="]
    trainer = Trainer(override(recipe("starter"), settings))
    trainer.stage = len(trainer.config.stages) - 1
    trainer.begin_stage()
    return trainer


def turns(trainers: dict[str, Trainer], count: int) -> dict[str, dict[str, Any]]:
    """`count` turns of each after one to warm up: time of a step, and the share of its texts."""
    found: dict[str, dict[str, list[float]]] = {
        name: {"step_s": [], "text": []} for name in trainers
    }
    for number in range(count + 1):
        for name, trainer in trainers.items():
            trainer.record.window.clear()
            taken = seconds(lambda one=trainer: [one.step() for _ in range(TURN)])
            if number:
                found[name]["step_s"].append(taken / TURN)
                found[name]["text"].append(sum(trainer.record.window["text_s"]) / taken)
    return {
        name: {key: statistics.quantiles(values, n=4) for key, values in row.items()}
        for name, row in found.items()
    }


def main() -> None:
    """Both comparisons, then the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=12, help="of eight steps, of each side")
    arguments.add_argument("--text-encoder", default="starter", help="as the setting")
    arguments.add_argument("--out", type=Path, default=Path("out/text_store.json"))
    chosen = arguments.parse_args()
    if chosen.turns < 2:
        arguments.error("--turns must be at least 2: a spread needs two figures")
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), str(Path(name) / "texts")

        def side(kind: str, used: str) -> Trainer:
            return trainer_of(folder / kind, chosen.text_encoder, used)

        rows = turns({"none": side("none", ""), "filling": side("filling", store)}, chosen.turns)
        sides = {"none, again": side("again", ""), "full": side("full", store)}
        rows |= turns(sides, chosen.turns)
        kept = sides["full"].encoder.store
        size = sum(path.stat().st_size for path in Path(store).iterdir())
    print(
        f"{'store':12s}{'step ms':>9s}{'quartiles':>16s}{'texts':>8s}{'quartiles':>16s} of a step"
    )
    for name, row in rows.items():
        (low, step, high), (least, text, most) = row["step_s"], row["text"]
        print(
            f"{name:12s}{step * 1e3:9.1f}{f'[{low * 1e3:.1f}, {high * 1e3:.1f}]':>16s}"
            f"{text:8.2%}{f'[{least:.2%}, {most:.2%}]':>16s}"
        )
    print(f"{kept.found:,} texts take {size / 1e6:.1f} MB, {size / kept.found / 1e3:.1f} kB each")
    facts = {"commit": code_commit(), "machine": machine_name("cpu"), "bytes": size}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    texts = {"texts": kept.found, "text_encoder": chosen.text_encoder}
    chosen.out.write_text(json.dumps({**facts, **texts, "sides": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
