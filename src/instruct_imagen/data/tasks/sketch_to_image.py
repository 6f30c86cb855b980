"""Sketch and caption to image ([Hu24] §3.2, Sketch2Img).

The paper's sketches are people's, of a photo-sketch data set. Ours are drawn from the scene as a
person would: see `data.world.lines.sketch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Picture, Scene
from instruct_imagen.data.tasks.spatial import SpatialTask

if TYPE_CHECKING:
    import numpy as np

HANDS = 2**31
"""So many hands may have drawn a sketch; no two examples are likely to share one."""


class SketchToImage(SpatialTask):
    """The reference is a sketch of the target, by a hand of its own."""

    name = "sketch_to_image"
    kind = "sketch"
    words = (
        "sketch",
        "sketch",
        "sketch",
        "rough sketch",
        "pencil sketch",
        "hand-drawn sketch",
        "freehand drawing",
        "line sketch",
    )

    def reference(self, rng: np.random.Generator, scene: Scene) -> Picture:
        """A sketch whose errors are those of a hand that is drawn."""
        return Picture(scene=scene, kind=self.kind, hand=int(rng.random() * HANDS))


TASK = SketchToImage
