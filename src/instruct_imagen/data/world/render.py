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

from instruct_imagen.data.example import Photograph, Picture, Placement, Scene
from instruct_imagen.devices import indices, sent

from .atlas import Atlas
from .lines import edge_map, sketch
from .looks import dressed
from .palette import PALETTE
from .places import draw_place, place_of

if TYPE_CHECKING:
    from instruct_imagen.data.photographs import Photographs

_STEPS = 128
_GROUND = 90  # depth of the background at the bottom of the frame; 0 at the horizon or the top


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
    for kind in (*_DRAW, *_CANVAS_OF_LINES):
        rows = [
            row
            for row, picture in enumerate(pictures)
            if isinstance(picture, Picture) and picture.kind == kind
        ]
        if rows:
            chosen = [pictures[row] for row in rows]
            if kind in _DRAW:
                drawn = _DRAW[kind]([one.scene for one in chosen], atlas, size, device)
            else:
                drawn = _lines(kind, chosen, atlas, size, device)
            out[indices(rows, device)] = drawn
    rows = [row for row, picture in enumerate(pictures) if isinstance(picture, Photograph)]
    if rows:
        if photographs is None or photographs.pixels.shape[-1] != size:
            raise ValueError(f"the photographs were not read at {size} pixels: give them so")
        shown = photographs.pixels[[pictures[row].index for row in rows]]
        out[indices(rows, device)] = sent(shown, device)
    return out


def instance_masks(scene: Scene, atlas: Atlas, size: int) -> Tensor:
    """Which pixels show which asset.

    Returns:
        (assets, size, size) bool, from the farthest; a pixel belongs to the nearest asset that
        covers at least half of it.
    """
    covers = covered(scene, atlas, size)
    nearer = torch.zeros(size, size, dtype=torch.bool)
    masks = torch.zeros_like(covers)
    for index in reversed(range(len(covers))):
        masks[index] = covers[index] & ~nearer
        nearer |= covers[index]
    return masks


def covered(scene: Scene, atlas: Atlas, size: int) -> Tensor:
    """Which pixels each asset covers at least half of, hidden or not: (assets, size, size) bool."""
    return torch.stack(
        [sprites[0, 3] >= 128 for _, sprites in _layers([scene], atlas, size, "cpu")]
    )


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
        sprites = dressed(level, rows, placements, device).float()
        down, across = _weights(placements, size, level.shape[-1], device)
        with torch.autocast(torch.device(device).type, enabled=False):
            drawn = ((down[:, None] @ sprites).round() @ across.transpose(1, 2)[:, None]).round()
        found.append((indices(members, device), drawn.to(torch.int32)))
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
    values = sent(torch.from_numpy(geometry), device)
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
    # A place has no colours: it is painted over white.
    named = [scene.background.colours or ("white",) for scene in scenes]
    ends = np.array([[PALETTE[names[0]], PALETTE[names[-1]]] for names in named], dtype=np.int64)
    # Rows go from the first colour to the second in whole numbers, rounded.
    row = np.arange(size)[None, :, None]
    mixed = (2 * (ends[:, :1] * (size - 1 - row) + ends[:, 1:] * row) + size - 1) // (
        2 * max(size - 1, 1)
    )
    colours = sent(torch.from_numpy(mixed.astype(np.int32).transpose(0, 2, 1).copy()), device)
    canvas = colours[..., None].repeat(1, 1, 1, size)
    rows = [row for row, scene in enumerate(scenes) if scene.background.kind == "place"]
    if rows:
        found = [scenes[row].background for row in rows]
        drawn = np.stack([draw_place(one.place, one.variant, size) for one in found])
        pixels = sent(torch.from_numpy(drawn), device)
        canvas[indices(rows, device)] = pixels.permute(0, 3, 1, 2).int()
    return canvas


def _masks(scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str) -> Tensor:
    """White where an asset is, black elsewhere."""
    canvas = _mask_canvas(scenes, _layers(scenes, atlas, size, device), size, device)
    return canvas.to(torch.uint8).expand(-1, 3, -1, -1)


