"""Where exactly a drawing lies in an image: all places and some sizes are tried, by correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from instruct_imagen.data.example import Background, Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.palette import PALETTE
from instruct_imagen.data.world.render import render_pictures

from .crops import Square, asset_square
from .look import Look

_TIMES = (0.8, 0.9, 1.0, 1.1, 1.25)
_LARGEST = 0.99
_REACH = 0.35  # of the place's side: how far from its middle the middle of the drawing may be


def fitted(look: Look, asset: Placement, square: Square) -> Placement:
    """An asset where it lies in an image, near a place where it was sighted.

    Its place, size and side are those that explain most of what no background explains.
    """
    fill = asset_square(asset)[2] / asset.scale
    scales = {asset.scale, square[2] / fill}
    tried = [
        replace(asset, x=0.5, y=0.5, scale=min(scale * times, _LARGEST), flip=flip)
        for scale in sorted(scales)
        for times in _TIMES
        for flip in (asset.flip, not asset.flip)
    ]
    colours, alpha = _layers(tried, look.truth.atlas, look.truth.size)
    gain = _gains(look.image, look.ground.pixels, colours, alpha)
    size = look.truth.size
    places = (torch.arange(size) - size // 2) / size + 0.5
    near = [(places - middle).abs() <= max(_REACH * square[2], 1 / size) for middle in square[:2]]
    allowed = near[1][:, None] & near[0][None, :]
    best = int(gain.masked_fill(~allowed, -torch.inf).argmax())
    which, row, column = best // size**2, best // size % size, best % size
    return replace(tried[which], x=float(places[column]), y=float(places[row]))


def _layers(tried: Sequence[Placement], atlas: Atlas, size: int) -> tuple[Tensor, Tensor]:
    """Premultiplied colours (N, 3, size, size) and alpha (N, 1, size, size) in [0, 1]."""
    ends = []
    for name in ("white", "black"):
        background = Background(kind="plain", colours=(name,))
        pictures = [Picture(scene=Scene(background=background, placements=(p,))) for p in tried]
        ends.append(render_pictures(pictures, atlas, size).float())
    white, black = (
        torch.tensor(PALETTE[name]).float()[:, None, None] for name in ("white", "black")
    )
    clear = ((ends[0] - ends[1]) / (white - black)).mean(1, keepdim=True).clamp(0, 1)
    return ends[1] - clear * black, 1 - clear


def _gains(image: Tensor, ground: Tensor, colours: Tensor, alpha: Tensor) -> Tensor:
    """By how much a drawing at each place lessens the squared difference from the background.

    Returns:
        (N, size, size): with the drawing's middle moved to that pixel.
    """
    rest = image - ground
    over = _correlated(rest[None], colours) - _correlated((rest * ground).sum(0)[None, None], alpha)
    own = (
        colours.square().sum((1, 2, 3))[:, None, None]
        - 2 * _correlated(ground[None], colours * alpha)
        + _correlated(ground.square().sum(0)[None, None], alpha.square())
    )
    return 2 * over - own


def _correlated(image: Tensor, drawn: Tensor) -> Tensor:
    """Sums of products for every move of a drawing, zero outside: (N, size, size)."""
    size = image.shape[-1]
    wide = (2 * size, 2 * size)
    product = torch.fft.rfft2(image, wide) * torch.fft.rfft2(drawn, wide).conj()
    moves = torch.fft.irfft2(product.sum(1), wide)
    half = size // 2
    return moves.roll((half, half), (1, 2))[:, :size, :size]
