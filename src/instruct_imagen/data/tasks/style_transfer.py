"""Style transfer: a content image and a style image to image, without a caption ([Hu24] §3.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture, Scene
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick, pick_other, retry
from instruct_imagen.data.tasks.styled import STYLE_WORDS, TWO_ASSETS
from instruct_imagen.data.world.scenes import sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

FORM = frozenset({"content", "style"})
CONTENT_WORDS = ("content image", "content image", "content image", "content", "image")
# Two assets that both exist in both styles are not found for every pair; then there is one.
TRIES = 8


def restyle(scene: Scene, style: str) -> Scene:
    """The same scene with every asset drawn in `style`."""
    return replace(
        scene, placements=tuple(replace(placed, style=style) for placed in scene.placements)
    )


class StyleTransfer:
    """The target is the content image, redrawn in the style of the style image."""

    name = "style_transfer"

    def example(self, rng: np.random.Generator, vocabulary: Vocabulary) -> Example:
        """A scene in two styles, and another scene in the second of them."""

        def draw() -> tuple[str, str, list[str], str] | None:
            concept = pick(rng, vocabulary.concepts)
            styles = vocabulary.styles_of(concept)
            before = pick(rng, styles)
            after = pick_other(rng, styles, before)
            if after is None:
                return None
            content = [concept]
            if rng.random() < TWO_ASSETS:
                content += _companion(rng, vocabulary, concept, before, after)
            shown = pick_other(rng, vocabulary.concepts_of(after), *content)
            return None if shown is None else (before, after, content, shown)

        before, after, content, shown = retry(draw, "concept in two styles")
        scene = sample_scene(rng, vocabulary, assets=[(concept, before) for concept in content])
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
            pick(rng, load_templates(self.name, FORM)),
            content=marker(content_marker),
            style=marker(style_marker),
        )
        return Example(
            task=self.name,
            text=text,
            references=references if content_marker == 1 else references[::-1],
            target=Picture(scene=restyle(scene, after)),
        )


def _companion(
    rng: np.random.Generator, vocabulary: Vocabulary, concept: str, before: str, after: str
) -> list[str]:
    """Another concept that both styles draw, in a list; an empty list if none was met."""
    candidates = vocabulary.concepts_of(before)
    for _ in range(TRIES):
        other = pick(rng, candidates)
        if other != concept and after in vocabulary.styles_of(other):
            return [other]
    return []


TASK = StyleTransfer
