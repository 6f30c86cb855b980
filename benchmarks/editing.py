"""What the settings of compositing are worth: drawn once, put together with each, and judged.

    instruct-imagen evaluate few_unmasked_edits MODEL --steps 12 --no-compositing --out out/drawn
    python benchmarks/editing.py out/drawn/few_unmasked_edits/* --again MODEL --steps 12
    python benchmarks/editing.py out/drawn/few_masked_edits/* --seams 0,0.015625,0.03125,0.0625
    python benchmarks/editing.py out/drawn/few_masked_edits/* --kinds
    python benchmarks/editing.py out/drawn/few_unmasked_edits/* --targets

For each folder a table: thresholds are tried on edits without a mask, seams on those with one.
With --again the model that drew (in so many steps) draws each source once more, asked to change
nothing, and what differs from that is the change, as in `Cascade`; else what differs from the
source.
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

from instruct_imagen import InstructImagenPipeline
from instruct_imagen.cascade import as_it_is, edit_of, framed
from instruct_imagen.editing import SEAM, THRESHOLD, Edit, finished
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges.base import Judge
from instruct_imagen.evaluation.judges.probes.changes import edits
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.record import image_path, read_answers, read_run
from instruct_imagen.evaluation.statistics import Estimate, mean
from instruct_imagen.evaluation.suites.registry import open_suite
from instruct_imagen.images import load_image
from instruct_imagen.pipeline import saved_pipeline

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
    parser.add_argument("--again", metavar="MODEL", help="that drew, for edits without a mask")
    parser.add_argument("--steps", type=int, default=25, help="of --again (25)")
    parser.add_argument("--targets", action="store_true", help="the right answers as drawings")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    judge = open_judge("truth")
    for folder in chosen.folders:
        print(f"\n{folder}\n{HEAD}", flush=True)
        for group, members in _drawn(folder, kinds=chosen.kinds).items():
            if chosen.targets:
                members = [(case, edit, _target(case), None) for case, edit, _, _ in members]
            elif chosen.again and members[0][1].inside is None:
                members = _with_unchanged(members, chosen.again, chosen.steps)
            for setting, images in _settings(members, chosen.thresholds, chosen.seams):
                print(row(group, setting, judge, members, images), flush=True)
    return 0


def _numbers(text: str) -> list[float]:
    return [float(one) for one in text.split(",")]


Member = tuple[Case, Edit, Image.Image, Image.Image | None]
"""A case, what it wants edited, what the model drew, and what it draws with nothing changed."""


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
            found[kind_of(case) if kinds else case.group].append((case, edit, image, None))
    return dict(found)


def _with_unchanged(members: Sequence[Member], model: str, steps: int) -> list[Member]:
    """What the model draws with the same noise, asked to change nothing."""
    base = InstructImagenPipeline.from_pretrained(saved_pipeline(model))
    base.set_progress_bar_config(disable=True)
    found: list[Member] = []
    for case, edit, drawn, _ in members:
        asked = as_it_is(framed(case.instruction, edit, base.size))
        noise = torch.Generator().manual_seed(case.seed)
        again = base(asked, num_inference_steps=steps, generator=noise).images[0]
        found.append((case, edit, drawn, again))
    return found


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
        own[name] = lambda one, options=options: finished(
            one[1], one[2], compared=None if one[3] is None else (one[3], one[2]), **options
        )
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
    verdicts = judge.judge([one[0] for one in members], images)
    sources = [np.asarray(one[1].picture.convert("RGB")) for one in members]
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