def _mask_canvas(
    scenes: Sequence[Scene],
    layers: Sequence[tuple[Tensor, Tensor]],
    size: int,
    device: torch.device | str,
) -> Tensor:
    """(N, 1, size, size) int32."""
    canvas = torch.zeros(len(scenes), 1, size, size, dtype=torch.int32, device=device)
    for members, sprites in layers:
        alpha = sprites[:, 3:]
        canvas[members] = alpha + (canvas[members] * (255 - alpha) + 127) // 255
    return canvas


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
        canvas[indices(members, device)] |= covered[:, None]
    return (canvas * 255).to(torch.uint8).expand(-1, 3, -1, -1)


def asset_depths(scene: Scene) -> list[int]:
    """Brightness of each asset in the depth map, from the farthest to the nearest, rising.

    An asset is as near as its foot is low; a nearer layer is always brighter than a farther one.
    """
    depths: list[int] = []
    for asset in scene.placements:
        foot = min(max(asset.y + asset.scale / 2, 0.0), 1.0)
        depths.append(max(round(110 + 140 * foot), depths[-1] + 15 if depths else 0))
    # Where the brightest are cut off, they stay apart.
    count = len(depths)
    return [min(depth, 255 - 5 * (count - 1 - layer)) for layer, depth in enumerate(depths)]


def _depths(scenes: Sequence[Scene], atlas: Atlas, size: int, device: torch.device | str) -> Tensor:
    """Near is bright; the background is a ground that runs from the bottom of the frame away.

    It ends at the horizon of a place, above which all is far, or at the top of the frame.
    """
    canvas = _depth_canvas(scenes, _layers(scenes, atlas, size, device), size, device)
    return canvas.to(torch.uint8).expand(-1, 3, -1, -1)


def _depth_canvas(
    scenes: Sequence[Scene],
    layers: Sequence[tuple[Tensor, Tensor]],
    size: int,
    device: torch.device | str,
) -> Tensor:
    """(N, 1, size, size) int32."""
    horizon = indices([_horizon(scene, size) for scene in scenes], device)[:, None]
    below = (torch.arange(size, device=device) - horizon).clamp_(min=0)
    ground = (below * _GROUND // (size - 1 - horizon).clamp_(min=1)).int()
    canvas = ground[:, None, :, None].repeat(1, 1, 1, size)
    depths = [asset_depths(scene) for scene in scenes]
    for layer, (members, sprites) in enumerate(layers):
        own = [found[layer] for found in depths if len(found) > layer]
        near = indices(own, device).int()[:, None, None, None]
        alpha = sprites[:, 3:]
        canvas[members] = (near * alpha + canvas[members] * (255 - alpha) + 127) // 255
    return canvas


def _horizon(scene: Scene, size: int) -> int:
    """The row of pixels at which the ground begins, of 0 to `size`."""
    background = scene.background
    return round(place_of(background.place).ground * size) if background.kind == "place" else 0


def _shown(layers: Sequence[tuple[Tensor, Tensor]], like: Tensor) -> Tensor:
    """(N, 1, size, size) int32: the number of the asset that a pixel shows, 0 for the background.

    An asset is shown where it is the nearest that covers at least half of the pixel.
    """
    shown = torch.zeros_like(like[:, :1])
    for number, (members, sprites) in enumerate(layers, start=1):
        shown[members] = torch.where(sprites[:, 3:] >= 128, number, shown[members])
    return shown


_DRAW = {"image": _images, "mask": _masks, "depth": _depths, "region": _regions}
_CANVAS_OF_LINES = {
    "edge": _compose,
    "depth_edge": _depth_canvas,
    "mask_edge": _mask_canvas,
    "sketch": _compose,
}


def _lines(
    kind: str, pictures: Sequence[Picture], atlas: Atlas, size: int, device: torch.device | str
) -> Tensor:
    """Pictures of one of `LINE_KINDS`.

    Edges are where the canvas steps, and around every asset even where it has the background's
    colour. A depth map has no inner lines, but one where an asset stands before another; a mask has
    the outline of all assets together.
    """
    scenes = [picture.scene for picture in pictures]
    layers = _layers(scenes, atlas, 2 * size, device)
    canvas = _CANVAS_OF_LINES[kind](scenes, layers, 2 * size, device)
    shown = _shown(layers, canvas)
    if kind == "sketch":
        return sketch(canvas, shown, [picture.hand for picture in pictures])
    shown = shown.sign() if kind == "mask_edge" else shown
    return edge_map(canvas, shown, [picture.dilation for picture in pictures])
