"""What the demo asks for: an instruction of most tasks, and edits of a picture inside a mask."""

from __future__ import annotations

from collections.abc import Sequence

from instruct_imagen.data.example import (
    Background,
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.data.tasks.edits import removing
from instruct_imagen.data.tasks.style_transfer import restyle
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.scenes import caption_name
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.recipes import recipe
from instruct_imagen.training.build import recipe_vocabulary

SPRITE_SIDE = 256
"""Of the drawings that scenes are made of, in pixels."""

Cases = list[tuple[str, Example]]

_BEACH = Background(kind="place", place="beach", variant=1)
_WHITE = Background(kind="plain", colours=("white",))
_GRADIENT = Background(kind="gradient", colours=("light green", "yellow"))
_CONCEPTS = ("rooster", "angry-face-with-horns", "horse", "watermelon", "tulip")


def demo_cases() -> tuple[Cases, Atlas]:
    """One example of each task and the edits, with the sprites that they need and no others.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    vocabulary = recipe_vocabulary(recipe("starter"))
    cases = [(title, row[0]) for title, row in fixed_examples(vocabulary, each=1)]
    cases += edit_cases("twemoji", "fluent-emoji-high-contrast", _CONCEPTS)
    pictures = [
        picture
        for _, example in cases
        for picture in (example.target, *(reference.picture for reference in example.references))
    ]
    pairs = {(p.concept, p.style) for picture in pictures for p in picture.scene.placements}
    return cases, Atlas.build(sorted(pairs), side=SPRITE_SIDE)


def fallback_cases() -> tuple[Cases, Atlas]:
    """The same from a few drawings of our own, for machines without Node.js."""
    from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary

    rows = fixed_examples(fallback_vocabulary(), each=1)
    cases = [(title, row[0]) for title, row in rows]
    cases += edit_cases("flat", "outline", ("fish", "house", "car", "tree", "ball"))
    return cases, fallback_atlas(SPRITE_SIDE)


def edit_cases(colour: str, ink: str, concepts: Sequence[str]) -> Cases:
    """Edits inside a mask: what a scene shows in another style, twice, and a thing that goes.

    The words are those of style transfer and of masked editing. The starter model has learnt the
    first, though without a mask, and nothing of the second.

    Args:
        colour: A style.
        ink: Another one.
        concepts: Five: redrawn in ink, an example of ink, redrawn in colour, an example of colour,
            removed. The first, third and fifth have to be there in the first style, the other
            ones in the second.
    """
    first, inked, second, coloured, gone = concepts
    stays = _placed(first, colour, x=0.38, y=0.68, scale=0.45)
    goes = _placed(gone, colour, x=0.67, y=0.3, scale=0.35)
    edit = removing(Scene(background=_GRADIENT, placements=(stays, goes)), 1)
    words = f"Remove the {caption_name(gone)} in [ref#1], inside the mask [ref#2]."
    region = Picture(scene=edit.changed, kind="region")
    return [
        ("masked style 1", _restyled(first, colour, ink, inked)),
        ("masked style 2", _restyled(second, ink, colour, coloured)),
        ("masked removal", _edited(words, edit.source, region, edit.target)),
    ]


def _restyled(concept: str, before: str, after: str, shown: str) -> Example:
    """A thing on a beach, which is redrawn in the style of another."""
    scene = Scene(background=_BEACH, placements=(_placed(concept, before, y=0.6, scale=0.55),))
    style = Scene(background=_WHITE, placements=(_placed(shown, after, scale=0.7),))
    return _edited(
        "Redraw [ref#1] in the style of [ref#3], inside the mask [ref#2].",
        scene,
        Picture(scene=scene, kind="mask"),
        restyle(scene, after),
        ExampleReference(marker=3, text="style image", role="style", picture=Picture(scene=style)),
    )


def _placed(concept: str, style: str, *, x: float = 0.5, y: float = 0.5, scale: float) -> Placement:
    return Placement(concept=concept, style=style, x=x, y=y, scale=scale)


def _edited(
    text: str, before: Scene, mask: Picture, after: Scene, *others: ExampleReference
) -> Example:
    source = ExampleReference(
        marker=1, text="source image", role="source", picture=Picture(scene=before)
    )
    where = ExampleReference(marker=2, text="mask", role="mask", picture=mask)
    return Example(
        task="masked_edit",
        text=text,
        caption="",
        references=(source, where, *others),
        target=Picture(scene=after),
    )


def is_edit(references: Sequence[ExampleReference]) -> bool:
    """Whether a picture is edited: one of them is its source."""
    return any(reference.role == "source" for reference in references)
