"""Where things are: what stands out from the background, in pieces, and the lines of a picture."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from .crops import Square

STANDS_OUT = 34.0
"""Distance in sRGB from the background from which a pixel belongs to something."""

SMALLEST = 0.012
"""Share of the frame from which a piece counts."""

LINE = 40.0
"""Colour difference of neighbours, of 255, from which there is a line."""


def standing_out(image: Tensor, ground: Tensor) -> Tensor:
    """Pixels that are not background, holes filled: (S, S) bool.

    Args:
        image: (3, S, S) float32 in [0, 255].
        ground: (3, S, S) float32, its background.
    """
    distance = (image - ground).square().sum(0).sqrt()
    smooth = avg_pool2d(distance[None, None], 3, 1, 1, count_include_pad=False)[0, 0]
    found = (distance > STANDS_OUT) & (smooth > STANDS_OUT / 2)
    return filled(found)


def filled(mask: Tensor) -> Tensor:
    """With all holes that the border of the frame does not reach."""
    return torch.from_numpy(ndimage.binary_fill_holes(mask.numpy()))


def grown(mask: Tensor, pixels: int = 1) -> Tensor:
    """With all that is at most so many pixels away."""
    if pixels < 1:
        return mask
    side = 2 * pixels + 1
    return max_pool2d(mask[None].float(), side, 1, pixels)[0] > 0


def shrunken(mask: Tensor, pixels: int = 1) -> Tensor:
    """Without what is at most so many pixels from its border."""
    return ~grown(~mask, pixels)


def pieces(mask: Tensor) -> list[Tensor]:
    """Connected parts of `SMALLEST` or more, the largest first: (S, S) bool each."""
    names, count = ndimage.label(mask.numpy(), structure=np.ones((3, 3)))
    areas = np.bincount(names.ravel(), minlength=count + 1)[1:]
    kept = [n for n in np.argsort(-areas) if areas[n] >= SMALLEST * mask.numel()]
    return [torch.from_numpy(names == n + 1) for n in kept]


def square_of(mask: Tensor) -> Square:
    """The square around what a mask has, in fractions of the frame."""
    size = mask.shape[-1]
    rows, columns = (mask.any(axis).nonzero().flatten() for axis in (1, 0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    side = max(bottom - top, right - left)
    return (left + right) / 2 / size, (top + bottom) / 2 / size, side / size


def _common(one: Square, other: Square) -> float:
    across, down = (
        max(min(one[i] + one[2] / 2, other[i] + other[2] / 2)
            - max(one[i] - one[2] / 2, other[i] - other[2] / 2), 0.0)
        for i in (0, 1)
    )  # fmt: skip
    return across * down


def overlap(one: Square, other: Square) -> float:
    """Intersection over union of two squares."""
    both = _common(one, other)
    return both / max(one[2] ** 2 + other[2] ** 2 - both, 1e-9)


def shared(one: Square, other: Square) -> float:
    """Share of the smaller of two squares that the other one has too."""
    return _common(one, other) / max(min(one[2], other[2]) ** 2, 1e-9)


def iou(one: Tensor, other: Tensor) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 1.0


def lines(image: Tensor) -> Tensor:
    """Where colours step most, (S, S) bool: the same for what is judged and for what is right."""
    size = image.shape[-1]
    found = torch.zeros(size, size, dtype=torch.bool)
    for axis in (-1, -2):
        step = image.diff(dim=axis).abs().amax(0)
        length = step.shape[axis]
        crest = step >= LINE
        first, last = step.narrow(axis, 0, length - 1), step.narrow(axis, 1, length - 1)
        crest.narrow(axis, 1, length - 1).logical_and_(last >= first)
        crest.narrow(axis, 0, length - 1).logical_and_(first > last)
        found.narrow(axis, 0, length).logical_or_(crest)
    return found


def agreement(one: Tensor, other: Tensor, reach: int = 1) -> float:
    """F1 of two maps of lines; those at most `reach` pixels apart agree."""
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    precision = float((one & grown(other, reach)).sum()) / float(one.sum())
    recall = float((other & grown(one, reach)).sum()) / float(other.sum())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def slopes(image: Tensor) -> Tensor:
    """How steep colours are, a little smoothed: (S, S) float32."""
    padded = torch.nn.functional.pad(image[None], (0, 1, 0, 1), mode="replicate")[0]
    right = (padded[:, :-1, 1:] - padded[:, :-1, :-1]).abs().amax(0)
    below = (padded[:, 1:, :-1] - padded[:, :-1, :-1]).abs().amax(0)
    steep = torch.maximum(right, below).clamp(max=120)
    return avg_pool2d(steep[None, None], 3, 1, 1, count_include_pad=False)[0, 0]


def likeness(one: Tensor, other: Tensor) -> float:
    """Correlation of two maps, in [-1, 1]."""
    a, b = one - one.mean(), other - other.mean()
    return float((a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-6))
