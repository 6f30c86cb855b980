"""Scenes to pixels, many at once, exactly the same on every run and in every batch.

A sprite is resampled by two matrix products, rows then columns, whose weights are area averages
rounded to 1/128, with a rounding to bytes after each. A product of a byte and such a weight has 15
bits, so every partial sum is exact in float32 (and in TF32, where a training run switched that on)
and the order of summation cannot matter; what follows is integer arithmetic. Hence a picture's
bytes do not depend on batch size, threads, workers or device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from instruct_imagen.data.example import Photograph, Picture, Placement, Scene

from .atlas import Atlas
from .scenes import PALETTE

if TYPE_CHECKING:
    from instruct_imagen.data.photographs import Photographs

_STEPS = 128
EDGE_THRESHOLD = 44
"""Colour difference of neighbours, of 255, from which there is an edge."""

_GROUND = 90  # depth of the background at the bottom of the frame; 0 at the top


def render_pictures(
    pictures: Sequence[Picture | Photograph],
    atlas: Atlas,
    size: int,
    device: torch.device | str = "cpu",
    *,
    photographs: Photographs | None = None,
) -> Tensor:
    """Render pictures of any kinds; photographs are copied.

    Args:
        pictures: N of them.
        atlas: Has every sprite that they show.
        size: Side in pixels.
        device: Where the sprites lie and the work is done; there is one transfer for all pictures.
        photographs: Those that some pictures are, at `size`.

    Returns:
        (N, 3, size, size) uint8 on `device`.

    Raises:
        AtlasError: A sprite is missing.
        ValueError: A picture is a photograph, and there are none of this size.
    """
    out = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8, device=device)
    for kind, draw in _DRAW.items():
        rows = [
            row
            for row, picture in enumerate(pictures)
            if isinstance(picture, Picture) and picture.kind == kind
        ]
        if rows:
            scenes = [pictures[row].scene for row in rows]
            out[torch.tensor(rows, device=device)] = draw(scenes, atlas, size, device)
    rows = [row for row, picture in enumerate(pictures) if isinstance(picture, Photograph)]
    if rows:
        if photographs is None or photographs.pixels.shape[-1] != size:
            raise ValueError(f"the photographs were not read at {size} pixels: give them so")
        shown = photographs.pixels[[pictures[row].index for row in rows]]
        out[torch.tensor(rows, device=device)] = shown.to(device)
    return out


def instance_masks(scene: Scene, atlas: Atlas, size: int) -> Tensor:
    """Which pixels show which asset.

    Returns:
        (assets, size, size) bool, from the farthest; a pixel belongs to the nearest asset that
        covers at least half of it.
    """
    covers = torch.stack(
        [sprites[0, 3] >= 128 for _, sprites in _layers([scene], atlas, size, "cpu")]
    )
    nearer = torch.zeros(size, size, dtype=torch.bool)
    masks = torch.zeros_like(covers)
    for index in reversed(range(len(covers))):
        masks[index] = covers[index] & ~nearer
        nearer |= covers[index]
    return masks


def _layers(
    scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str
) -> list[tuple[Tensor, Tensor]]:
    """From back to front: which scenes have that many assets, (M,), and their sprites in place.

    The sprites are (M, 4, size, size) int32 in [0, 255], premultiplied, zero around the asset.
    """
    level = atlas.level(size, device)
    found = []
    for members, placements in _by_layer(scenes):
        rows = [atlas.row(asset.concept, asset.style) for asset in placements]
        sprites = level[torch.tensor(rows, device=device)].float()
        down, across = _weights(placements, size, level.shape[-1], device)
        with torch.autocast(torch.device(device).type, enabled=False):
            drawn = ((down[:, None] @ sprites).round() @ across.transpose(1, 2)[:, None]).round()
        found.append((torch.tensor(members, device=device), drawn.to(torch.int32)))
    return found


def _by_layer(scenes: Sequence[Scene]) -> Iterator[tuple[list[int], list[Placement]]]:
    """From back to front: which scenes have that many assets, and those assets."""
    for layer in range(max(len(scene.placements) for scene in scenes)):
        members = [i for i, scene in enumerate(scenes) if len(scene.placements) > layer]
        yield members, [scenes[i].placements[layer] for i in members]


def _weights(
    placements: Sequence[Placement], size: int, side: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Resampling matrices of rows and of columns, two (M, size, side) float32.

    Row i holds what share of output pixel i each sprite pixel has, in multiples of 1/128; it sums
    to the share of the pixel that lies within the asset's square.
    """
    geometry = np.array([(p.y, p.x, p.scale, p.flip) for p in placements], dtype=np.float64)
    values = torch.from_numpy(geometry).to(device)
    scale = values[:, 2, None, None]
    edges = torch.arange(side + 1, device=device, dtype=torch.float64)
    pixels = torch.arange(size, device=device, dtype=torch.float64)[:, None] / size
    both = []
    for axis in (0, 1):
        width = side / (size * scale)
        start = (pixels - values[:, axis, None, None] + scale / 2) * side / scale
        within = ((edges - start) / width).clamp(0, 1)
        # The sprite ends at its own borders: cumulative shares are measured between them.
        counted = (within * _STEPS).round()
        both.append((counted[..., 1:] - counted[..., :-1]).float() / _STEPS)
    mirrored = values[:, 3, None, None] > 0
    return both[0], torch.where(mirrored, both[1].flip(-1), both[1])


def _images(scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str) -> Tensor:
    """The scenes themselves: (N, 3, size, size) uint8."""
    layers = _layers(scenes, atlas, size, device)
    return _compose(scenes, layers, size, device).to(torch.uint8)


