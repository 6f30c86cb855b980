"""The subject stands in the reference about where the target has it: a warm-up for subjects.

Not one of the paper's tasks, so its ratio in the paper's mixture is 0; a recipe may raise it.
Context attention starts at its own place, so what stands there is followed at once; a portrait
elsewhere has to be found first. Distances from none to that of a `subject` lead from one to the
other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, Placement, Scene
from instruct_imagen.data.tasks.subject import portrait, subject_example, subject_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary


def between(first: Placement, second: Placement, share: float) -> Placement:
    """A placement `share` of the way from one to another, in [0, 1]; looks are those of `first`."""

    def blend(here: float, there: float) -> float:
        return here + share * (there - here)

    return replace(
        first,
        x=blend(first.x, second.x),
        y=blend(first.y, second.y),
        scale=blend(first.scale, second.scale),
    )


class SubjectInPlace:
    """As `subject`, with one picture whose subject has moved little or not at all."""

    name = "subject_in_place"
    forms = (frozenset({"scene"}), frozenset({"subject", "caption"}))

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, and its subject alone on another background."""
        scene, target = subject_scene(rng, vocabulary)
        elsewhere = portrait(
            rng,
            target.concept,
            target.style,
            avoid=scene.background.colours,
            flip=target.flip,
            tint=target.tint,
        )
        moved = between(target, elsewhere.placements[0], rng.random() ** 2)
        shown = Scene(background=elsewhere.background, placements=(moved,))
        return subject_example(rng, self, scene, target, [shown])


TASK = SubjectInPlace
