"""Sprites of what cases show, read once for each style and kept."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from instruct_imagen.data.world.artwork.registry import read_styles
from instruct_imagen.data.world.atlas import Atlas, AtlasError, Pair
from instruct_imagen.data.world.fallback import (
    FALLBACK_STYLES,
    fallback_atlas,
    fallback_vocabulary,
)
from instruct_imagen.data.world.sources import STYLES, WorldUnavailable
from instruct_imagen.data.world.vocabulary import Face, world_concepts
from instruct_imagen.evaluation.case import EvaluationError


@lru_cache(maxsize=8)
def concepts(style: str) -> dict[str, tuple[str, ...]]:
    """What there is beside a drawing of some style: all concepts, and the styles that draw them.

    Of the emoji, held out or not; of our own drawings for what those draw.

    Raises:
        EvaluationError: The artwork is not there.
    """
    if style in FALLBACK_STYLES:
        own = fallback_vocabulary()
        return {concept: own.styles_of(concept) for concept in own.concepts}
    try:
        return world_concepts()
    except WorldUnavailable as error:
        raise EvaluationError(f"the truth judge needs the world's artwork: {error}") from None


@lru_cache(maxsize=32)
def _style(style: str) -> Atlas:
    """All sprites of a style that the judge compares with."""
    if style in FALLBACK_STYLES:
        return fallback_atlas()
    try:
        if style in STYLES:
            pairs = [(name, style) for name, drawn in concepts(style).items() if style in drawn]
        else:
            names = read_styles([style])[style].names()
            pairs = [(name, style) for name in sorted(names)]
        return Atlas.build(pairs)
    except (WorldUnavailable, AtlasError) as error:
        raise EvaluationError(
            f"the truth judge needs the drawings of the style {style!r}: {error}"
        ) from None


def small_atlas(pairs: Iterable[Pair]) -> Atlas:
    """An atlas of just these.

    Raises:
        EvaluationError: The artwork is not there.
    """
    wanted = tuple(dict.fromkeys(pairs))
    try:
        drawn = [_style(style).sprite(concept, style) for concept, style in wanted]
    except AtlasError as error:
        raise EvaluationError(f"the truth judge cannot draw a case: {error}") from None
    sprites = np.stack(drawn).transpose(0, 3, 1, 2) if drawn else np.empty((0, 4, 64, 64), np.uint8)
    return Atlas(pairs=wanted, sprites=np.ascontiguousarray(sprites), sources={})


@lru_cache(maxsize=32)
def people(style: str, most: int) -> tuple[Face, ...]:
    """Faces of a style by the first people of training and all that are held out."""
    from instruct_imagen.data.world.faces import heldout_faces, training_faces

    return (*training_faces(most, (style,)), *heldout_faces((style,)))


@lru_cache(maxsize=1024)
def people_named(style: str, person: str) -> tuple[Face, ...]:
    """A person's faces."""
    from instruct_imagen.data.world.faces import heldout_faces, training_faces

    known = (*training_faces(None, (style,)), *heldout_faces((style,)))
    return tuple(face for face in known if face.person == person)
