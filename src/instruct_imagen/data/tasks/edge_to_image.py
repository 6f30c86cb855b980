"""Edge map and caption to image ([Hu24] §3.2, A.3, Edge2Img)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruct_imagen.data.example import Picture, PictureKind, Scene
from instruct_imagen.data.tasks.spatial import SpatialTask

if TYPE_CHECKING:
    import numpy as np

OF_DEPTH, OF_MASK = 0.15, 0.15
"""Shares of edge maps of the target's depth map and of its mask; the rest is of the image itself.

The paper has all three and says no shares. The image keeps the most, because its edges say the most
and users have them.
"""

DILATED_ONCE, DILATED_TWICE = 0.15, 0.1
"""Shares of edge maps whose lines are wider by one or two pixels of 32; the rest is not dilated.

So 52.5% of all are of the image and not dilated, which is what the first weights were trained on.
"""


class EdgeToImage(SpatialTask):
    """The reference shows the edges of the target, of its depth map or of its mask."""

    name = "edge_to_image"
    kind = "edge"
    words = ("edge map", "edge map", "edge map", "edges", "outline", "line drawing", "contours")

    def reference(self, rng: np.random.Generator, scene: Scene) -> Picture:
        """Edges of a source and a dilation that are drawn independently."""
        source, width = rng.random(), rng.random()
        kind: PictureKind = "edge"
        if source < OF_DEPTH + OF_MASK:
            kind = "depth_edge" if source < OF_DEPTH else "mask_edge"
        dilation = (width < DILATED_ONCE + DILATED_TWICE) + (width < DILATED_TWICE)
        return Picture(scene=scene, kind=kind, dilation=dilation)


TASK = EdgeToImage