def _compose(
    scenes: Sequence[Scene],
    layers: Sequence[tuple[Tensor, Tensor]],
    size: int,
    device: torch.device | str,
) -> Tensor:
    """Layers over backgrounds: (N, 3, size, size) int32 in [0, 255]."""
    canvas = _backgrounds(scenes, size, device)
    for members, sprites in layers:
        clear = 255 - sprites[:, 3:]
        canvas[members] = sprites[:, :3] + (canvas[members] * clear + 127) // 255
    return canvas.clamp_(0, 255)


def _backgrounds(scenes: Sequence[Scene], size: int, device: torch.device | str) -> Tensor:
    """(N, 3, size, size) int32."""
    ends = np.array(
        [[PALETTE[s.background.colours[0]], PALETTE[s.background.colours[-1]]] for s in scenes],
        dtype=np.int64,
    )
    # Rows go from the first colour to the second in whole numbers, rounded.
    row = np.arange(size)[None, :, None]
    mixed = (2 * (ends[:, :1] * (size - 1 - row) + ends[:, 1:] * row) + size - 1) // (
        2 * max(size - 1, 1)
    )
    colours = torch.from_numpy(mixed.astype(np.int32).transpose(0, 2, 1).copy()).to(device)
    return colours[..., None].repeat(1, 1, 1, size)


def _masks(scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str) -> Tensor:
    """White where an asset is, black elsewhere."""
    canvas = torch.zeros(len(scenes), 1, size, size, dtype=torch.int32, device=device)
    for members, sprites in _layers(scenes, atlas, size, device):
        alpha = sprites[:, 3:]
        canvas[members] = alpha + (canvas[members] * (255 - alpha) + 127) // 255
    return canvas.to(torch.uint8).expand(-1, 3, -1, -1)


def _regions(
    scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str
) -> Tensor:
    """White where the square of an asset is, as far as it lies in the frame, black elsewhere.

    A pixel is white where the square has a share in it: just those that its sprite could change.
    """
    canvas = torch.zeros(len(scenes), 1, size, size, dtype=torch.bool, device=device)
    for members, placements in _by_layer(scenes):
        down, across = _weights(placements, size, 1, device)
        covered = (down > 0) & (across > 0).transpose(1, 2)
        canvas[torch.tensor(members, device=device)] |= covered[:, None]
    return (canvas * 255).to(torch.uint8).expand(-1, 3, -1, -1)


def asset_depths(scene: Scene) -> list[int]:
    """Brightness of each asset in the depth map, from the farthest to the nearest, rising.

    An asset is as near as its foot is low; a nearer layer is always brighter than a farther one.
    """
    depths: list[int] = []
    for asset in scene.placements:
        foot = min(max(asset.y + asset.scale / 2, 0.0), 1.0)
        depths.append(max(round(110 + 140 * foot), depths[-1] + 15 if depths else 0))
    return [min(depth, 255) for depth in depths]


def _depths(scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str) -> Tensor:
    """Near is bright; the background is a ground that rises away from the bottom of the frame."""
    ground = torch.arange(size, dtype=torch.int32, device=device) * _GROUND // max(size - 1, 1)
    canvas = ground[:, None].expand(len(scenes), 1, size, size).contiguous()
    depths = [asset_depths(scene) for scene in scenes]
    for layer, (members, sprites) in enumerate(_layers(scenes, atlas, size, device)):
        own = [found[layer] for found in depths if len(found) > layer]
        near = torch.tensor(own, dtype=torch.int32, device=device)[:, None, None, None]
        alpha = sprites[:, 3:]
        canvas[members] = (near * alpha + canvas[members] * (255 - alpha) + 127) // 255
    return canvas.to(torch.uint8).expand(-1, 3, -1, -1)


def _edges(scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str) -> Tensor:
    """White lines on black: found at twice the size, so that they are crisp when reduced.

    There is a line where the colour steps, and around every asset even where its colour is the
    background's.
    """
    layers = _layers(scenes, atlas, 2 * size, device)
    image = _compose(scenes, layers, 2 * size, device)
    # The number of the asset that a pixel shows, 0 for the background.
    shown = torch.zeros_like(image[:, :1])
    for number, (members, sprites) in enumerate(layers, start=1):
        shown[members] = torch.where(sprites[:, 3:] >= 128, number, shown[members])
    lines = torch.zeros(image.shape[0], 1, 2 * size, 2 * size, device=device)
    for axis in (-1, -2):
        before, after = slice(0, 2 * size - 1), slice(1, 2 * size)
        step = _along(image, axis, after).sub(_along(image, axis, before)).abs()
        step = step.amax(dim=1, keepdim=True)
        crossed = _along(shown, axis, after) != _along(shown, axis, before)
        _along(lines, axis, before).masked_fill_(_crest(step, axis) | crossed, 1.0)
    return (max_pool2d(lines, 2) * 255).to(torch.uint8).expand(-1, 3, -1, -1)


def _along(values: Tensor, axis: int, part: slice) -> Tensor:
    """A part of a picture's columns (axis -1) or rows (axis -2)."""
    return values[..., part] if axis == -1 else values[..., part, :]


def _crest(step: Tensor, axis: int) -> Tensor:
    """Where steps are high enough and highest among neighbours: a soft border is one line."""
    length = step.shape[axis]
    crest = step >= EDGE_THRESHOLD
    inner, outer = slice(1, length), slice(0, length - 1)
    _along(crest, axis, inner).logical_and_(_along(step, axis, inner) >= _along(step, axis, outer))
    _along(crest, axis, outer).logical_and_(_along(step, axis, outer) > _along(step, axis, inner))
    return crest


_DRAW = {"image": _images, "edge": _edges, "mask": _masks, "depth": _depths, "region": _regions}
