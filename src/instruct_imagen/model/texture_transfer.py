"""Details that references lend to a small picture: matched where both are small, taken where large.

For each pixel of the small picture the most similar place of a reference is looked for, that is
shrunk as the picture was; what the reference has there beyond its own small version is what may be
missing here. So matched textures enter an upscaler as by Zhang et al. (2019, "Image
Super-Resolution by Neural Texture Transfer"), on pixels in place of features. Nothing in it is
learnt, and it is computed once a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import fold, interpolate, pad, unfold

from instruct_imagen.model.unet import ReferenceBatch

SCALES = tuple(2 ** (step / 4) for step in (0, 1, -1, -2, -3, -4, -5, -6, -7, -8))
"""Sizes at which a reference is looked through, as shares of its own.

A subject stands in a scene as large as in its reference, or down to a quarter of that; matches of
another size than the true one by a tenth lend details that are off by less than a pixel."""

_RADIUS = 2  # of compared neighbourhoods, in pixels of the small picture

UNLIKE = 0.1
"""Difference at which a match is trusted by 1/e: the squared distance of colours in [-1, 1]³.

The best of several for subjects in true small pictures, and for drafts of a base model, without any
network (docs/log.md)."""

OWN_PLACE = 0.003
"""What a place may differ more than others and still be preferred, where it is the same place:
a thirtieth of `UNLIKE`, so that it decides between near equals alone."""

_AT_ONCE = 2**24  # compared pairs: 64 MiB


@dataclass(frozen=True, kw_only=True)
class _Lender:
    """A reference at one scale.

    Attributes:
        keys: (side², D) neighbourhoods of its small version.
        windows: (side, side, C, W, W) a view of its details around each of those pixels.
        own_place: Whether its pixels are at the places of the small picture's.
    """

    keys: Tensor
    windows: Tensor
    own_place: bool


@torch.no_grad()
def transferred(small: Tensor, references: ReferenceBatch, size: int) -> Tensor:
    """What the references may add to small pictures, once these are enlarged.

    Args:
        small: (B, C, low, low) floating point in [-1, 1]; `size` is a multiple of low.
        references: Of the B samples, (R, C, size, size). Layouts lend nothing, see `lends` there.
        size: Side of the large pictures in pixels.

    Returns:
        (B, C, size, size) float32, to be added to the enlarged pictures: 0 where nothing is alike,
        and where a sample has no references.
    """
    batch, channels, low, _ = small.shape
    details = small.new_zeros(batch, channels, size, size, dtype=torch.float32)
    with torch.autocast(small.device.type, enabled=False):
        shown: list[list[int]] = [[] for _ in range(batch)]
        lends = references.lends
        chosen = slice(None) if lends is None else lends
        of_sample, of_reference = references.sample[chosen], references.reference[chosen]
        for sample, reference in zip(of_sample.tolist(), of_reference.tolist(), strict=True):
            shown[sample].append(reference)
        for sample, seen in enumerate(shown):  # one after the other: lenders are large
            images = (references.images[one][None].float() for one in seen)
            lenders = [lender for image in images for lender in _lenders(image, low)]
            if lenders:
                details[sample] = _lent(small[sample : sample + 1].float(), lenders, size)
    return details


def _lenders(image: Tensor, low: int) -> Iterator[_Lender]:
    """A reference, (1, C, S, S), at all scales."""
    size = image.shape[-1]
    factor = size // low
    half = factor // 2
    for side in dict.fromkeys(max(round(low * scale), 1) for scale in SCALES):
        mode = "area" if side < low else "bicubic"
        scaled = image if side == low else interpolate(image, size=(side * factor,) * 2, mode=mode)
        small = interpolate(scaled, size=(side, side), mode="area")
        rough = interpolate(small, size=scaled.shape[-2:], mode="bicubic").clamp(-1, 1)
        lacking = pad(scaled - rough, (half,) * 4)[0]
        width = factor + 2 * half
        windows = lacking.unfold(1, width, factor).unfold(2, width, factor).permute(1, 2, 0, 3, 4)
        yield _Lender(keys=_neighbourhoods(small), windows=windows, own_place=side == low)


def _neighbourhoods(small: Tensor) -> Tensor:
    """(side², D) of a picture (1, C, side, side): squared distances are those of mean colours."""
    reach = torch.arange(-_RADIUS, _RADIUS + 1, device=small.device).float()
    bell = torch.exp(-reach.square() / 2)
    weights = torch.outer(bell, bell).flatten()
    weights = (weights / weights.sum()).sqrt().repeat(small.shape[1])
    padded = pad(small, (_RADIUS,) * 4, mode="replicate")
    return (unfold(padded, 2 * _RADIUS + 1)[0] * weights[:, None]).T.contiguous()


def _lent(small: Tensor, lenders: list[_Lender], size: int) -> Tensor:
    """Details for one small picture, (1, C, low, low): (C, size, size)."""
    low = small.shape[-1]
    wanted = _neighbourhoods(small)
    places = torch.arange(low * low, device=small.device)
    least = torch.full((low * low,), math.inf, device=small.device)
    found = torch.zeros_like(places)
    lender_of = torch.zeros_like(places)
    for number, lender in enumerate(lenders):
        apart, place = _nearest(wanted, lender, places)
        better = apart < least
        least = torch.where(better, apart, least)
        found = torch.where(better, place, found)
        lender_of = torch.where(better, number, lender_of)
    shape = lenders[0].windows.shape[2:]
    width = shape[-1]
    taken = small.new_zeros(low * low, *shape)
    order = lender_of.argsort()
    counts = lender_of.bincount(minlength=len(lenders)).tolist()  # an accelerator is asked once
    for lender, rows in zip(lenders, order.split(counts), strict=True):
        side = len(lender.windows)
        taken[rows] = lender.windows[found[rows] // side, found[rows] % side]
    trust = torch.exp(-least.clamp(min=0) / UNLIKE)
    angles = torch.pi * (torch.arange(width, device=small.device) + 0.5) / width
    window = torch.outer(angles.sin(), angles.sin()).square()
    weighted = taken * window * trust[:, None, None, None]
    added = _overlapped(weighted.flatten(1), size, low)
    weights = _overlapped(window.flatten().expand(low * low, -1), size, low)
    return added / weights


def _nearest(wanted: Tensor, lender: _Lender, places: Tensor) -> tuple[Tensor, Tensor]:
    """Distance and number of the most similar place for each of N neighbourhoods: (N,) both."""
    keys = lender.keys
    own = keys.square().sum(1)
    rows = max(_AT_ONCE // len(keys), 1)
    apart, nearest = [], []
    for start in range(0, len(wanted), rows):
        part = wanted[start : start + rows]
        distances = torch.addmm(own[None], part, keys.T, alpha=-2)
        if lender.own_place:
            here = torch.arange(len(part), device=places.device)
            distances[here, places[start : start + rows]] -= OWN_PLACE
        least, place = distances.min(dim=1)
        apart.append(least + part.square().sum(1))
        nearest.append(place)
    return torch.cat(apart), torch.cat(nearest)


def _overlapped(windows: Tensor, size: int, low: int) -> Tensor:
    """Sums windows of D numbers around each of low² pixels: (D / width², size, size)."""
    factor = size // low
    half = factor // 2
    width = factor + 2 * half
    whole = fold(windows.T[None], size + 2 * half, width, stride=factor)[0]
    return whole[:, half : half + size, half : half + size]
