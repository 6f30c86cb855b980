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
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick, pick_other, retry
from instruct_imagen.data.world.scenes import PALETTE, caption, caption_name, sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

FORMS = (frozenset({"scene"}), frozenset({"subject", "caption"}))
ARTICLES = ("a ", "an ", "the ", "some ", "one ", "")
TWO_REFERENCES = 0.2
WITH_COMPANION = 0.25
WHITE_BACKGROUND = 0.6
SCALES = (0.75, 0.95)
COLOURS = tuple(PALETTE)


def mark_subject(words: str, name: str, k: int) -> str:
    """Put the marker into a caption, beside the name of the subject.

    Args:
        words: Caption, e.g. ``"a dog on a blue background"``.
        name: Name of the subject as the caption has it, e.g. ``"dog"``.
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
    rng: np.random.Generator, concept: str, style: str, *, unlike: Scene | None = None
) -> Scene:
    """The asset alone and large on a plain background, often white.

    Args:
        rng: Source of randomness.
        concept: What is shown.
        style: How it is drawn.
        unlike: Another portrait, whose background and side are avoided.
    """
    white = rng.random() < WHITE_BACKGROUND
    colour = "white" if white else pick(rng, COLOURS)
    flip = rng.random() < 0.5
    if unlike is not None:
        taken = unlike.background.colours[0]
        if colour == taken:
            colour = pick_other(rng, COLOURS, taken) or colour
        flip = not unlike.placements[0].flip
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * rng.random()
    room = 1.0 - scale  # the whole asset stays inside the frame
    placement = Placement(
        concept=concept,
        style=style,
        x=0.5 + room * (rng.random() - 0.5),
        y=0.5 + room * (rng.random() - 0.5),
        scale=scale,
        flip=flip,
    )
    background = Background(kind="plain", colours=(colour,))
    return Scene(background=background, placements=(placement,))


class Subject:
    """The very asset of the references, in a new scene; the style is told by them alone."""

    name = "subject"

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """One or (20%) two pictures of an asset, and a scene with it, in 25% beside another."""
        concept, style, companion = retry(lambda: _assets(rng, vocabulary), "subject")
        name = caption_name(concept)
        assets = [(concept, style)] if companion is None else [(concept, style), (companion, style)]
        scene = sample_scene(rng, vocabulary, assets=assets)
        words = caption(scene, rng, with_style=False)

        portraits = [portrait(rng, concept, style)]
        if rng.random() < TWO_REFERENCES:
            portraits.append(portrait(rng, concept, style, unlike=portraits[0]))
        references = tuple(
            ExampleReference(marker=1, text=name, role="subject", picture=Picture(scene=shown))
            for shown in portraits
        )
        template = pick(rng, load_templates(self.name, *FORMS))
        if "{subject}" in template:
            text = fill(template, subject=f"{marker(1)} {name}", caption=words)
        else:
            text = fill(template, scene=mark_subject(words, name, 1))
        target = Picture(scene=scene)
        return Example(task=self.name, text=text, references=references, target=target)


def _assets(rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[str, str, str | None] | None:
    """Concept, style and, in 25%, a companion whose name cannot be mistaken for the concept's."""
    concept = pick(rng, vocabulary.concepts)
    styles = vocabulary.styles_of(concept)
    if not styles:
        return None
    style = pick(rng, styles)
    if rng.random() >= WITH_COMPANION:
        return concept, style, None
    companion = pick_other(rng, vocabulary.concepts_of(style), concept)
    if companion is None:
        return concept, style, None
    names = caption_name(concept), caption_name(companion)
    if names[0] in names[1] or names[1] in names[0]:
        return concept, style, None
    return concept, style, companion


TASK = Subject
