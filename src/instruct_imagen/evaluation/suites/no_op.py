"""Edits that change nothing: asked to keep a picture, or for what is so already.

How far an image moves that was to stay tells what editing costs all the rest of a picture.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from instruct_imagen.data.example import Example, ExampleReference, Picture, Scene
from instruct_imagen.data.tasks.base import fill, marker, pick, placeholders, retry
from instruct_imagen.data.tasks.edits import SOURCE_WORDS
from instruct_imagen.data.world.captions import adjectives, place_words
from instruct_imagen.data.world.nouns import described
from instruct_imagen.data.world.scenes import (
    article,
    caption,
    caption_name,
    sample_scene,
    with_article,
)
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.case import EvaluationError

TASK = "no_op"
KEEP = 0.5
"""Share of cases that ask to keep the picture; the rest asks for what is so already."""

MIN_WORDINGS = 25

_FORMS = tuple(
    frozenset({"source", *more})
    for more in ((), ("a", "colour"), ("colour",), ("first", "second"), ("place",), ("thing",),
                 ("absent",))
)  # fmt: skip


@cache
def wordings() -> tuple[str, ...]:
    """The templates of the file.

    Raises:
        EvaluationError: They are too few, or one has other placeholders.
    """
    text = resources.files(__package__).joinpath("no_op.txt").read_text(encoding="utf-8")
    found = tuple(line for line in text.splitlines() if line.strip() and line[0] != "#")
    wrong = [line for line in found if placeholders(line) not in _FORMS]
    if wrong or len(set(found)) < MIN_WORDINGS:
        raise EvaluationError(
            f"no_op.txt has {len(set(found))} wordings, and {MIN_WORDINGS} are needed"
            if not wrong
            else f"no_op.txt: {wrong[0]!r} has placeholders that do not go together"
        )
    return found


def no_op(rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
    """A scene, and a request that leaves it as it is."""
    scene = sample_scene(rng, vocabulary)
    facts = _facts(rng, scene, vocabulary)
    keep = rng.random() < KEEP
    # One fact first, then one of its wordings: there are more wordings for some than for others.
    kind = frozenset() if keep else pick(rng, facts)
    fitting = [one for one in wordings() if _fits(one, kind)]
    values = dict(kind) if kind else {}
    text = fill(pick(rng, fitting), source=marker(1), **values)
    source = ExampleReference(
        marker=1, text=pick(rng, SOURCE_WORDS), role="source", picture=Picture(scene=scene)
    )
    return Example(
        task=TASK,
        text=text[:1].upper() + text[1:],
        caption=caption(scene, rng, with_style=False),
        references=(source,),
        target=Picture(scene=scene),
    )


def _fits(wording: str, fact: frozenset[tuple[str, str]]) -> bool:
    """Whether a wording says a fact, and nothing else; "a" goes with a colour freely."""
    return placeholders(wording) - {"source", "a"} == {name for name, _ in fact} - {"a"}


def _facts(
    rng: np.random.Generator, scene: Scene, vocabulary: Vocabulary
) -> list[frozenset[tuple[str, str]]]:
    """What is so, as values of placeholders: of the background, of a thing and of one missing."""
    background = scene.background
    names = [asset.concept for asset in scene.placements]
    if background.kind == "place":
        ground = {"place": pick(rng, place_words(background.place, *names))}
    elif background.kind == "gradient":
        ground = dict(zip(("first", "second"), background.colours, strict=True))
    else:
        (colour,) = background.colours
        ground = {"colour": colour, "a": article(colour)}
    asset = scene.placements[0]
    there = {"thing": described(asset.concept, adjectives(asset))}
    return [
        frozenset(one.items())
        for one in (ground, there, {"absent": with_article(_absent(rng, names, vocabulary))})
    ]


def _absent(rng: np.random.Generator, names: list[str], vocabulary: Vocabulary) -> str:
    """A concept that is not in the picture, nor is one whose name has a part of its own."""
    shown = [caption_name(name) for name in names]

    def draw() -> str | None:
        found = pick(rng, vocabulary.concepts)
        name = caption_name(found)
        return None if any(name in other or other in name for other in shown) else found

    return retry(draw, "concept that a scene has not")
