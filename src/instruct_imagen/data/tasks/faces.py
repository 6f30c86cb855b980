"""What the tasks of faces have in common: pictures of a person to another one ([Hu24] §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from instruct_imagen.data.example import Example, ExampleReference, Picture, Placement, Scene
from instruct_imagen.data.tasks.base import (
    fill,
    load_templates,
    marker,
    opens_sentence,
    pick,
    retry,
)
from instruct_imagen.data.world.scenes import (
    article,
    caption,
    sample_background,
    with_article,
)
from instruct_imagen.data.world.vocabulary import VocabularyError

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Face, Vocabulary

WORDS = ("person", "person", "face", "portrait")
MOST_REFERENCES = 3
SCALES = (0.75, 0.95)
EXPRESSION_FIRST = 0.5
"""Share of marked captions that say "the smiling face of"; the rest says "with a smiling face"."""


def styles_of_set(vocabulary: Vocabulary, number: int) -> tuple[str, ...]:
    """The styles of one of two sets of faces, which [Hu24] has from two data sets.

    Args:
        vocabulary: Its styles go to the sets in turn.
        number: 0 or 1.
    """
    return vocabulary.face_styles[number::2]


class FaceTask:
    """One picture of a person is drawn, one to three others are its references and share marker 1.

    Attributes:
        number: Of the set of faces; see `styles_of_set`.
    """

    name: ClassVar[str]
    number: ClassVar[int]
    forms = (frozenset({"scene"}), frozenset({"person", "caption"}))
    needs: ClassVar[str]

    def drawable(self, vocabulary: Vocabulary) -> bool:
        """Whether the set has a person with two expressions."""
        return any(
            len(faces) > 1
            for style in styles_of_set(vocabulary, self.number)
            for faces in vocabulary.people_of(style)
        )

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A person with an expression that no reference shows, on a background of its own.

        Raises:
            VocabularyError: There are no such faces.
        """
        styles = styles_of_set(vocabulary, self.number)
        if not styles:
            raise VocabularyError(f"{self.name} cannot be drawn: the world has no {self.needs}")

        def draw() -> tuple[Face, ...] | None:
            faces = pick(rng, vocabulary.people_of(pick(rng, styles)))
            return faces if len(faces) > 1 else None

        faces = retry(draw, "person with two expressions")
        target, *others = (faces[int(place)] for place in rng.permutation(len(faces)))
        scene = _scene(rng, target, avoid=())
        avoid = scene.background.colours
        shown = []
        for face in others[: 1 + int(rng.random() * min(MOST_REFERENCES, len(others)))]:
            shown.append(_scene(rng, face, avoid=avoid))
            avoid += shown[-1].background.colours
        expression = f"{target.expression} face"
        template = pick(rng, load_templates(self.name, *self.forms))
        whole = caption(scene, rng, with_style=False, opens=opens_sentence(template))
        words = _renamed(whole, target, f"{article(expression)} {expression}")
        if rng.random() < EXPRESSION_FIRST:
            who = f"the {expression} of the {marker(1)} person"
        else:
            who = f"the {marker(1)} person with {article(expression)} {expression}"
        text = fill(
            template,
            scene=_renamed(whole, target, who),
            person=f"{marker(1)} person",
            caption=words,
        )
        word = pick(rng, WORDS)
        references = tuple(
            ExampleReference(marker=1, text=word, role="face", picture=Picture(scene=one))
            for one in shown
        )
        return Example(
            task=self.name,
            text=text,
            caption=words,
            references=references,
            target=Picture(scene=scene),
        )


def _scene(rng: np.random.Generator, face: Face, avoid: tuple[str, ...]) -> Scene:
    """The face alone and large; its background has none of the colours `avoid`."""

    def draw() -> Scene | None:
        background = sample_background(rng, (face.style,))
        if set(background.colours) & set(avoid):
            return None
        scale = SCALES[0] + (SCALES[1] - SCALES[0]) * rng.random()
        room = 1.0 - scale  # the whole face stays inside the frame
        concept, style = face.pair
        placement = Placement(
            concept=concept,
            style=style,
            x=0.5 + room * (rng.random() - 0.5),
            y=0.5 + room * (rng.random() - 0.5),
            scale=scale,
        )
        return Scene(background=background, placements=(placement,))

    return retry(draw, "background of other colours")


def _renamed(words: str, face: Face, name: str) -> str:
    """A caption that calls a face `name`, in place of what an asset of its sprite is called.

    Raises:
        ValueError: The caption is not of this face.
    """
    before, found, after = words.partition(with_article(face.pair[0]))
    if not found:
        raise ValueError(f"caption {words!r} is not of the face {face.pair[0]!r}")
    return f"{before}{name}{after}"
