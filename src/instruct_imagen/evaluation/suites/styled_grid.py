"""The same prompts in every style ([Hu24] Table 4: 12 prompts × 10 styles)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from instruct_imagen.data.example import Example, ExampleReference, Picture, Scene
from instruct_imagen.data.tasks.base import fill, load_templates, marker, pick, pick_other, retry
from instruct_imagen.data.tasks.style_transfer import restyle
from instruct_imagen.data.tasks.styled import STYLE_WORDS, Styled
from instruct_imagen.data.world.palette import DARK_INK_STYLES
from instruct_imagen.data.world.relations import relations
from instruct_imagen.data.world.scenes import caption, sample_assets, sample_scene
from instruct_imagen.data.world.vocabulary import Vocabulary


def styled_grid(rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[Example, ...]:
    """One prompt in each style of the vocabulary, in their order, each with a style image.

    The scene is one that is true to its words in every style: only what all styles draw, on a
    background that black ink is seen on.
    """
    common = _common(vocabulary)
    ink = next(style for style in common.styles if style in DARK_INK_STYLES)

    def draw() -> Scene | None:
        assets = sample_assets(rng, common.of_styles((ink,)))
        scene = sample_scene(rng, common, assets=assets)
        # How one thing stands to another depends on its outline, which styles draw differently.
        alike = {relations(restyle(scene, style)) for style in common.styles}
        return scene if len(alike) == 1 else None

    scene = retry(draw, "scene that is the same in every style")
    words = caption(scene, rng, with_style=False, opens=False)
    shown = [asset.concept for asset in scene.placements]
    return tuple(
        _example(rng, vocabulary, restyle(scene, one), words, shown) for one in common.styles
    )


@lru_cache(maxsize=2)
def _common(vocabulary: Vocabulary) -> Vocabulary:
    """What every style draws."""
    pairs = tuple(
        pair
        for pair in vocabulary.pairs
        if len(vocabulary.styles_of(pair[0])) == len(vocabulary.styles)
    )
    return Vocabulary(pairs, vocabulary.variety)


def _example(
    rng: np.random.Generator, vocabulary: Vocabulary, scene: Scene, words: str, shown: list[str]
) -> Example:
    style = scene.placements[0].style
    other = pick_other(rng, vocabulary.concepts_of(style), *shown)
    image = sample_scene(rng, vocabulary, assets=[(other, style)], as_drawn=True)
    reference = ExampleReference(
        marker=1, text=pick(rng, STYLE_WORDS), role="style", picture=Picture(scene=image)
    )
    template = pick(rng, load_templates(Styled.name, *Styled.forms))
    return Example(
        task=Styled.name,
        text=fill(template, ref1=marker(1), caption=words),
        caption=words,
        references=(reference,),
        target=Picture(scene=scene),
    )
