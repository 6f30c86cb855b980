"""Changes of scenes that a person sees at once: one thing is clearly other, all else is as it was.

Each is a function of scenes alone; `Props` knows what there is to draw, and what can be told apart.
A change that cannot be made clear is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

import numpy as np

from instruct_imagen.data.example import Background, Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas, halve
from instruct_imagen.data.world.layouts import arrange, grounded
from instruct_imagen.data.world.measures import measure
from instruct_imagen.data.world.palette import DARK_COLOURS, DARK_INK_STYLES, PALETTE
from instruct_imagen.data.world.places import place_of
from instruct_imagen.data.world.relations import Relation, box_of, relations
from instruct_imagen.data.world.render import covered, instance_masks, render_pictures
from instruct_imagen.data.world.scenes import (
    can_be_tinted,
    caption_name,
    sample_background,
    takes_flip,
    tints_against,
)
from instruct_imagen.data.world.vocabulary import Vocabulary

FAR_COLOUR = 150.0
"""Distance in sRGB of colours that nobody takes for each other."""

FAR_SPRITE = 46.0
"""Root of the mean squared difference, of 255, of two drawings that differ clearly."""

LEAST_IOU = 0.3
"""So little of what they cover at most do assets share with themselves in another layout."""

CLEAR_STEP, CLEAR_SHARE = 48, 0.04
"""A change is clear where so large a share of the pixels has a channel that differs by so much."""

SEEN_SHARE = 0.6
"""Of an asset, so much differs clearly from its background."""

LOOKS: Mapping[str, str] = MappingProxyType(
    {
        "fluent-emoji-high-contrast": "ink",
        "emojione-monotone": "ink",
        "outline": "ink",
        "openmoji": "outlined",
        "photograph": "photographic",
    }
)
"""Styles that nobody takes for those of another look, at 32 pixels; all others are coloured areas
without outlines, whose names a person could not tell from one picture of another thing."""

_TRIES = 80
_SIDE = 32  # pixels at which a change has to be clear
_SMALL = 16  # of sprites that are compared


@dataclass(frozen=True, kw_only=True, eq=False)
class Props:
    """What changes can draw from.

    Attributes:
        vocabulary: Concepts and styles.
        atlas: Has every sprite of it, faces too.
    """

    vocabulary: Vocabulary
    atlas: Atlas

    @cached_property
    def _seen(self) -> dict[tuple[str, str], np.ndarray]:
        return {}

    def look(self, concept: str, style: str) -> np.ndarray:
        """A drawing on grey at 16 pixels, (3, 16, 16) floats."""
        key = concept, style
        if key not in self._seen:
            sprite = self.atlas.sprites[self.atlas.row(concept, style)]
            while sprite.shape[-1] > _SMALL:
                sprite = halve(sprite)
            sprite = sprite.astype(np.float64)
            self._seen[key] = sprite[:3] + 128.0 * (1 - sprite[3:] / 255)
        return self._seen[key]

    def unlike(self, one: tuple[str, str], other: tuple[str, str]) -> float:
        """Root of the mean squared difference of two drawings, of 255."""
        return float(np.sqrt(((self.look(*one) - self.look(*other)) ** 2).mean()))


def is_clear(one: Scene, other: Scene, atlas: Atlas) -> bool:
    """Whether pictures of two scenes differ clearly at 32 pixels."""
    pair = render_pictures([Picture(scene=one), Picture(scene=other)], atlas, _SIDE).int()
    stepped = (pair[0] - pair[1]).abs().amax(0) >= CLEAR_STEP
    return float(stepped.double().mean()) >= CLEAR_SHARE


def stands_out(scene: Scene, atlas: Atlas) -> bool:
    """Whether each asset differs clearly from what is behind, in so much of it that it is seen."""
    empty = replace(scene, placements=())
    pair = render_pictures([Picture(scene=scene), Picture(scene=empty)], atlas, _SIDE).int()
    stepped = (pair[0] - pair[1]).abs().amax(0) >= CLEAR_STEP
    return all(
        float(stepped[mask].double().mean()) >= SEEN_SHARE
        for mask in instance_masks(scene, atlas, _SIDE)
        if mask.any()
    )


def look_of(style: str) -> str:
    """What a style looks like at first sight; see `LOOKS`."""
    return LOOKS.get(style, "coloured")


def with_asset(scene: Scene, index: int, asset: Placement) -> Scene:
    """Asset `index` is `asset`."""
    placed = scene.placements
    return replace(scene, placements=(*placed[:index], asset, *placed[index + 1 :]))


def without(scene: Scene, index: int) -> Scene:
    """Asset `index` is not there."""
    return replace(scene, placements=scene.placements[:index] + scene.placements[index + 1 :])


def other_concept(
    scene: Scene,
    index: int,
    props: Props,
    rng: np.random.Generator,
    *,
    avoid: Iterable[str] = (),
) -> Scene | None:
    """Asset `index` is another thing in the same style, colour and place, about as large.

    Args:
        scene: What is changed.
        index: Which asset.
        props: What there is.
        rng: The only source of randomness.
        avoid: Concepts that it must not be, nor sound like.
    """
    old = scene.placements[index]
    others = [one.concept for one in scene.placements]
    words = {word for name in (*others, *avoid) for word in _words(name)}
    concepts = props.vocabulary.concepts_of(old.style)
    box, found = measure(old.concept, old.style), []
    for _ in range(_TRIES):
        concept = concepts[int(rng.random() * len(concepts))]
        if words & _words(concept) or (old.tint and not can_be_tinted(concept, old.style)):
            continue
        if props.unlike((old.concept, old.style), (concept, old.style)) < FAR_SPRITE:
            continue
        known = measure(concept, old.style)
        away = abs(known.width - box.width) + abs(known.height - box.height)
        found.append((away, concept))
    for _, concept in sorted(found):
        new = replace(old, concept=concept, flip=old.flip and takes_flip(concept))
        changed = with_asset(scene, index, new)
        if relations(changed) == relations(scene):
            return changed
    return None


def other_person(scene: Scene, props: Props, rng: np.random.Generator) -> Scene | None:
    """The face is that of the least similar of some other people, in the same mood and style."""
    (old,) = scene.placements
    faces = {face.pair: face for face in props.vocabulary.faces}
    face = faces[old.concept, old.style]
    others = [
        one
        for one in props.vocabulary.faces
        if one.style == face.style
        and one.expression == face.expression
        and one.person != face.person
    ]
    if not others:
        return None
    some = [others[int(place)] for place in rng.permutation(len(others))[:12]]
    pair = old.concept, old.style
    other = max(some, key=lambda one: props.unlike(pair, one.pair))
    if props.unlike(pair, other.pair) < FAR_SPRITE / 2:  # all faces are of one outline
        return None
    return with_asset(scene, 0, replace(old, concept=other.pair[0]))


def other_style(scene: Scene, props: Props, rng: np.random.Generator) -> Scene | None:
    """All of it is drawn in a style of another look, in which each thing is clearly other."""
    own = {look_of(asset.style) for asset in scene.placements}
    styles = [one for one in props.vocabulary.styles if look_of(one) not in own]
    for place in rng.permutation(len(styles)):
        style = styles[int(place)]
        if any(style not in props.vocabulary.styles_of(one.concept) for one in scene.placements):
            continue
        if any(one.tint and not can_be_tinted(one.concept, style) for one in scene.placements):
            continue
        placed = tuple(replace(one, style=style) for one in scene.placements)
        if not _visible(scene.background, [style]) or any(
            props.unlike((old.concept, old.style), (new.concept, new.style)) < FAR_SPRITE
            for old, new in zip(scene.placements, placed, strict=True)
        ):
            continue
        changed = replace(scene, placements=placed)
        if relations(changed) == relations(scene):
            return changed
    return None


def elsewhere(
    scene: Scene,
    atlas: Atlas,
    rng: np.random.Generator,
    *,
    told: Iterable[Relation] = (),
) -> Scene | None:
    """The same assets at other places and in other sizes.

    No asset covers more than `LEAST_IOU` of where it was; relations of `told` still hold, and
    none is turned round.
    """
    before = covered(scene, atlas, _SIDE)
    for number in range(_TRIES):
        changed = _small(scene, rng) if len(scene.placements) == 1 else _again(scene, rng)
        if changed is None or not set(told) <= set(relations(changed)):
            continue
        after = covered(changed, atlas, _SIDE)
        both = (before & after).sum((1, 2)) / (before | after).sum((1, 2)).clamp(min=1)
        whole = (before.any(0) & after.any(0)).sum() / (before.any(0) | after.any(0)).sum()
        least = LEAST_IOU + 0.15 * (number >= _TRIES // 2) * (len(scene.placements) > 1)
        if float(both.max()) < LEAST_IOU and float(whole) < least:
            return changed
    return None


def _small(scene: Scene, rng: np.random.Generator) -> Scene:
    """One asset, smaller, near a corner."""
    (old,) = scene.placements
    scale = 0.42 + 0.1 * rng.random()
    ends = scale / 2 + 0.01, 1 - scale / 2 - 0.01
    x, y = (ends[int(rng.random() * 2)] for _ in range(2))
    return replace(scene, placements=(replace(old, x=x, y=y, scale=scale),))


def _again(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """Several assets, arranged anew; they keep their order, by which they are numbered."""
    pairs = [(one.concept, one.style) for one in scene.placements]
    spots = arrange(rng, pairs)
    if scene.background.kind == "place" and place_of(scene.background.place).stands:
        spots = grounded(rng, spots, pairs, place_of(scene.background.place).ground)
    if [spot.index for spot in spots] != list(range(len(pairs))):
        return None
    placed = tuple(
        replace(old, x=spot.x, y=spot.y, scale=spot.scale)
        for old, spot in zip(scene.placements, spots, strict=True)
    )
    return replace(scene, placements=placed)


def other_background(
    scene: Scene,
    atlas: Atlas,
    rng: np.random.Generator,
    *,
    colours_only: bool = False,
    avoid: Iterable[str] = (),
) -> Scene | None:
    """Another place or clearly other colours, on which all can be seen.

    Args:
        scene: What is changed.
        atlas: Has its sprites.
        rng: The only source of randomness.
        colours_only: From colours to colours alone: a place has lines and a horizon of its own.
        avoid: Names of colours that it must not have.
    """
    old = scene.background
    if colours_only and old.kind == "place":
        return None
    styles = [one.style for one in scene.placements]
    tints = {one.tint for one in scene.placements} - {""}
    for _ in range(_TRIES):
        new = sample_background(rng, styles, places=0.0 if colours_only else 0.3)
        if set(new.colours) & set(avoid) or not tints <= set(tints_against(new)):
            continue
        if new.kind == "place" or old.kind == "place":
            other = new.place != old.place
        else:
            other = all(_far(one, two) for one in old.colours for two in new.colours)
        changed = replace(scene, background=new)
        if other and stands_out(changed, atlas):
            return changed
    return None


def other_tint(scene: Scene, index: int, rng: np.random.Generator) -> Scene | None:
    """A tinted asset has clearly another colour that stands out as well."""
    old = scene.placements[index]
    tints = [one for one in tints_against(scene.background) if _far(one, old.tint)]
    if not tints:
        return None
    return with_asset(scene, index, replace(old, tint=tints[int(rng.random() * len(tints))]))


def one_more(scene: Scene, props: Props, rng: np.random.Generator) -> Scene | None:
    """One asset more, of the first one's style, where there is room; relations stay."""
    style = scene.placements[0].style
    concepts = props.vocabulary.concepts_of(style)
    words = {word for one in scene.placements for word in _words(one.concept)}
    boxes = [box_of(one) for one in scene.placements]
    for _ in range(_TRIES):
        concept = concepts[int(rng.random() * len(concepts))]
        scale = 0.34 + 0.1 * rng.random()
        x, y = (scale / 2 + (1 - scale) * rng.random() for _ in range(2))
        new = Placement(concept=concept, style=style, x=x, y=y, scale=scale)
        box = box_of(new)
        crowded = any(box.common(other).area > 0.08 * box.area for other in boxes)
        # Faint drawings might be overlooked.
        faint = props.look(concept, style).std() < FAR_SPRITE
        if not (crowded or faint or words & _words(concept)):
            return replace(scene, placements=(*scene.placements, new))
    return None


