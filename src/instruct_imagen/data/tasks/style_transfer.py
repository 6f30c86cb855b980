"""Style transfer: a content image and a style image to image, without a caption ([Hu24] §3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture, Scene
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick, pick_other, retry
from instruct_imagen.data.tasks.styled import STYLE_WORDS
from instruct_imagen.data.world.relations import Relation, relations
from instruct_imagen.data.world.scenes import (
    can_be_tinted,
    sample_background,
    sample_count,
    sample_scene,
    tints_against,
)

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

CONTENT_WORDS = ("content image", "content image", "content image", "content", "image")
# Draws of a concept that both styles have; where only one is found, the scene has one asset.
TRIES = 12


def restyle(scene: Scene, style: str) -> Scene:
    """The same scene with every asset drawn in `style`."""
    return replace(
        scene, placements=tuple(replace(placed, style=style) for placed in scene.placements)
    )


class StyleTransfer:
    """The target is the content image, redrawn in the style of the style image."""

    name = "style_transfer"
    forms = (frozenset({"content", "style"}),)

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene in two styles, and another scene in the second of them."""

        def draw() -> tuple[str, str, list[str], str] | None:
            before = pick(rng, vocabulary.styles)
            after = pick_other(rng, vocabulary.styles, before)
            wanted = sample_count(rng, vocabulary.variety.most_assets)
            content = [] if after is None else _shared(rng, vocabulary, before, after, wanted)
            if not content:
                return None
            shown = pick_other(rng, vocabulary.concepts_of(after), *content)
            return None if shown is None else (before, after, content, shown)

        before, after, content, shown = retry(draw, "concept in two styles")
        scene = _content(rng, vocabulary, content, before, after)
        style_image = sample_scene(rng, vocabulary, assets=[(shown, after)], as_drawn=True)

        content_marker = 1 + (rng.random() < 0.5)
        style_marker = 3 - content_marker
        references = (
            ExampleReference(
                marker=content_marker,
                text=pick(rng, CONTENT_WORDS),
                role="content",
                picture=Picture(scene=scene),
            ),
            ExampleReference(
                marker=style_marker,
                text=pick(rng, STYLE_WORDS),
                role="style",
                picture=Picture(scene=style_image),
            ),
        )
        text = fill(
            pick(rng, load_templates(self.name, *self.forms)),
            content=marker(content_marker),
            style=marker(style_marker),
        )
        return Example(
            task=self.name,
            text=text,
            caption="",
            references=references if content_marker == 1 else references[::-1],
            target=Picture(scene=restyle(scene, after)),
        )


def _content(
    rng: np.random.Generator, vocabulary: Vocabulary, concepts: list[str], before: str, after: str
) -> Scene:
    """A scene that looks well in both styles."""
    places = vocabulary.variety.places
    for _ in range(TRIES):
        scene = sample_scene(rng, vocabulary, assets=[(concept, before) for concept in concepts])
        # What stands on something should do so in the other style too.
        if _stacks(scene) == _stacks(restyle(scene, after)):
            break
    # The background has to suit both: some styles would be lost on a dark one.
    background = sample_background(rng, (before, after), places=places)
    tints = tints_against(background)
    return Scene(
        background=background,
        placements=tuple(
            asset
            if asset.tint in tints and can_be_tinted(asset.concept, after)
            else replace(asset, tint="")
            for asset in scene.placements
        ),
    )


def _stacks(scene: Scene) -> list[Relation]:
    return [one for one in relations(scene) if one.kind == "on"]


def _shared(
    rng: np.random.Generator, vocabulary: Vocabulary, before: str, after: str, wanted: int
) -> list[str]:
    """Up to `wanted` different concepts that both styles draw."""
    candidates = vocabulary.concepts_of(before)
    found: list[str] = []
    for _ in range(TRIES):
        concept = pick(rng, candidates)
        if concept not in found and after in vocabulary.styles_of(concept):
            found.append(concept)
            if len(found) == wanted:
                break
    return found


TASK = StyleTransfer
