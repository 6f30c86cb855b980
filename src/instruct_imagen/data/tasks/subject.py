"""Subject-driven generation: pictures of a subject and a caption to image ([Hu24] §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import (
    Background,
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.data.tasks.base import (
    fill,
    load_templates,
    marker,
    opens_sentence,
    pick,
    pick_other,
)
from instruct_imagen.data.world.captions import adjectives
from instruct_imagen.data.world.palette import tints_on
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    PALETTE,
    caption,
    caption_name,
    sample_others,
    sample_scene,
    takes_flip,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from instruct_imagen.data.tasks.base import Task
    from instruct_imagen.data.world.vocabulary import Vocabulary

ARTICLES = ("a ", "an ", "the ", "some ", "one ", "")
REFERENCES = (0.6, 0.2, 0.12, 0.08)
"""Shares of sets of one to four pictures of a subject."""

WHITE_BACKGROUND = 0.6
# How often the first picture faces as the target does. Nothing in the text tells, and what faces
# left or right is mostly part of a subject's look.
SAME_SIDE = 0.8
SCALES = (0.75, 0.95)
COLOURS = tuple(PALETTE)
LIGHT_COLOURS = tuple(colour for colour in PALETTE if colour not in DARK_COLOURS)


def mark_subject(words: str, name: str, k: int) -> str:
    """Put the marker into a caption, beside the name of the subject.

    Args:
        words: Caption, e.g. ``"a dog on a blue background"``.
        name: Name of the subject as the caption has it, e.g. ``"dog"`` or ``"tilted blue dog"``.
        k: Number of the marker.

    Returns:
        E.g. ``"the [ref#1] dog on a blue background"``.

    Raises:
        ValueError: The caption does not name the subject.
    """
    padded = f" {words} "
    for article in ARTICLES:  # plain search: patterns of so many names would not stay compiled
        for stop in " ,.;:":
            before, found, after = padded.partition(f" {article}{name}{stop}")
            if found:
                return f"{before} the {marker(k)} {name}{stop}{after}".strip()
    raise ValueError(f"caption {words!r} does not name its subject {name!r}")


def portrait(
    rng: np.random.Generator,
    concept: str,
    style: str,
    *,
    avoid: tuple[str, ...],
    flip: bool,
    tint: str = "",
) -> Scene:
    """The asset alone and large on a plain background, often white.

    Args:
        rng: Source of randomness.
        concept: What is shown.
        style: How it is drawn.
        avoid: Colours that the background must not have.
        flip: Whether it is mirrored, where its name allows that.
        tint: Its colour, from which that of the background is told apart; empty for its own.
    """
    if tint:
        avoid += tuple(colour for colour in COLOURS if tint not in tints_on((colour,)))
    colour = "white"
    if colour in avoid or rng.random() >= WHITE_BACKGROUND:
        colours = LIGHT_COLOURS if style in DARK_INK_STYLES else COLOURS
        colour = pick_other(rng, colours, "white", *avoid) or colour
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * rng.random()
    room = 1.0 - scale  # the whole asset stays inside the frame
    placement = Placement(
        concept=concept,
        style=style,
        x=0.5 + room * (rng.random() - 0.5),
        y=0.5 + room * (rng.random() - 0.5),
        scale=scale,
        flip=flip and takes_flip(concept),
        tint=tint,
    )
    background = Background(kind="plain", colours=(colour,))
    return Scene(background=background, placements=(placement,))


class Subject:
    """The very asset of the references, in a new scene; the style is told by them alone."""

    name = "subject"
    forms = (frozenset({"scene"}), frozenset({"subject", "caption"}))

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """One to four pictures of an asset, and a scene with it, alone or among others.

        The pictures show it upright and in its colour of the scene; they have different backgrounds
        and face left and right in turn.
        """
        scene, subject = subject_scene(rng, vocabulary)
        flip = subject.flip if rng.random() < SAME_SIDE else not subject.flip
        avoid = scene.background.colours
        portraits: list[Scene] = []
        for _ in range(_count(rng)):
            shown = portrait(
                rng, subject.concept, subject.style, avoid=avoid, flip=flip, tint=subject.tint
            )
            avoid, flip = (*avoid, *shown.background.colours), not flip
            portraits.append(shown)
        return subject_example(rng, self, scene, subject, portraits)


def _count(rng: np.random.Generator) -> int:
    """How many pictures a set has, from 1."""
    drawn = rng.random()
    return 1 + sum(drawn >= sum(REFERENCES[:place]) for place in range(1, len(REFERENCES)))


def subject_scene(rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[Scene, Placement]:
    """A scene, and its subject: alone, or among others."""
    style = pick(rng, vocabulary.styles)
    concept = pick(rng, vocabulary.concepts_of(style))
    others = sample_others(rng, vocabulary, (concept, style))
    scene = sample_scene(rng, vocabulary, assets=[(concept, style), *others])
    return scene, next(asset for asset in scene.placements if asset.concept == concept)


def subject_example(
    rng: np.random.Generator,
    task: Task,
    scene: Scene,
    subject: Placement,
    portraits: Sequence[Scene],
) -> Example:
    """The example of a scene whose subject is shown by `portraits`, in a wording of the task.

    Its caption is silent about the style, which the portraits tell.
    """
    name = caption_name(subject.concept)
    template = pick(rng, load_templates(task.name, *task.forms))
    words = caption(scene, rng, with_style=False, opens=opens_sentence(template))
    text = word_subject(template, name, words, adjectives(subject))
    references = tuple(
        ExampleReference(marker=1, text=name, role="subject", picture=Picture(scene=shown))
        for shown in portraits
    )
    return Example(
        task=task.name,
        text=text,
        caption=words,
        references=references,
        target=Picture(scene=scene),
    )


def word_subject(template: str, name: str, words: str, looks: str = "") -> str:
    """A template of the task filled: `words` with marker 1 beside `name`, or both side by side.

    Args:
        template: Of `Subject`.
        name: Of the subject.
        words: The caption.
        looks: What the caption says of the subject before its name, e.g. ``"blue"``.

    Raises:
        ValueError: The template marks the caption's subject, and the caption does not name it.
    """
    if "{subject}" in template:
        return fill(template, subject=f"{marker(1)} {name}", caption=words)
    return fill(template, scene=mark_subject(words, f"{looks} {name}".strip(), 1))


TASK = Subject
