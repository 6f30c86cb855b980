"""Object mask and caption to image ([Hu24] §3.2, Mask2Img)."""

from __future__ import annotations

from instruct_imagen.data.tasks.spatial import SpatialTask


class MaskToImage(SpatialTask):
    """The reference is white where the target's objects are, and black elsewhere."""

    name = "mask_to_image"
    kind = "mask"
    words = (
        "object mask",
        "object mask",
        "object mask",
        "mask",
        "silhouette",
        "segmentation mask",
    )


TASK = MaskToImage
