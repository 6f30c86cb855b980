"""Edge map and caption to image ([Hu24] §3.2, Edge2Img)."""

from __future__ import annotations

from instruct_imagen.data.tasks.spatial import SpatialTask


class EdgeToImage(SpatialTask):
    """The reference shows the edges of the target."""

    name = "edge_to_image"
    kind = "edge"
    words = ("edge map", "edge map", "edge map", "edges", "outline", "line drawing", "contours")


TASK = EdgeToImage
