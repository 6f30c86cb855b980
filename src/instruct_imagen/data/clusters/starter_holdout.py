"""The hold-out of the starter world as pictures: what of it may lie in a corpus of emoji or faces.

Its suites show held-out drawings in scenes of their own, which no corpus has. The drawings
themselves it may have: those of held-out concepts, all of the held-out style, and all faces of
held-out people (`world.holdout`), each alone on white.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from instruct_imagen.data.clusters.holdouts import STARTER, Held
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.world.artwork.base import Drawings
from instruct_imagen.data.world.artwork.registry import read_styles
from instruct_imagen.data.world.faces import heldout_faces
from instruct_imagen.data.world.holdout import HOLDOUT_SHA256, holdout
from instruct_imagen.data.world.vocabulary import world_concepts

SIDE = 128
"""Pixels: what encoders look at; the small copies are made of it, too."""

RECIPE = 1
"""Counts up whenever the pictures become other ones of the same artwork."""


@dataclass(frozen=True, kw_only=True)
class HeldDrawings:
    """Held-out drawings, a style a part.

    Attributes:
        name: Of the hold-out.
        styles: Each with the hash of its artwork and the names of what is held out of it.
    """

    name: str
    styles: tuple[tuple[str, str, tuple[str, ...]], ...]

    @property
    def parts(self) -> int:
        """One a style."""
        return len(self.styles)

    def about(self) -> Mapping[str, Any]:
        """See `holdouts.HeldSet`."""
        return {"name": self.name, "holdout": HOLDOUT_SHA256, "side": SIDE, "recipe": RECIPE}

    def inputs(self, part: int) -> Mapping[str, str]:
        """The artwork, and what is held out of it."""
        style, sha256, names = self.styles[part]
        return {"style": style, "artwork": sha256, "names": " ".join(names)}

    def images(self, part: int) -> Iterator[Held | EntryError]:
        """See `holdouts.HeldSet`."""
        style, _, names = self.styles[part]
        drawings = read_styles([style])[style]
        for name in names:
            yield from _drawn(drawings, name)


def open_starter() -> HeldDrawings:
    """The hold-out of the starter world.

    Raises:
        WorldUnavailable: The artwork is not installed and cannot be.
    """
    held = holdout()
    names: dict[str, list[str]] = {}
    for concept, styles in world_concepts().items():
        for style in styles:
            if concept in held.concepts or style == held.style:
                names.setdefault(style, []).append(concept)
    for face in heldout_faces():
        name, style = face.pair
        names.setdefault(style, []).append(name)
    drawings = read_styles(names)
    return HeldDrawings(
        name=STARTER,
        styles=tuple(
            (style, drawings[style].sha256, tuple(own)) for style, own in sorted(names.items())
        ),
    )


def _drawn(drawings: Drawings, name: str) -> Iterator[Held | EntryError]:
    key = f"{drawings.style}/{name}.png"
    sprite = drawings.draw(name, SIDE)
    if sprite is None:
        yield EntryError(f"{key}: the drawing is empty", "empty drawing")
        return
    white = np.minimum(255, sprite[:3].astype(np.int32) + 255 - sprite[3]).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(white.transpose(1, 2, 0))).save(file, "PNG")
    yield key, file.getvalue()
