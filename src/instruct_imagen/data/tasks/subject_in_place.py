"""The subject stands in the reference about where the target has it: a warm-up for subjects.

Not one of the paper's tasks, so its ratio in the paper's mixture is 0; a recipe may raise it.
Context attention starts at its own place, so what stands there is followed at once; a portrait
elsewhere has to be found first. Distances from none to that of a `subject` lead from one to the
other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import (
    Example,
    ExampleReference,
    Picture,
    Placement,
    Scene,
)
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick
from instruct_imagen.data.tasks.subject import mark_subject, portrait, subject_assets
from instruct_imagen.data.world.scenes import caption, caption_name, sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary


def between(first: Placement, second: Placement, share: float) -> Placement:
    """A placement `share` of the way from one to another, in [0, 1]; looks are those of `first`."""

    def blend(here: float, there: float) -> float:
        return here + share * (there - here)

    return Placement(
        concept=first.concept,
        style=first.style,
        x=blend(first.x, second.x),
        y=blend(first.y, second.y),
        scale=blend(first.scale, second.scale),
        flip=first.flip,
    )


class SubjectInPlace:
    """As `subject`, with one picture whose subject has moved little or not at all."""

    name = "subject_in_place"
    forms = (frozenset({"scene"}), frozenset({"subject", "caption"}))

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene, and its subject alone on another background."""
        concept, style, companion = subject_assets(rng, vocabulary)
        name = caption_name(concept)
        assets = [(concept, style)] if companion is None else [(concept, style), (companion, style)]
        scene = sample_scene(rng, vocabulary, assets=assets)
        words = caption(scene, rng, with_style=False)
        target = next(asset for asset in scene.placements if asset.concept == concept)
        elsewhere = portrait(rng, concept, style, avoid=scene.background.colours, flip=target.flip)
        moved = between(target, elsewhere.placements[0], rng.random() ** 2)
        reference = ExampleReference(
            marker=1,
            text=name,
            role="subject",
            picture=Picture(scene=Scene(background=elsewhere.background, placements=(moved,))),
        )
        template = pick(rng, load_templates(self.name, *self.forms))
        if "{subject}" in template:
            text = fill(template, subject=f"{marker(1)} {name}", caption=words)
        else:
            text = fill(template, scene=mark_subject(words, name, 1))
        return Example(
            task=self.name, text=text, references=(reference,), target=Picture(scene=scene)
        )


TASK = SubjectInPlace