def swapped(scene: Scene, relation: Relation) -> Scene | None:
    """Two assets stand the other way round: a relation ``left`` or ``above`` is turned."""
    if relation.kind not in ("left", "above"):
        return None
    one, other = (scene.placements[index] for index in (relation.first, relation.second))
    changed = with_asset(scene, relation.first, _placed(one, other))
    changed = with_asset(changed, relation.second, _placed(other, one))
    turned = Relation(kind=relation.kind, first=relation.second, second=relation.first)
    rest = {item for item in relations(scene) if item.kind == "on"}
    return changed if turned in relations(changed) and not rest else None


def _placed(asset: Placement, there: Placement) -> Placement:
    """The asset at another one's place, as far as the frame allows."""
    half = asset.scale / 2
    x, y = (min(max(place, half), 1 - half) for place in (there.x, there.y))
    return replace(asset, x=x, y=y)


def _words(concept: str) -> set[str]:
    """Of a name, without what says little; faces and smileys sound alike."""
    words = set(re.findall(r"[a-z]+", caption_name(concept).lower()))
    smile = words & {"face", "smiling", "grinning", "cat", "monkey", "emoji"}
    stems = {re.sub(r"(es|s)$", "", word) for word in words if len(word) > 2}
    return stems | ({"face"} if smile & {"face", "smiling", "grinning"} else set())


def _far(one: str, other: str) -> bool:
    first, second = PALETTE[one], PALETTE[other]
    return sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) >= FAR_COLOUR**2


def _visible(background: Background, styles: Iterable[str]) -> bool:
    """Whether drawings of these styles would be drawn on it by the world itself."""
    if not set(styles) & DARK_INK_STYLES:
        return True
    if background.kind == "place":
        return not place_of(background.place).dark
    return not set(background.colours) & DARK_COLOURS
