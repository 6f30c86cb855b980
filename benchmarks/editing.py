"""What the settings of compositing are worth: drawn once, put together with each, and judged.

    instruct-imagen evaluate few_unmasked_edits MODEL --steps 12 --no-compositing --out out/drawn
    python benchmarks/editing.py out/drawn/few_unmasked_edits/*
    python benchmarks/editing.py out/drawn/few_masked_edits/* --seams 0,0.015625,0.03125,0.0625
    python benchmarks/editing.py out/drawn/few_masked_edits/* --kinds
    python benchmarks/editing.py out/drawn/few_unmasked_edits/* --targets

For each folder a table: thresholds are tried on edits without a mask, seams on those with one.
``as drawn`` is nothing put back, ``source`` the picture as it was, and ``target`` the right answer
in place of the drawing, put together with the usual setting: what compositing itself costs; with
--targets it takes the place of every drawing, a model that is never wrong. The
last column is the share of answers that are the source to the last byte, which is right for
``no_op`` alone. Figures of masked edits are not quite those of `evaluate` with compositing: there
the models are shown the mask as black and white, here with the grey rims that the suite renders.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from instruct_imagen.cascade import edit_of
from instruct_imagen.editing import SEAM, THRESHOLD, Edit, finished
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges.base import Judge
from instruct_imagen.evaluation.judges.probes.changes import edits
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.record import image_path, read_answers, read_run
from instruct_imagen.evaluation.statistics import Estimate, mean
from instruct_imagen.evaluation.suites.registry import open_suite
from instruct_imagen.images import load_image

THRESHOLDS = "0,0.06,0.09,0.12,0.16,0.24"
HEAD = (
    f"{'group':18} {'setting':18} cases  {'O [95%]':20}  SC     PQ     {'accuracy [95%]':20}  exact"
)


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--thresholds", type=_numbers, default=THRESHOLDS, help="(%(default)s)")
    parser.add_argument("--seams", type=_numbers, default=f"{SEAM}", help="(%(default)s)")
    parser.add_argument("--kinds", action="store_true", help="a row for each kind of change")
    parser.add_argument("--targets", action="store_true", help="the right answers as drawings")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    judge = open_judge("truth")
    for folder in chosen.folders:
        print(f"\n{folder}\n{HEAD}", flush=True)
        for group, members in _drawn(folder, kinds=chosen.kinds).items():
            if chosen.targets:
                members = [(case, edit, _target(case)) for case, edit, _ in members]
            for setting, images in _settings(members, chosen.thresholds, chosen.seams):
                print(row(group, setting, judge, members, images), flush=True)
    return 0


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]


Member = tuple[Case, Edit, Image.Image]
"""A case, what it wants edited, and what the model drew."""


def _drawn(folder: Path, *, kinds: bool) -> dict[str, list[Member]]:
    """The cases of a run without compositing, by group or by kind of change."""
    run = read_run(folder)
    cases = open_suite(run["suite"]["spec"]).cases(run["model"]["size"])
    found: dict[str, list[Member]] = defaultdict(list)
    for index, answer in sorted(read_answers(folder).items()):
        case = cases[index]
        edit = edit_of(case.instruction, run["model"]["size"])
        if edit is not None and not answer.error:
            image = load_image(image_path(folder, case.id))
            found[kind_of(case) if kinds else case.group].append((case, edit, image))
    return dict(found)


def _target(case: Case) -> Image.Image:
    """The right answer."""
    assert case.target is not None
    return Image.fromarray(case.target)


def kind_of(case: Case) -> str:
    """What the words ask for."""
    assert case.example is not None
    (source,) = (one.picture.scene for one in case.example.references if one.role == "source")
    target = case.example.target.scene
    old, new = edits(source, target)
    if source.background != target.background:
        return "background"
    if old and new:
        same = old[0].concept == new[0].concept and old[0].style == new[0].style
        return "move or mirror" if same else "replace"
    return "remove" if old else "add" if new else "nothing"


def _settings(
    members: Sequence[Member], thresholds: Sequence[float], seams: Sequence[float]
) -> list[tuple[str, list[np.ndarray]]]:
    """Each setting with its images; those of one that changes nothing here are left out."""
    masked = members[0][1].inside is not None
    own: dict[str, Callable[[Member], Image.Image]] = {
        "source": lambda one: one[1].picture,
        "target": lambda one: finished(one[1], _target(one[0])),
        "as drawn": lambda one: one[2],
    }
    for value in seams if masked else thresholds:
        options = {"seam" if masked else "threshold": value}
        usual = value == (SEAM if masked else THRESHOLD)
        name = f"{next(iter(options))} {value:g}{' *' if usual else ''}"
        own[name] = lambda one, options=options: finished(one[1], one[2], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            (name, [np.asarray(make(one).convert("RGB")) for one in members])
            for name, make in own.items()
        ]


def row(
    group: str,
    setting: str,
    judge: Judge,
    members: Sequence[Member],
    images: Sequence[np.ndarray],
) -> str:
    """Means of a setting over the cases."""
    verdicts = judge.judge([case for case, _, _ in members], images)
    sources = [np.asarray(edit.picture.convert("RGB")) for _, edit, _ in members]
    exact = np.mean([np.array_equal(a, b) for a, b in zip(images, sources, strict=True)])
    overall, accuracy = (
        mean([of(one) for one in verdicts])
        for of in (lambda one: one.overall, lambda one: float(one.sc == 1))
    )
    sc, pq = (np.mean([getattr(one, name) for one in verdicts]) for name in ("sc", "pq"))
    return (
        f"{group:18} {setting:18} {len(members):5d}  {_ends(overall):20}  {sc:.3f}  {pq:.3f}  "
        f"{_ends(accuracy):20}  {exact:.2f}"
    )


def _ends(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
