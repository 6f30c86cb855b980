"""How well a judge judges: on images of the world whose right verdict is known.

    python benchmarks/known_answers.py --judge truth --count 20 --size 32

Cases of every task in the world of the starter recipe, of the held-out concepts and of the held-out
style. Prints a table and writes out/known_answers.json; --sheets draws each kind of violation
beside its target instead, to be looked at. Ends with 1 where the judge misses what is asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.faces import heldout_faces
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.vocabulary import Vocabulary, heldout_vocabulary, world_concepts
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.known_answers import (
    TASKS,
    judged,
    known_cases,
    known_examples,
    table,
)
from instruct_imagen.evaluation.scene_changes import Props
from instruct_imagen.evaluation.violation_sheet import violation_sheets
from instruct_imagen.images import save_png
from instruct_imagen.recipes import recipe
from instruct_imagen.training.build import recipe_variety, recipe_vocabulary


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judge", default="truth", help="name:option=value,… (truth)")
    parser.add_argument("--count", type=int, default=20, help="cases of each task (20)")
    parser.add_argument("--unseen", type=int, default=5, help="of them, of each unseen row (5)")
    parser.add_argument("--size", type=int, default=32, help="side of the pictures (32)")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK")
    parser.add_argument("--no-faults", action="store_true", help="leave perceptual quality out")
    parser.add_argument("--sheets", type=Path, help="draw violations into this folder instead")
    parser.add_argument("--out", type=Path, default=Path("out/known_answers.json"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    props, cases = world_cases(chosen.tasks, chosen.count, chosen.unseen, chosen.size)
    if chosen.sheets:
        for name, sheet in violation_sheets(cases, props, chosen.size):
            save_png(chosen.sheets / f"{name}.png", sheet)
        return 0
    judge = open_judge(chosen.judge)
    answers = judged(judge, cases, props, chosen.size, faults=not chosen.no_faults)
    print(table(answers))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(answers.as_json(), indent=1), encoding="utf-8")
    return 0 if all(enough for _, enough in answers.asked.values()) else 1


def world_cases(
    tasks: tuple[str, ...], count: int, unseen: int, size: int
) -> tuple[Props, list[Case]]:
    """Cases of the starter's world, and rows of what no training has shown."""
    config = recipe("starter")
    own, variety = recipe_vocabulary(config), recipe_variety(config)
    held = replace(heldout_vocabulary(), variety=variety, faces=heldout_faces())
    style = holdout().style
    drawn = world_concepts()
    pairs = tuple(
        (concept, one)
        for concept in own.concepts
        for one in drawn[concept]
        if one == style or one in own.styles
    )
    other = Vocabulary(pairs, variety)

    def in_style(example: Example) -> bool:
        target = example.target
        return isinstance(target, Picture) and any(
            asset.style == style for asset in target.scene.placements
        )

    rows = {"": known_examples(own, count, tasks=tasks)}
    if unseen:
        rows["unseen concepts"] = known_examples(held, unseen, tasks=tasks)
        rows["unseen style"] = known_examples(other, unseen, tasks=tasks, accept=in_style)
    everything = Vocabulary(
        tuple(dict.fromkeys((*own.pairs, *held.pairs, *other.pairs))),
        variety,
        faces=(*own.faces, *held.faces),
    )
    faces = (face.pair for face in everything.faces)
    props = Props(vocabulary=everything, atlas=Atlas.build((*everything.pairs, *faces)))
    cases = [
        case
        for row, examples in rows.items()
        for case in known_cases(examples, props, size, row=row)
    ]
    return props, cases


if __name__ == "__main__":
    sys.exit(main())
