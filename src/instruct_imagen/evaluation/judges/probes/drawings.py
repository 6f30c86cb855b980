"""Comparing a place in an image with drawings put there: which style, which person, which colour.

The probes tell what is shown. Which of a few known drawings of it is there, pixels tell better:
each is rendered at the place on the background that was found, and shifted a little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from instruct_imagen.data.example import Picture, Placement, Scene
from instruct_imagen.data.world.render import covered, render_pictures

from .crops import Square, asset_square
from .grounds import drawn
from .look import Look, pixels_in
from .regions import overlap, square_of
from .sprites import concepts, small_atlas

_AT_PLACE = 0.75  # overlap with the expected square, from which it is the expected place
_SHIFTS = tuple((down, across) for down in (-1, 0, 1) for across in (-1, 0, 1))
_WIDER = 1.1


@dataclass(frozen=True, kw_only=True)
class Match:
    """How near an image is to the drawings of a concept, each put where it was found.

    Attributes:
        away: Style → mean difference of colours, of 255.
        shown: Style → share of the drawing that the image has: 1 is all of it; 0 or less is no
            more than the bare background has.
    """

    away: Mapping[str, float]
    shown: Mapping[str, float]


def match(look: Look, index: int) -> Match | None:
    """Of an asset's place, with every style's drawing of its concept, facing either side.

    Returns:
        None where the world does not know the concept.
    """
    sighting = look.sightings[index]
    asset = sighting.asset
    styles = concepts(asset.style).get(asset.concept, ())
    if asset.style not in styles:
        return None
    if index not in look.matches:
        candidates = [
            replace(asset, style=style, flip=flip) for style in styles for flip in (False, True)
        ]
        size = look.truth.size
        away, contrast = distances(look, index, sighting.square, candidates, size)
        nearer = away.view(-1, 2).argmin(1)
        rows = torch.arange(len(styles)) * 2 + nearer
        shown = 1 - away[rows] / contrast[rows].clamp(min=1.0)
        look.matches[index] = Match(
            away=dict(zip(styles, away[rows].tolist(), strict=True)),
            shown=dict(zip(styles, shown.tolist(), strict=True)),
        )
    return look.matches[index]


def put_at(asset: Placement, planned: Square, square: Square) -> Placement:
    """An asset that fills `planned`, so that it fills `square`."""
    x, y, side = square
    times = side / planned[2]
    return replace(
        asset,
        x=x + (asset.x - planned[0]) * times,
        y=y + (asset.y - planned[1]) * times,
        scale=asset.scale * times,
    )


def distances(
    look: Look, index: int, square: Square, candidates: Sequence[Placement], size: int
) -> tuple[Tensor, Tensor]:
    """How far the image is from each candidate, put at the place of an asset.

    Args:
        look: At the image.
        index: Of the asset in the target's scene.
        square: Where it was found.
        candidates: In its stead, planned for the target's scene.
        size: Pixels of a side at which they are compared; at most the image's.

    Returns:
        Two of (candidates,) float32, mean differences of colours of 255: of the image from each,
        and of each from the bare background.
    """
    scenes = _scenes(look, index, square, candidates)
    pairs = sorted({(p.concept, p.style) for each in scenes for p in each.placements})
    pictures = [Picture(scene=each) for each in scenes]
    rendered = render_pictures(pictures, small_atlas(pairs), size).float()
    image, settled = look.image, look.ground.pixels
    if image.shape[-1] != size:
        image = interpolate(image[None], (size, size), mode="area")[0]
        settled = interpolate(settled[None], (size, size), mode="area")[0]
    # The image's own shade of the background is no difference between drawings.
    rendered = rendered + (settled - drawn(look.ground.best, size))
    x, y, side = square
    where = pixels_in((x, y, side * _WIDER), size)
    rows, columns = (where.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return torch.full((len(candidates),), 255.0), torch.ones(len(candidates))
    part = image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    best = torch.full((len(candidates),), 255.0)
    padded = torch.nn.functional.pad(rendered, (1, 1, 1, 1), mode="replicate")
    for down, across in _SHIFTS:
        top, left = int(rows[0]) + 1 + down, int(columns[0]) + 1 + across
        moved = padded[:, :, top : top + part.shape[1], left : left + part.shape[2]]
        best = torch.minimum(best, (moved - part).abs().mean((1, 2, 3)))
    bare = settled[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = int(rows[0]), int(columns[0])
    alone = rendered[:, :, top : top + part.shape[1], left : left + part.shape[2]]
    return best, (alone - bare).abs().mean((1, 2, 3))


def _scenes(look: Look, index: int, square: Square, candidates: Sequence[Placement]) -> list[Scene]:
    """Each candidate on the image's background: among the others where it is at its place."""
    scene, background = look.truth.scene, look.ground.best
    own, cover = scene.placements[index], look.truth.covers[index]
    filled = square_of(cover) if cover.any() else asset_square(own)
    if max(overlap(one, square) for one in (filled, asset_square(own))) >= _AT_PLACE:
        return [
            Scene(background=background, placements=_among(scene, index, one)) for one in candidates
        ]
    pairs = sorted({(one.concept, one.style) for one in candidates})
    together = Scene(background=background, placements=tuple(candidates))
    covers = covered(together, small_atlas(pairs), look.truth.size)
    return [
        Scene(
            background=background,
            placements=(put_at(one, square_of(mask) if mask.any() else filled, square),),
        )
        for one, mask in zip(candidates, covers, strict=True)
    ]


def _among(scene: Scene, index: int, asset: Placement) -> tuple[Placement, ...]:
    """The assets of a scene, of which one is another; others of its style follow that one's."""
    own = scene.placements[index]
    if asset.style == own.style:
        rest = list(scene.placements)
    else:
        rest = [
            replace(one, style=asset.style)
            if one.style == own.style and asset.style in concepts(one.style).get(one.concept, ())
            else one
            for one in scene.placements
        ]
    rest[index] = asset
    return tuple(rest)
