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
from instruct_imagen.data.world.render import render_pictures

from .crops import asset_square
from .finder import FACE_STYLE
from .grounds import drawn
from .look import Look, pixels_in
from .placing import fitted
from .sprites import concepts, small_atlas

EXACT = 12.0
"""Mean difference from the target, of 255, up to which an asset is where it is there."""

_AS_GOOD = 0.05  # share of a drawing by which a place must be better than the planned one
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
    asset = look.truth.scene.placements[index]
    if asset.style not in concepts(asset.style).get(asset.concept, ()):
        return None
    placed(look, index)
    if index not in look.matches:
        look.matches[index] = _match(look, index, _among(look, index))
    return look.matches[index]


def placed(look: Look, index: int) -> Placement:
    """An asset as it lies in an image: as planned, unless it is found to lie elsewhere."""
    if index not in look.placements:
        sighting = look.sightings[index]
        asset = sighting.asset
        chosen = asset
        if sighting.difference > EXACT:
            moved = fitted(look, asset, sighting.square)
            # In whatever style it is drawn there.
            here, there = (
                max(_match(look, index, _exact_others(look, index, one)).shown.values())
                for one in (asset, moved)
            )
            chosen = asset if here >= there - _AS_GOOD else moved
        look.placements[index] = chosen
    return look.placements[index]


def _match(look: Look, index: int, lie: Sequence[Placement | None]) -> Match:
    """With assets lying so."""
    asset = look.truth.scene.placements[index]
    styles = concepts(asset.style).get(asset.concept, ()) if not _is_face(asset) else ()
    styles = styles if asset.style in styles else (asset.style,)
    candidates = [
        replace(asset, style=style, flip=flip) for style in styles for flip in (False, True)
    ]
    away, contrast = _distances(look, index, candidates, look.truth.size, lie)
    rows = torch.arange(len(styles)) * 2 + away.view(-1, 2).argmin(1)
    shown = 1 - away[rows] / contrast[rows].clamp(min=1.0)
    return Match(
        away=dict(zip(styles, away[rows].tolist(), strict=True)),
        shown=dict(zip(styles, shown.tolist(), strict=True)),
    )


def _is_face(asset: Placement) -> bool:
    return asset.style.startswith(FACE_STYLE)


def _exact_others(look: Look, index: int, asset: Placement) -> list[Placement | None]:
    """An asset as it may lie, with those others that are where they should be."""
    return [
        asset if number == index else one.asset if one.difference <= EXACT else None
        for number, one in enumerate(look.sightings)
    ]


def _among(look: Look, index: int) -> list[Placement | None]:
    """All assets as they lie."""
    return [placed(look, number) for number in range(len(look.sightings))]


def distances(
    look: Look, index: int, candidates: Sequence[Placement], size: int
) -> tuple[Tensor, Tensor]:
    """How far the image is from each candidate, put where an asset lies in it.

    Args:
        look: At the image.
        index: Of the asset in the target's scene.
        candidates: In its stead, as they were planned for its place in the target.
        size: Pixels of a side at which they are compared; at most the image's.

    Returns:
        Two of (candidates,) float32, mean differences of colours of 255: of the image from each,
        and of each from the bare background.
    """
    return _distances(look, index, candidates, size, _among(look, index))


def _distances(
    look: Look,
    index: int,
    candidates: Sequence[Placement],
    size: int,
    lie: Sequence[Placement | None],
) -> tuple[Tensor, Tensor]:
    """See `distances`; `lie` is where the scene's assets lie, None for one that is left out."""
    own = look.truth.scene.placements[index]
    there = lie[index] or own
    turned = there.flip != own.flip
    scenes = [
        _scene(
            look,
            index,
            lie,
            replace(
                one,
                x=there.x,
                y=there.y,
                scale=one.scale * there.scale / own.scale,
                flip=one.flip != turned,
            ),
        )
        for one in candidates
    ]
    pairs = sorted({(p.concept, p.style) for each in scenes for p in each.placements})
    pictures = [Picture(scene=each) for each in scenes]
    rendered = render_pictures(pictures, small_atlas(pairs), size).float()
    image, settled = look.image, look.ground.pixels
    if image.shape[-1] != size:
        image = interpolate(image[None], (size, size), mode="area")[0]
        settled = interpolate(settled[None], (size, size), mode="area")[0]
    # The image's own shade of the background is no difference between drawings.
    rendered = rendered + (settled - drawn(look.ground.best, size))
    x, y, side = asset_square(there)
    where = pixels_in((x, y, side * _WIDER), size)
    rows, columns = (where.any(axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return torch.full((len(candidates),), 255.0), torch.ones(len(candidates))
    down, across = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part, bare = image[:, down, across], settled[:, down, across]
    best = torch.full((len(candidates),), 255.0)
    padded = torch.nn.functional.pad(rendered, (1, 1, 1, 1), mode="replicate")
    for lower, right in _SHIFTS:
        top, left = int(rows[0]) + 1 + lower, int(columns[0]) + 1 + right
        moved = padded[:, :, top : top + part.shape[1], left : left + part.shape[2]]
        best = torch.minimum(best, (moved - part).abs().mean((1, 2, 3)))
    return best, (rendered[:, :, down, across] - bare).abs().mean((1, 2, 3))


def _scene(look: Look, index: int, lie: Sequence[Placement | None], asset: Placement) -> Scene:
    """The assets as they lie, of which one is another; others of its style follow that one's."""
    own = look.truth.scene.placements[index]
    shown = []
    for number, one in enumerate(lie):
        if number == index:
            shown.append(asset)
        elif one is not None:
            known = concepts(one.style).get(one.concept, ()) if not _is_face(one) else ()
            follows = one.style == own.style and asset.style in known
            shown.append(replace(one, style=asset.style) if follows else one)
    return Scene(background=look.ground.best, placements=tuple(shown))
