"""Line drawings of rendered scenes: where edges are, how wide they are, and how a hand draws them.

All is found at twice the size of the picture, so that lines are crisp when reduced, and in integers
or in floats that hold whole numbers exactly: bytes do not depend on batch or device.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from instruct_imagen.devices import indices, sent

from .scenes import scene_rng

EDGE_THRESHOLD = 44
"""Colour difference of neighbours, of 255, from which there is an edge."""

LINE_SIZE = 32
"""The side of a picture at which a dilation of 1 is one pixel: the starter's training size."""

SKETCH_THRESHOLD = 72
"""Colour difference of neighbours from which a sketch has an inner line: only the strongest."""

_INK = 54  # darkening by each of the four fine pixels of a pixel: 255 - 4 · 54 is dark grey
_KNOTS = 6  # of the wobble, across the frame: one each five pixels of 32
_WOBBLE = 0.04  # the farthest that a line strays, of the frame's side: 1.3 pixels of 32
_GAP_KNOTS = 11
_OUTLINE_GAP, _INNER_GAP = 0.6, 0.55  # of the highest noise, from which the pen is lifted
_WINDOW = 9  # side, in half-pixels of 32, of the square in which lines are counted
_CROWDED = 2.6  # lines straight through that square, from which it is crowded
_LEVELS = 127  # noise at a knot is a whole number from -127 to 127
_SHARES = 64  # a knot's share in a pixel is a multiple of 1/64


def _steps_and_borders(
    canvas: Tensor, shown: Tensor, threshold: int, *, darkening: bool = False
) -> tuple[Tensor, Tensor]:
    """Where colours step, and where one asset ends and another thing begins.

    Args:
        canvas: (N, C, side, side) int32 in [0, 255].
        shown: (N, 1, side, side) int32, the number of what a pixel shows.
        threshold: The lowest step that is a line; of a soft border only its highest step is one.
        darkening: Only where it gets darker to the right or downwards: one side of each dark
            stroke.

    Returns:
        Two of (N, 1, side, side) bool; a pixel is one if it differs from that to its right or
        below it.
    """
    side = canvas.shape[-1]
    steps, borders = torch.zeros_like(shown, dtype=torch.bool), torch.zeros_like(shown).bool()
    before, after = slice(0, side - 1), slice(1, side)
    for axis in (-1, -2):
        change = _along(canvas, axis, after) - _along(canvas, axis, before)
        crest = _crest(change.abs().amax(dim=1, keepdim=True), axis, threshold)
        crossed = _along(shown, axis, after) != _along(shown, axis, before)
        if darkening:
            darker = change.sum(dim=1, keepdim=True) < 0
            crest, crossed = crest & darker, crossed & darker
        _along(steps, axis, before).logical_or_(crest)
        _along(borders, axis, before).logical_or_(crossed)
    return steps, borders


def _along(values: Tensor, axis: int, part: slice) -> Tensor:
    """A part of a picture's columns (axis -1) or rows (axis -2)."""
    return values[..., part] if axis == -1 else values[..., part, :]


def _crest(step: Tensor, axis: int, threshold: int) -> Tensor:
    """Where steps are high enough and highest among neighbours: a soft border is one line."""
    length = step.shape[axis]
    crest = step >= threshold
    inner, outer = slice(1, length), slice(0, length - 1)
    _along(crest, axis, inner).logical_and_(_along(step, axis, inner) >= _along(step, axis, outer))
    _along(crest, axis, outer).logical_and_(_along(step, axis, outer) > _along(step, axis, inner))
    return crest


def edge_map(canvas: Tensor, shown: Tensor, dilations: Sequence[int]) -> Tensor:
    """White lines on black, where `canvas` steps and around every asset.

    Args:
        canvas: (N, C, 2·size, 2·size) int32, what has edges: an image, a depth map or a mask.
        shown: (N, 1, 2·size, 2·size) int32, the number of the asset that a pixel shows.
        dilations: N of them: lines become wider by so many pixels at `LINE_SIZE`, half of it to
            each side. At other sizes by as large a share of the frame, in whole half-pixels to a
            side and at least one; lines that are not dilated have one pixel at every size.

    Returns:
        (N, 3, size, size) uint8, 0 or 255.
    """
    steps, borders = _steps_and_borders(canvas, shown, EDGE_THRESHOLD)
    lines = (steps | borders).float()
    size = lines.shape[-1] // 2
    found = torch.empty(len(lines), 1, size, size, device=lines.device)
    for dilation in sorted(set(dilations)):
        rows = [row for row, one in enumerate(dilations) if one == dilation]
        members = indices(rows, lines.device)
        found[members] = max_pool2d(_widened(lines[members], _radius(dilation, size)), 2)
    return (found * 255).to(torch.uint8).expand(-1, 3, -1, -1)


