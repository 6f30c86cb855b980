"""What lies behind: which of all backgrounds that the world has explains an image best."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from instruct_imagen.data.example import Background
from instruct_imagen.data.world.palette import PALETTE
from instruct_imagen.data.world.places import PLACES, VARIANTS, draw_place

SIDE = 32
"""Backgrounds are compared at so many pixels a side."""

TOLERANCE = 72.0
"""Distance in sRGB from which a pixel is not explained at all."""

_BORDER, _INNER = 3, 0.25  # pixels at the border count whole, those within so much


@dataclass(frozen=True, eq=False)
class Ground:
    """The background of an image.

    Attributes:
        best: Of all, what explains most of the image.
        costs: (backgrounds,) how little each explains, in [0, 1].
        pixels: (3, S, S) float32, the best one as it is in the image.
    """

    best: Background
    costs: Tensor
    pixels: Tensor


@lru_cache(maxsize=1)
def backgrounds() -> tuple[Background, ...]:
    """All that the world has: colours, gradients and every drawing of every place."""
    names = tuple(PALETTE)
    plain = [Background(kind="plain", colours=(name,)) for name in names]
    mixed = [Background(kind="gradient", colours=(a, b)) for a in names for b in names if a != b]
    places = [
        Background(kind="place", place=name, variant=variant)
        for name in PLACES
        for variant in range(VARIANTS)
    ]
    return (*plain, *mixed, *places)


def drawn(background: Background, size: int) -> Tensor:
    """Its pixels, (3, size, size) float32, as the renderer has them to 1 of 255."""
    if background.kind == "place":
        pixels = np.array(draw_place(background.place, background.variant, size))
        return torch.from_numpy(pixels).permute(2, 0, 1).float()
    first, last = (
        torch.tensor(PALETTE[name]).float()
        for name in (background.colours[0], background.colours[-1])
    )
    share = torch.arange(size) / max(size - 1, 1)
    rows = first[:, None] * (1 - share) + last[:, None] * share
    return rows.round()[:, :, None].expand(3, size, size).clone()


@lru_cache(maxsize=1)
def _all() -> Tensor:
    return torch.stack([drawn(one, SIDE) for one in backgrounds()])


@lru_cache(maxsize=1)
def _weights() -> Tensor:
    weights = torch.full((SIDE, SIDE), _INNER)
    weights[:_BORDER] = weights[-_BORDER:] = 1
    weights[:, :_BORDER] = weights[:, -_BORDER:] = 1
    return weights


def find_ground(image: Tensor, free: Tensor | None = None) -> Ground:
    """The background of an image.

    Args:
        image: (3, S, S) float32 in [0, 255].
        free: (S, S) bool, where no asset is known to be; None where nothing is known.
    """
    small = interpolate(image[None], (SIDE, SIDE), mode="area")[0]
    weights = _weights()
    if free is not None:
        share = interpolate(free[None, None].float(), (SIDE, SIDE), mode="area")[0, 0]
        if (share > 0.9).sum() >= 40:
            weights = weights * (share > 0.9)
    distance = (_all() - small).square().sum(1).sqrt()
    explained = (distance / TOLERANCE).clamp(max=1)
    costs = (explained * weights).sum((1, 2)) / weights.sum()
    best = backgrounds()[int(costs.argmin())]
    pixels = drawn(best, image.shape[-1])
    return Ground(best=best, costs=costs, pixels=_settled(image, pixels))


def _settled(image: Tensor, pixels: Tensor) -> Tensor:
    """The background moved to the image's own shade of it, by at most a little."""
    near = (image - pixels).square().sum(0).sqrt() < TOLERANCE / 2
    if near.sum() < 20:
        return pixels
    shift = (image - pixels)[:, near].median(1).values.clamp(-24, 24)
    return pixels + shift[:, None, None]


def cost_of(ground: Ground, wanted: Background, *, exact: bool) -> float:
    """How little the wanted background explains; of a place any drawing will do if not `exact`."""
    rows = [
        row
        for row, one in enumerate(backgrounds())
        if one == wanted or (not exact and wanted.kind == "place" and one.place == wanted.place)
    ]
    return float(ground.costs[rows].min())


def in_words(background: Background) -> str:
    """E.g. ``"a plain red background"``, ``"the place beach"``."""
    if background.kind == "place":
        return f"the place {background.place}"
    if background.kind == "plain":
        return f"a plain {background.colours[0]} background"
    return f"a background from {background.colours[0]} to {background.colours[1]}"
