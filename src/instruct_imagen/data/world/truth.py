"""All that is known of a picture of a scene: who is where, how far, how much of it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instruct_imagen.data.example import Picture, Scene

from .atlas import Atlas
from .relations import Relation, relations
from .render import covered, instance_masks, render_pictures

LARGEST_SIZE = 1024

PixelBox = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are the first that are outside."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundTruth:
    """Of a picture of a scene of N assets, from the farthest to the nearest.

    Attributes:
        masks: (N, size, size) bool, the pixels that show each asset; no two share one.
        amodal_masks: (N, size, size) bool, those that each asset covers, hidden or not, as far as
            they are in the frame.
        boxes: Around what is seen of each asset; None for one that is not seen.
        amodal_boxes: Around all of it in the frame.
        visible: Share of each asset's pixels in the frame that are seen, in [0, 1].
        labels: (size, size) int64, the number of the asset that a pixel shows, from 1; 0 for the
            background.
        depth: (size, size) uint8, near is bright; as the picture of kind ``depth``.
        edges: (size, size) bool; as the picture of kind ``edge``.
        concepts: Of each asset.
        styles: Of each asset.
        relations: See `data.world.relations`.
    """

    masks: Tensor
    amodal_masks: Tensor
    boxes: tuple[PixelBox | None, ...]
    amodal_boxes: tuple[PixelBox | None, ...]
    visible: tuple[float, ...]
    labels: Tensor
    depth: Tensor
    edges: Tensor
    concepts: tuple[str, ...]
    styles: tuple[str, ...]
    relations: tuple[Relation, ...]


def ground_truth(scene: Scene, atlas: Atlas, size: int) -> GroundTruth:
    """The ground truth of a picture of so many pixels a side.

    Above the atlas's side sprites are enlarged, and masks have steps; sharp ones come of an atlas
    of the scene's own sprites, ``Atlas.build(pairs, side=1024)``.

    Args:
        scene: Has one asset or more.
        atlas: Has their sprites.
        size: 1 to `LARGEST_SIZE`.

    Raises:
        ValueError: The size is out of its range.
        AtlasError: A sprite is missing.
    """
    if not 1 <= size <= LARGEST_SIZE:
        raise ValueError(f"size={size} must be 1 to {LARGEST_SIZE} pixels: ask for one of these")
    pictures = [Picture(scene=scene, kind="depth"), Picture(scene=scene, kind="edge")]
    depth, edges = render_pictures(pictures, atlas, size)[:, 0]
    masks, amodal = instance_masks(scene, atlas, size), covered(scene, atlas, size)
    numbers = torch.arange(1, len(masks) + 1)[:, None, None]
    seen, all_of_it = masks.sum((1, 2)).tolist(), amodal.sum((1, 2)).tolist()
    return GroundTruth(
        masks=masks,
        amodal_masks=amodal,
        boxes=tuple(_box(mask) for mask in masks),
        amodal_boxes=tuple(_box(mask) for mask in amodal),
        visible=tuple(
            part / whole if whole else 0.0 for part, whole in zip(seen, all_of_it, strict=True)
        ),
        labels=(masks * numbers).sum(0),
        depth=depth,
        edges=edges > 0,
        concepts=tuple(asset.concept for asset in scene.placements),
        styles=tuple(asset.style for asset in scene.placements),
        relations=relations(scene),
    )


def _box(mask: Tensor) -> PixelBox | None:
    rows, columns = (mask.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
