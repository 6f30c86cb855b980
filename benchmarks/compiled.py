"""What the setting `compile` gains: steps of a recipe's last stage with and without, in turns.

Prints medians with quartiles and writes out/compiled.json. Nothing else should be running; making
the kernels takes minutes, which count only where they are printed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from text_store import TURN, turns

from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.speed import seconds


def trainer_of(name: str, folder: Path, *settings: str) -> Trainer:
    """A training at the beginning of a recipe's last stage."""
    trainer = Trainer(override(recipe(name), [f"out={folder}", "trackers=", *settings]))
    trainer.stage = len(trainer.config.stages) - 1
    trainer.begin_stage()
    return trainer


def main() -> None:
    """Warms up, takes turns, prints the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("recipe", nargs="?", default="starter")
    arguments.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of both sides")
    arguments.add_argument("--turns", type=int, default=6, help="of eight steps, of each side")
    arguments.add_argument("--out", type=Path, default=Path("out/compiled.json"))
    chosen = arguments.parse_args()
    if chosen.turns < 2:
        arguments.error("--turns must be at least 2: a spread needs two figures")
    with tempfile.TemporaryDirectory() as name:
        sides = {
            kind: trainer_of(chosen.recipe, Path(name) / kind, *chosen.settings, f"compile={used}")
            for kind, used in (("plain", "false"), ("compiled", "true"))
        }
        device = sides["plain"].device
        making = {
            kind: seconds(lambda one=side: [one.step() for _ in range(TURN)], device)
            for kind, side in sides.items()
        }
        rows = turns(sides, chosen.turns)
    for kind, row in rows.items():
        low, step, high = (value * 1e3 for value in row["step_s"])
        print(
            f"{kind:10s}{step:9.1f} ms a step [{low:.1f}, {high:.1f}], the first {TURN} steps "
            f"{making[kind]:.0f} s"
        )
    ratio = rows["plain"]["step_s"][1] / rows["compiled"]["step_s"][1]
    machine, commit = machine_name(str(device)), code_commit()
    print(f"{chosen.recipe} compiled: × {ratio:.2f}; {machine}, commit {commit}")
    facts = {"commit": commit, "machine": machine, "recipe": chosen.recipe, "ratio": ratio}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({**facts, "sides": rows, "first_s": making}, indent=1) + "\n")


if __name__ == "__main__":
    main()
