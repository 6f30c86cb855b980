"""Squares of images around assets, all of one size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from instruct_imagen.data.example import Placement
from instruct_imagen.data.world.measures import measure
from instruct_imagen.data.world.relations import shrunk

from .network import SIDE

MARGIN = 1.15
"""Side of a crop over that of what it shows."""

LARGEST = 96
"""Larger images are reduced to this side: the probes have seen none that is larger."""

Square = tuple[float, float, float]
"""Centre across, centre down and side, in fractions of the frame."""


def asset_square(asset: Placement) -> Square:
    """The square around an asset's drawing, from what is known of it without rendering."""
    known = measure(asset.concept, asset.style)
    if asset.turn % 90:
        side = shrunk(asset.turn) * (abs(known.width) + abs(known.height)) / 2 * 1.25
        side = min(side, 1.0)
    else:
        side = max(known.width, known.height)
    return asset.x, asset.y, side * asset.scale


def reduced(images: Tensor) -> Tensor:
    """Images of at most `LARGEST` a side: (N, 3, H, W) to float32."""
    images = images.float()
    side = max(images.shape[-2:])
    if side <= LARGEST:
        return images
    shape = [max(round(length * LARGEST / side), 1) for length in images.shape[-2:]]
    return interpolate(images, shape, mode="area")


def crop(images: Tensor, squares: Sequence[Square], *, margin: float = MARGIN) -> Tensor:
    """One crop of each image.

    Args:
        images: (N, 3, H, W).
        squares: N of them; outside of the frame its border is repeated.
        margin: Side of the crop over that of the square.

    Returns:
        (N, 3, SIDE, SIDE) float32 in [0, 255].
    """
    images = reduced(images)
    values = torch.tensor(squares, dtype=torch.float32)
    places = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    across = values[:, 0, None] + places * values[:, 2, None] * margin
    down = values[:, 1, None] + places * values[:, 2, None] * margin
    grid = torch.stack(
        [
            (2 * across - 1)[:, None, :].expand(-1, SIDE, -1),
            (2 * down - 1)[:, :, None].expand(-1, -1, SIDE),
        ],
        dim=-1,
    )
    return grid_sample(images, grid, "bilinear", "border", align_corners=False)
