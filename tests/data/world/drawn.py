"""Scenes and their pixels, for the tests of rendering."""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.example import Background, Picture, PictureKind, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.vocabulary import Vocabulary


def scenes_of(vocabulary: Vocabulary, count: int, seed: int = 0) -> list[Scene]:
    return [sample_scene(scene_rng(seed, index), vocabulary) for index in range(count)]


def scene_on(colour: str, *placements: Placement) -> Scene:
    return Scene(background=Background(kind="plain", colours=(colour,)), placements=placements)


def pixels_of(scene: Scene, kind: PictureKind, atlas: Atlas, size: int, **more: int) -> np.ndarray:
    """(size, size, 3) int; `more` is a dilation or a hand."""
    drawn = render_pictures([Picture(scene=scene, kind=kind, **more)], atlas, size)[0]
    return drawn.permute(1, 2, 0).numpy().astype(int)


def two_deep(vocabulary: Vocabulary) -> Scene:
    """Two assets, one partly behind the other."""
    style = "twemoji"
    first, second = vocabulary.concepts_of(style)[:2]
    return scene_on(
        "light grey",
        Placement(concept=first, style=style, x=0.4, y=0.4, scale=0.6),
        Placement(concept=second, style=style, x=0.6, y=0.6, scale=0.6),
    )
