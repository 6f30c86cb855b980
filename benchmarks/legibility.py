"""Whether letters can still be read once a small picture of them is enlarged.

The emoji sets draw signs with letters (OK, SOS, FREE, …) that no training shows in any style: they
belong to no category of the world. Each case is such a sign in a scene, shown by one reference; its
small picture, or what a base model draws, is enlarged by each arm of `upscaling.py`. Tesseract
reads the sign's square of the large picture, in the way in which it reads the true large picture
right; signs that it cannot read there are no cases. So the true pictures score 1 by construction.

`read` is 1 where the very word is read, `letters` the share of it that is (1 - edit distance over
its length, 0 at least), `fine` the correlation with the true picture of all that the small picture
does not hold, in the sign's square. Intervals are paired and bootstrapped over cases. Needs
Debian's tesseract-ocr. Prints Markdown tables, writes a JSON file and sheets to look at.

    python benchmarks/legibility.py out/my_upscaler --count 40
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from enlarging import arms_of, batches, drawn_by, sheet, shrunk, told
from reading import WAYS, Way, fine, letters, square, texts, words

from instruct_imagen.data.example import Example, Picture, Placement, Scene
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.tasks.subject import portrait, subject_example
from instruct_imagen.data.world.artwork.registry import read_styles
from instruct_imagen.data.world.atlas import Atlas, Pair
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.sources import FIRST_STYLES
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.cases import CASE_SEED
from instruct_imagen.evaluation.suites.world_cases import world_case

WORDS = {
    "ab-button-blood-type": "AB",
    "atm-sign": "ATM",
    "back-arrow": "BACK",
    "cl-button": "CL",
    "cool-button": "COOL",
    "end-arrow": "END",
    "free-button": "FREE",
    "id-button": "ID",
    "input-latin-letters": "ABC",
    "input-numbers": "1234",
    "keycap-10": "10",
    "new-button": "NEW",
    "ng-button": "NG",
    "ok-button": "OK",
    "soon-arrow": "SOON",
    "sos-button": "SOS",
    "top-arrow": "TOP",
    "vs-button": "VS",
    "water-closet": "WC",
}
"""Sign → what it says; most sets draw it so."""

SEED = CASE_SEED + 5000

SCALES = (0.35, 0.6)
"""Of signs: 11 to 19 pixels of a small picture's 32. Letters of larger ones can be read in it as it
is, whatever enlarges it."""


def signs() -> list[Pair]:
    """(sign, style) of all that can be drawn, in an order that mixes signs and styles.

    Raises:
        SystemExit: A training would show one of them.
    """
    shown = sorted(set(WORDS) & set(training_vocabulary().concepts))
    if shown:
        raise SystemExit(f"training shows {', '.join(shown)}: leave it out of WORDS")
    sets = read_styles(FIRST_STYLES)
    pairs = [(one, style) for style in FIRST_STYLES for one in WORDS if one in sets[style].names()]
    order = np.random.default_rng(SEED).permutation(len(pairs))
    return [pairs[place] for place in order]


def example_of(pair: Pair, number: int) -> Example:
    """A scene of a sign alone, upright, and a reference that shows it elsewhere."""
    rng = scene_rng(SEED, number)
    scene = sample_scene(rng, Vocabulary(pairs=(pair,)), assets=[pair], as_drawn=True)
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * rng.random()
    across, down = (0.5 + (1 - scale) * (rng.random() - 0.5) for _ in range(2))
    # Mirrored letters are no letters.
    sign = replace(scene.placements[0], x=across, y=down, scale=scale, flip=False)
    scene = Scene(background=scene.background, placements=(sign,))
    shown = portrait(rng, *pair, avoid=scene.background.colours, flip=False)
    return subject_example(rng, all_tasks()["subject"](), scene, sign, [shown])


def sign_of(case: Case) -> Placement:
    """Its sign."""
    target = case.example.target if case.example is not None else None
    assert isinstance(target, Picture)
    return target.scene.placements[0]


def way_of(case: Case, word: str) -> Way | None:
    """The first way in which the word is read in the true picture; None where there is none."""
    for mode in dict.fromkeys(way.mode for way in WAYS):
        ways = [way for way in WAYS if way.mode == mode]
        found = texts([square(case.target, sign_of(case), way) for way in ways], mode)
        for way, text in zip(ways, found, strict=True):
            if word in words(text):
                return way
    return None


def legible(count: int, size: int) -> tuple[list[Case], list[Way], int]:
    """Cases that can be read.

    Args:
        count: How many, at most.
        size: Side of their pictures in pixels.

    Returns:
        The cases, how each is read, and how many signs were tried.
    """
    cases: list[Case] = []
    ways: list[Way] = []
    pairs = signs()
    atlas = Atlas.build(pairs, side=size)
    for number, pair in enumerate(pairs):
        if len(cases) == count:
            return cases, ways, number
        example = example_of(pair, number)
        name = "/".join(pair)
        case = world_case(example, atlas, size, id=name, group="signs", seed=SEED + number)
        way = way_of(case, WORDS[pair[0]])
        if way is not None:
            cases.append(case)
            ways.append(way)
    return cases, ways, len(pairs)


def readings(
    pictures: Sequence[np.ndarray], cases: Sequence[Case], ways: Sequence[Way]
) -> list[str]:
    """What is read in each picture, in the way of its case."""
    found = [""] * len(cases)
    for mode in dict.fromkeys(way.mode for way in ways):
        places = [place for place, way in enumerate(ways) if way.mode == mode]
        squares = [square(pictures[n], sign_of(cases[n]), ways[n]) for n in places]
        for place, text in zip(places, texts(squares, mode), strict=True):
            found[place] = text
    return found


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upscaler", help="a saved upscaler")
    parser.add_argument("--base", default="starter", help="a saved base model (starter)")
    parser.add_argument("--count", type=int, default=40, help="cases at most (40)")
    parser.add_argument("--steps", type=int, nargs="+", default=[8], help="of the upscaler (8)")
    parser.add_argument("--no-base", action="store_true", help="true small pictures alone")
    parser.add_argument("--out", type=Path, default=Path("out/legibility.json"))
    chosen = parser.parse_args()
    if chosen.count < 2:
        parser.error("--count must be at least 2: an interval needs two cases")
    arms, size, low = arms_of(chosen.upscaler, chosen.steps)
    cases, ways, tried = legible(chosen.count, size)
    print(f"{len(cases)} of {tried} signs can be read in the true pictures of {size} pixels")
    if len(cases) < 2:
        raise SystemExit("an interval needs two cases that can be read: raise --count")
    wanted = [WORDS[sign_of(case).concept] for case in cases]
    targets = [case.target for case in cases]
    inputs = {"true small pictures": shrunk(targets, low)}
    if not chosen.no_base:
        inputs["what the base model draws"] = drawn_by(chosen.base, cases)
    results: dict[str, dict[str, dict[str, list]]] = {}
    for title, pictures in inputs.items():
        rows: dict[str, dict[str, list[float]]] = {}
        drawn, said = {}, {}
        for arm in arms:
            drawn[arm.name] = batches(cases, pictures, arm.enlarge)
            said[arm.name] = readings(drawn[arm.name], cases, ways)
            pairs = list(zip(said[arm.name], wanted, strict=True))
            rows[arm.name] = {
                "read": [float(word in words(text)) for text, word in pairs],
                "letters": [letters(text, word) for text, word in pairs],
                "fine": [
                    fine(image, case.target, sign_of(case), low)
                    for image, case in zip(drawn[arm.name], cases, strict=True)
                ],
            }
            print(f"{arm.name}: {sum(rows[arm.name]['read']):.0f} read", flush=True)
        told(title, cases, rows)
        results[title] = {arm.name: {**rows[arm.name], "text": said[arm.name]} for arm in arms}
        name = title.replace(" ", "_")
        sheet(cases, drawn, chosen.out.with_name(f"{chosen.out.stem}_{name}.png"))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "upscaler": str(chosen.upscaler),
        "tried": tried,
        "cases": [{"id": case.id, "word": word} for case, word in zip(cases, wanted, strict=True)],
    }
    chosen.out.write_text(json.dumps(about | {"measures": results}, indent=1))


if __name__ == "__main__":
    main()
