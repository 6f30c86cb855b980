"""One image looked at: its background, what stands out, and where the case's assets are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from instruct_imagen.data.example import Placement
from instruct_imagen.evaluation.case import Case

from .finder import Sighting, find
from .grounds import Ground, find_ground
from .regions import grown, standing_out
from .scene import Truth, truth_of

LARGEST = 64
"""Images are judged at so many pixels a side at most."""


@dataclass(frozen=True, eq=False)
class Look:
    """What is seen of an image.

    Attributes:
        case: Its case.
        image: (3, S, S) float32 in [0, 255].
        truth: What is right, at the same size.
        matches: What `drawings.match` has found, by asset.
        placements: What `drawings.placed` has found, by asset.
    """

    case: Case
    image: Tensor
    truth: Truth
    matches: dict[int, Any] = field(default_factory=dict, repr=False)
    placements: dict[int, Placement] = field(default_factory=dict, repr=False)

    @cached_property
    def ground(self) -> Ground:
        """Its background."""
        first = find_ground(self.image)
        free = ~grown(standing_out(self.image, first.pixels))
        return find_ground(self.image, free)

    @cached_property
    def mask(self) -> Tensor:
        """What stands out from it, (S, S) bool."""
        return standing_out(self.image, self.ground.pixels)

    @cached_property
    def sightings(self) -> list[Sighting]:
        """The best place of each asset of the target's scene, in its order."""
        return find(self.image, self.mask, self.truth)

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Kinds of the case's conditions."""
        return frozenset(one.kind for one in self.case.conditions)


def look_at(case: Case, image: np.ndarray) -> Look:
    """Look at an image.

    Args:
        case: Of the starter world.
        image: uint8 (H, W, 3).

    Raises:
        EvaluationError: The case has no ground truth, or its artwork is not there.
    """
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    size = min(max(pixels.shape[1:]), LARGEST)
    if pixels.shape[1:] != (size, size):
        pixels = interpolate(pixels[None], (size, size), mode="area")[0]
    return Look(case, pixels, truth_of(case, size))


def area(mask: Tensor) -> float:
    """Share of the frame."""
    return float(mask.float().mean())


def gap(one: Tensor, other: Tensor, where: Tensor) -> float:
    """Mean difference of colours within a mask, of 255; 0 where it is empty."""
    if not where.any():
        return 0.0
    return float((one - other).abs().mean(0)[where].mean())


def pixels_in(square: tuple[float, float, float], size: int) -> Tensor:
    """The pixels of a square, (size, size) bool."""
    places = (torch.arange(size) + 0.5) / size
    x, y, side = square
    across, down = (places - x).abs() <= side / 2, (places - y).abs() <= side / 2
    return down[:, None] & across[None, :]
