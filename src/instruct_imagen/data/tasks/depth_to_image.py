"""Depth map and caption to image ([Hu24] §3.2, Depth2Img)."""

from __future__ import annotations

from instruct_imagen.data.tasks.spatial import SpatialTask


class DepthToImage(SpatialTask):
    """The reference shows how near the target's objects are."""

    name = "depth_to_image"
    kind = "depth"
    words = ("depth map", "depth map", "depth map", "depth", "depth image")


TASK = DepthToImage
