"""Style transfer: a content image and a style image to image, without a caption ([Hu24] §3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture, Scene
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick, pick_other, retry
from instruct_imagen.data.tasks.styled import STYLE_WORDS
from instruct_imagen.data.world.scenes import ONE_ASSET, sample_background, sample_scene

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
            wanted = 1 if rng.random() < ONE_ASSET else 2
            content = [] if after is None else _shared(rng, vocabulary, before, after, wanted)
            if not content:
                return None
            shown = pick_other(rng, vocabulary.concepts_of(after), *content)
            return None if shown is None else (before, after, content, shown)

        before, after, content, shown = retry(draw, "concept in two styles")
        scene = sample_scene(rng, vocabulary, assets=[(concept, before) for concept in content])
        # The background has to suit both: some styles would be lost on a dark one.
        scene = replace(scene, background=sample_background(rng, (before, after)))
        style_image = sample_scene(rng, vocabulary, assets=[(shown, after)])

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