def _radius(dilation: int, size: int) -> int:
    """Half-pixels that a line grows to each side at this size."""
    return max((2 * dilation * size + LINE_SIZE) // (2 * LINE_SIZE), 1) if dilation else 0


def _widened(lines: Tensor, radius: int) -> Tensor:
    """Each pixel is a line if there is one in the square of so many pixels around it."""
    if not radius:
        return lines
    # Rows, then columns: the same, with far fewer comparisons.
    along = max_pool2d(lines, (1, 2 * radius + 1), stride=1, padding=(0, radius))
    return max_pool2d(along, (2 * radius + 1, 1), stride=1, padding=(radius, 0))


def _counted(lines: Tensor, window: int) -> Tensor:
    """How many of the pixels in the square of that side around each are a line."""
    reach = window // 2
    along = avg_pool2d(lines, (1, window), 1, (0, reach), divisor_override=1)
    return avg_pool2d(along, (window, 1), 1, (reach, 0), divisor_override=1)


def sketch(canvas: Tensor, shown: Tensor, seeds: Sequence[int]) -> Tensor:
    """A drawing as by hand: outlines and the strongest inner lines, unsteady and with gaps.

    Unlike an edge map it is dark on white, leaves weak lines out, lies only nearly over the image
    and is not closed. The same hand (seed) errs at the same places of the frame, whatever the size.

    Args:
        canvas: (N, 3, 2·size, 2·size) int32, the images.
        shown: (N, 1, 2·size, 2·size) int32, the number of the asset that a pixel shows.
        seeds: N of them, each of a hand.

    Returns:
        (N, 3, size, size) uint8.
    """
    side = canvas.shape[-1]
    outer, inner = _strokes(canvas, shown)
    # Of a dark stroke of the artwork a person draws one line, and not its two sides.
    once = _strokes(canvas, shown, darkening=True)
    window = 2 * (side * _WINDOW // (4 * LINE_SIZE)) + 1
    count = _counted((outer | inner).float(), window)
    crowded = count > _CROWDED * window
    outer &= ~crowded | once[0]
    inner &= ~crowded | once[1]
    wobble = _noise(seeds, 0, 2, _KNOTS, side, canvas.device)
    lift = _noise(seeds, 1, 1, _GAP_KNOTS, side, canvas.device)
    highest = _LEVELS * _SHARES * _SHARES
    drawn = outer & (lift < int(_OUTLINE_GAP * highest))
    drawn |= inner & (lift < int(_INNER_GAP * highest)) & (lift > -int(_INNER_GAP * highest))
    # A stroke is as wide as two half-pixels of 32, at any size.
    width = max(side // LINE_SIZE, 2)
    padded = torch.nn.functional.pad(drawn.float(), (0, width - 1, 0, width - 1))
    strokes = max_pool2d(padded, width, stride=1)
    moved = _moved(strokes, (wobble * int(_WOBBLE * 1000) * side) // (1000 * highest))
    dark = (avg_pool2d(moved, 2) * 4 * _INK).to(torch.int32)
    return (255 - dark).to(torch.uint8).expand(-1, 3, -1, -1)


def _strokes(canvas: Tensor, shown: Tensor, *, darkening: bool = False) -> tuple[Tensor, Tensor]:
    """Outlines, and the strongest inner lines apart from them, as `_steps_and_borders` has them."""
    steps, borders = _steps_and_borders(canvas, shown, SKETCH_THRESHOLD, darkening=darkening)
    apart = max(shown.shape[-1] // LINE_SIZE, 1)
    return borders, steps & (shown > 0) & ~_widened(borders.float(), apart).bool()


def _noise(
    seeds: Sequence[int],
    stream: int,
    channels: int,
    knots: int,
    side: int,
    device: torch.device | str,
) -> Tensor:
    """Smooth noise over the frame: (N, channels, side, side) int64, linear between knots.

    Values are within ± `_LEVELS` · `_SHARES`², and large ones are rare between knots.
    """
    drawn = [scene_rng(seed, stream).random((channels, knots, knots)) for seed in seeds]
    values = np.floor(np.stack(drawn) * (2 * _LEVELS + 1)) - _LEVELS
    # Float64 holds all sums of these whole numbers exactly.
    places = (np.arange(side) + 0.5) * (knots - 1) / side
    shares = 1 - np.abs(places[:, None] - np.arange(knots)).clip(max=1)
    right = np.floor(places).astype(int) + 1
    whole = np.floor(shares * _SHARES + 0.5)
    whole[np.arange(side), right] = 0
    whole[np.arange(side), right] = _SHARES - whole.sum(axis=1)
    weights = sent(torch.from_numpy(whole), device)
    with torch.autocast(torch.device(device).type, enabled=False):
        field = weights @ sent(torch.from_numpy(values), device) @ weights.T
    return field.to(torch.int64)


def _moved(strokes: Tensor, offsets: Tensor) -> Tensor:
    """Each pixel becomes that of its offset (rows, columns), or of the border it would cross."""
    side = strokes.shape[-1]
    places = torch.arange(side, device=strokes.device)
    rows = (places[:, None] + offsets[:, 0]).clamp_(0, side - 1)
    columns = (places + offsets[:, 1]).clamp_(0, side - 1)
    flat = (rows * side + columns).flatten(1)
    return strokes.flatten(1).gather(1, flat).view_as(strokes)
