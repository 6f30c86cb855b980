"""Sprites that are turned or tinted, in whole numbers: the same bytes on every device.

A tint maps luminance to a ramp from a dark shade of the colour over the colour to white, so that
outlines stay dark and highlights light. A turn samples the sprite bilinearly at places that are
found in integers from the constants below, so no mathematics library has a say; the turned drawing
is made smaller, so that it stays within its square.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from instruct_imagen.data.example import Placement
from instruct_imagen.devices import indices, sent

from .palette import PALETTE

_ONE = 1 << 14
_SINES = {0: 0, 15: 4240, 30: 8192, 45: 11585, 60: 14189, 75: 15826, 90: _ONE}
"""Sine · 2¹⁴ of so many degrees, rounded."""

_SHARES = 64  # of a sampled pixel, each way
# Luminance -> (share of the colour, share of white), of 255; the rest is black. Straight between.
_RAMP = (
    (0, 35, 0), (20, 60, 0), (60, 185, 0), (110, 235, 0), (150, 250, 5), (205, 225, 30),
    (238, 125, 130), (255, 0, 255),
)  # fmt: skip


def dressed(
    level: Tensor, rows: Sequence[int], placements: Sequence[Placement], device: torch.device | str
) -> Tensor:
    """The sprites of some assets, turned and tinted where these are.

    Each distinct look of a sprite is made once.

    Args:
        level: (rows, 4, side, side) uint8, all sprites.
        rows: M of them.
        placements: The M assets.
        device: Where `level` lies.

    Returns:
        (M, 4, side, side) uint8. A flipped asset's sprite is turned the other way, because it is
        mirrored after that.
    """
    sprites = level[indices(rows, device)]
    looks: dict[tuple[int, int, str], list[int]] = {}
    for place, (row, asset) in enumerate(zip(rows, placements, strict=True)):
        if asset.turn or asset.tint:
            turn = (-asset.turn if asset.flip else asset.turn) % 360
            looks.setdefault((row, turn, asset.tint), []).append(place)
    if not looks:
        return sprites
    keys = list(looks)
    made = level[indices([row for row, _, _ in keys], device)]
    for number, change in ((2, tinted), (1, turned)):
        chosen = [place for place, key in enumerate(keys) if key[number]]
        if chosen:
            members = indices(chosen, device)
            made[members] = change(made[members], [keys[place][number] for place in chosen])
    owners = [number for number, places in enumerate(looks.values()) for _ in places]
    everywhere = [place for places in looks.values() for place in places]
    sprites[indices(everywhere, device)] = made[indices(owners, device)]
    return sprites


def tinted(sprites: Tensor, tints: Sequence[str]) -> Tensor:
    """Sprites in shades of a colour each.

    Args:
        sprites: (K, 4, side, side) uint8, premultiplied.
        tints: K names of the palette.

    Returns:
        The same shape; alpha is as it was.
    """
    red, green, blue, alpha = sprites.int().unbind(1)
    light = (54 * red + 183 * green + 19 * blue) // 256
    straight = ((510 * light + alpha) // (2 * alpha).clamp(min=1)).clamp_(0, 255)
    ramps = sent(torch.cat([_ramp(tint) for tint in tints]), sprites.device)
    first = 256 * torch.arange(len(tints), device=sprites.device)[:, None, None]
    colours = ramps[straight + first].movedim(-1, 1)
    found = (colours * alpha[:, None] + 127) // 255
    return torch.cat([found, alpha[:, None]], dim=1).to(torch.uint8)


@lru_cache(maxsize=len(PALETTE))
def _ramp(tint: str) -> Tensor:
    """(256, 3) int32: the colour of each luminance."""
    colour = np.array(PALETTE[tint], np.int64)
    table = np.empty((256, 3), np.int64)
    for (low, *start), (high, *end) in pairwise(_RAMP):
        for light in range(low, high + 1):
            own, white = (
                (a * (high - light) + b * (light - low)) // (high - low)
                for a, b in zip(start, end, strict=True)
            )
            table[light] = (own * colour + white * 255 + 127) // 255
    return torch.from_numpy(table.clip(0, 255).astype(np.int32))


def turned(sprites: Tensor, turns: Sequence[int]) -> Tensor:
    """Sprites turned within their squares.

    Args:
        sprites: (K, 4, side, side) uint8, premultiplied.
        turns: K of degrees anticlockwise, multiples of 15.

    Returns:
        The same shape; transparent where a turned drawing is not.

    Raises:
        ValueError: One is another angle.
    """
    for turn in turns:
        if turn % 15:
            raise ValueError(f"turn={turn} must be a multiple of 15 degrees")
    side, device = sprites.shape[-1], sprites.device
    padded = torch.nn.functional.pad(sprites, (1, 2, 1, 2)).flatten(2).int()
    places = zip(*(_places(side, turn % 360) for turn in turns), strict=True)
    corner, down, across = (sent(torch.stack(part), device)[:, None] for part in places)
    corner = corner.expand(-1, 4, -1)

    def between(start: Tensor) -> Tensor:
        left, right = padded.gather(2, start), padded.gather(2, start + 1)
        return left * (_SHARES - across) + right * across

    summed = between(corner) * (_SHARES - down) + between(corner + side + 3) * down
    half = _SHARES * _SHARES // 2
    return ((summed + half) // (_SHARES * _SHARES)).to(torch.uint8).view_as(sprites)


@lru_cache(maxsize=48)
def _places(side: int, turn: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where each pixel of a turned sprite comes from.

    Returns:
        Three of (side · side,): index of the upper left one of the four pixels that it lies
        between, in a sprite with margins of one and two; shares of the lower and of the right
        ones, of `_SHARES`.
    """
    sine, cosine = _sine(turn), _sine(turn + 90)
    # Twice the distance from the centre, in pixels: whole numbers.
    from_centre = 2 * np.arange(side, dtype=np.int64) + 1 - side
    right, below = from_centre[None, :], from_centre[:, None]
    grown = abs(sine) + abs(cosine)
    # Rows grow downwards: turned anticlockwise, a pixel comes from the place turned clockwise.
    columns = cosine * right - sine * below
    rows = sine * right + cosine * below
    found = []
    for place in (rows, columns):
        # In 1/_SHARES of a pixel, from the centre of the margin's first one.
        fine = (place * grown * _SHARES + _ONE * _ONE) // (2 * _ONE * _ONE)
        fine = fine + (side - 1) * _SHARES // 2 + _SHARES
        found.append(fine.clip(0, (side + 1) * _SHARES))
    (top, down), (left, across) = (np.divmod(part, _SHARES) for part in found)
    corner = top * (side + 3) + left
    return (
        torch.from_numpy(corner.ravel()),
        torch.from_numpy(down.astype(np.int32).ravel()),
        torch.from_numpy(across.astype(np.int32).ravel()),
    )


def _sine(degrees: int) -> int:
    """Of 2¹⁴, for multiples of 15."""
    degrees %= 360
    if degrees >= 180:
        return -_sine(degrees - 180)
    return _SINES[min(degrees, 180 - degrees)]
