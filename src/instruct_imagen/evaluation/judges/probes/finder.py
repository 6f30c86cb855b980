"""Finds the assets of a scene in an image: where each is, and how much it looks like itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from instruct_imagen.data.example import Placement

from .crops import Square, asset_square, crop
from .gallery import gallery_of
from .network import embed
from .regions import overlap, pieces, shared, shrunken, square_of
from .scene import Truth

SAME_PLACE = 0.5
"""Share of the smaller of two squares that both have, from which they are one place."""

_ALIKE = 0.8  # overlap of squares of which one is enough
_THERE = 12.0  # mean difference from the target, of 255, of an asset that is there
_MOST = 14  # places looked at in an image
_TILTS = (30, 60, 300, 330)
FACE_STYLE = "dicebear"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """The place in an image that is most like an asset.

    Attributes:
        asset: Which asset of the scene.
        square: Where.
        rank: How many other concepts the place is more like.
        nearest: The concept that it is most like.
        margin: Likeness to the asset's concept less that to the nearest other one.
        among: How many concepts it was compared with.
        styles: Style → likeness, of all that the gallery has.
        difference: Mean difference of colours from the target where the asset is, of 255.
    """

    asset: Placement
    square: Square
    rank: int
    nearest: str
    margin: float
    among: int
    styles: dict[str, float]
    difference: float


def name_of(asset: Placement) -> str:
    """What its gallery calls it: the person, of a face."""
    if asset.style.startswith(FACE_STYLE):
        person, number, *_ = asset.concept.split("-")
        return f"{person}-{number}"
    return asset.concept


def places_in(mask: Tensor, expected: Sequence[Square]) -> list[Square]:
    """Where assets may be: where they should be, each piece, and parts of pieces."""
    found = list(expected)
    size = mask.shape[-1]
    parts = pieces(mask)
    for part in parts[:4]:
        found.append(square_of(part))
    if parts:
        found.append(square_of(mask))
    if len(expected) > 1:
        for part in pieces(shrunken(mask, max(size // 32, 1)))[:4]:
            x, y, side = square_of(part)
            found.append((x, y, side + 2 * max(size // 32, 1) / size))
        for part in parts[:2]:
            found += _halves(part)
    kept: list[Square] = []
    for square in found:
        if square[2] > 0.08 and all(overlap(square, other) < _ALIKE for other in kept):
            kept.append(square)
    return kept[:_MOST]


def _halves(part: Tensor) -> list[Square]:
    """The halves of a piece, along its longer side."""
    rows, columns = (part.any(axis).nonzero().flatten() for axis in (1, 0))
    middle = int(rows[0] + rows[-1] + 1) // 2, int(columns[0] + columns[-1] + 1) // 2
    upright = len(rows) > len(columns)
    first, second = part.clone(), part.clone()
    if upright:
        first[middle[0] :], second[: middle[0]] = False, False
    else:
        first[:, middle[1] :], second[:, : middle[1]] = False, False
    return [square_of(half) for half in (first, second) if half.any()]


def turned_back(crops: Tensor, turn: int) -> Tensor:
    """Crops of what is turned by so many degrees anticlockwise, as it was drawn."""
    if not turn % 360:
        return crops
    angle = torch.tensor(turn * torch.pi / 180)
    cosine, sine = float(angle.cos()), float(angle.sin())
    matrix = torch.tensor([[cosine, sine, 0.0], [-sine, cosine, 0.0]])
    grid = affine_grid(matrix.expand(len(crops), 2, 3), list(crops.shape), align_corners=False)
    return grid_sample(crops, grid, "bilinear", "border", align_corners=False)


def find(image: Tensor, mask: Tensor, truth: Truth) -> list[Sighting]:
    """Each asset's best place, no place twice.

    Args:
        image: (3, S, S) float32 in [0, 255].
        mask: (S, S) bool, what stands out.
        truth: Of the case.
    """
    assets = truth.scene.placements
    expected = [asset_square(asset) for asset in assets]
    places = places_in(mask, expected)
    turns = sorted({0, *(t for asset in assets for t in _turns(asset))})
    crops = crop(image.expand(len(places), -1, -1, -1), places)
    own = [
        turned_back(crop(truth.alone(asset)[None], [square]), asset.turn)
        for asset, square in zip(assets, expected, strict=True)
    ]
    vectors = embed(torch.cat([*(turned_back(crops, turn) for turn in turns), *own]))
    count = len(places) * len(turns)
    seen = {head: one[:count] for head, one in vectors.items()}
    right = {head: one[count:] for head, one in vectors.items()}
    taken: list[Square] = []
    found: dict[int, Sighting] = {}
    gaps = [_difference(image, truth, index) for index in range(len(assets))]
    # Those that are where they should be come first: nothing else can have their places.
    for index in sorted(range(len(assets)), key=lambda i: (gaps[i] > _THERE, -assets[i].scale)):
        asset = assets[index]
        rows = [
            place + turns.index(turn) * len(places)
            for turn in {0, *_turns(asset)} & set(_turns(asset))
            for place in range(len(places))
            if overlap(places[place], expected[index]) >= _ALIKE
            or all(shared(places[place], other) < SAME_PLACE for other in taken)
        ] or list(range(len(places)))
        row, known = _best(asset, rows, seen, right["concept"][index])
        place = places[row % len(places)]
        taken.append(place)
        found[index] = _told(asset, place, known, seen["style"][row], gaps[index])
    return [found[index] for index in range(len(assets))]


def _turns(asset: Placement) -> tuple[int, ...]:
    """Turns under which an asset is looked for; any tilt will do where one is asked for."""
    return (asset.turn, *_TILTS) if asset.turn % 180 else (asset.turn,)


def _best(
    asset: Placement, rows: Sequence[int], seen: dict[str, Tensor], right: Tensor
) -> tuple[int, Tensor]:
    """Row, and likeness to all concepts, of the place most like the asset."""
    gallery, chosen = gallery_of(asset.style), seen["concept"][list(rows)]
    known = gallery.by_concept(chosen)
    very = chosen @ right
    if asset.concept not in gallery.concepts:
        best = int(very.argmax())
        return rows[best], known[best]
    column = gallery.concepts.index(asset.concept)
    # As it has to be there: tinted, tilted, half hidden.
    known[:, column] = torch.maximum(known[:, column], very)
    best = int((known[:, column] - _others(known, column)).argmax())
    return rows[best], known[best]


def _others(known: Tensor, column: int) -> Tensor:
    rest = known.clone()
    rest[:, column] = -2
    return rest.amax(1)


def _told(
    asset: Placement,
    square: Square,
    known: Tensor,
    style: Tensor,
    difference: float,
) -> Sighting:
    gallery = gallery_of(asset.style)
    column = gallery.concepts.index(asset.concept) if asset.concept in gallery.concepts else None
    others = known.clone()
    if column is not None:
        others[column] = -2
    nearest = int(others.argmax())
    own = float(known[column]) if column is not None else -1.0
    return Sighting(
        asset=asset,
        square=square,
        rank=int((others > own).sum()),
        nearest=gallery.concepts[nearest],
        margin=own - float(others[nearest]),
        among=len(gallery.concepts),
        styles=dict(zip(gallery.styles, (gallery.style_centres @ style).tolist(), strict=True)),
        difference=difference,
    )


def _difference(image: Tensor, truth: Truth, index: int) -> float:
    """From the target, where the asset is seen in it."""
    visible = truth.covers[index]
    for nearer in truth.covers[index + 1 :]:
        visible = visible & ~nearer
    gap = (image - truth.pixels).abs().mean(0)[visible]
    return float(gap.mean()) if len(gap) else 255.0
