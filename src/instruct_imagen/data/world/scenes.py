"""Scenes: assets on a background, drawn from a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_imagen.data.example import Background, Placement, Scene

from .captions import caption
from .layouts import arrange, grounded
from .measures import measure
from .nouns import (
    article,
    caption_name,
    definite,
    is_colour_of,
    plural,
    takes_colour,
    takes_flip,
    takes_turn,
    with_article,
)
from .palette import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    PALETTE,
    STYLE_NAMES,
    TINTS,
    UNTINTED_STYLES,
    tints_on,
)
from .places import place_of, sample_place
from .relations import relations
from .variety import MOST_ASSETS
from .vocabulary import Pair, Vocabulary

__all__ = [
    "DARK_COLOURS",
    "DARK_INK_STYLES",
    "ONE_ASSET",
    "PALETTE",
    "STYLE_NAMES",
    "TINTS",
    "TURNS",
    "article",
    "can_be_tinted",
    "caption",
    "caption_name",
    "definite",
    "plural",
    "relations",
    "sample_assets",
    "sample_background",
    "sample_count",
    "sample_look",
    "sample_others",
    "sample_scene",
    "scene_rng",
    "takes_flip",
    "tints_against",
    "with_article",
]

TURNS = tuple(range(0, 360, 15))
"""Degrees anticlockwise that an asset may be turned by; 0 is as it was drawn."""

ONE_ASSET = 0.75
"""Share of scenes of one asset where there are two at most."""

_COUNTS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (ONE_ASSET, 0.25),
    3: (0.65, 0.23, 0.12),
    4: (0.6, 0.22, 0.11, 0.07),
}
"""Most assets of a scene -> shares of scenes with one, two, … of them."""

ALIKE = {2: 0.15, 3: 0.45, 4: 0.45}
"""Assets of a scene -> share of scenes in which all of them, or all but one, are alike."""

_ALL_ALIKE = 0.6
_UPSIDE_DOWN = 0.25
_TILTS = tuple(turn for turn in TURNS if turn and (turn <= 90 or turn >= 270))
_PLAIN = 0.6
_FLIP = 0.25
_ALL = tuple(name for name in PALETTE if name != "black")
_LIGHT = tuple(name for name in _ALL if name not in DARK_COLOURS)


def scene_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of scene `index` of `seed`: the same wherever and whenever it is made."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))


def sample_background(
    rng: np.random.Generator, styles: Sequence[str] = (), *, places: float = 0.0
) -> Background:
    """A background that assets of `styles` can be seen on: a place, plain, or (40%) a gradient.

    Args:
        rng: The only source of randomness.
        styles: Of the assets.
        places: Share of backgrounds that are places.
    """
    inky = any(style in DARK_INK_STYLES for style in styles)
    if places and rng.random() < places:
        return sample_place(rng, dark_ink=inky)
    names = _LIGHT if inky else _ALL
    first = names[int(rng.random() * len(names))]
    if rng.random() < _PLAIN:
        return Background(kind="plain", colours=(first,))
    second = names[int(rng.random() * (len(names) - 1))]
    if second == first:
        second = names[-1]
    return Background(kind="gradient", colours=(first, second))


def sample_count(rng: np.random.Generator, most: int) -> int:
    """How many assets a scene has, at most `most` of them."""
    kind = rng.random()
    for count, share in enumerate(_COUNTS[most], start=1):
        kind -= share
        if kind < 0:
            return count
    return 1


def sample_assets(rng: np.random.Generator, vocabulary: Vocabulary) -> list[Pair]:
    """Assets of one style, different or some alike (`ALIKE`); styles are equally frequent."""
    styles = vocabulary.styles
    style = styles[int(rng.random() * len(styles))]
    concepts = vocabulary.concepts_of(style)
    first = concepts[int(rng.random() * len(concepts))]
    count = sample_count(rng, vocabulary.variety.most_assets)
    if count == 1:
        return [(first, style)]
    alike = 1
    if rng.random() < ALIKE[count] and plural(first) is not None:
        alike = count if count == 2 or rng.random() < _ALL_ALIKE else count - 1
    chosen = [first] * alike
    for _ in range(4 * count):
        if len(chosen) == count:
            break
        other = concepts[int(rng.random() * len(concepts))]
        if other not in chosen:
            chosen.append(other)
    return [(concept, style) for concept in chosen]


def sample_others(rng: np.random.Generator, vocabulary: Vocabulary, *assets: Pair) -> list[Pair]:
    """What comes into a scene besides the first of `assets`: none, or up to three in its style.

    Together they are as many as `sample_count` says. No name is part of another, or of that of any
    of `assets`, so that each can be spoken of.
    """
    style = assets[0][1]
    concepts = vocabulary.concepts_of(style)
    count = sample_count(rng, vocabulary.variety.most_assets) - 1
    names = [caption_name(concept) for concept, _ in assets]
    found: list[Pair] = []
    for _ in range(count):
        # One try each: where few concepts are left, there are fewer assets.
        concept = concepts[int(rng.random() * len(concepts))]
        name = caption_name(concept)
        if not any(name in other or other in name for other in names):
            names.append(name)
            found.append((concept, style))
    return found


def sample_look(
    rng: np.random.Generator, vocabulary: Vocabulary, asset: Pair, background: Background
) -> tuple[int, str]:
    """Turn and tint of an asset, mostly 0 and none; a tint stands out from the background.

    Names that cannot have the adjective, and drawings that do not take on a colour, have neither.
    """
    concept, style = asset
    variety = vocabulary.variety
    turned, tinted = rng.random() < variety.turned, rng.random() < variety.tinted
    turn, tint = 0, ""
    if turned and takes_turn(concept):
        turn = 180 if rng.random() < _UPSIDE_DOWN else _TILTS[int(rng.random() * len(_TILTS))]
    if tinted and can_be_tinted(concept, style):
        tints = [one for one in tints_against(background) if is_colour_of(one, concept)]
        tint = tints[int(rng.random() * len(tints))] if tints else ""
    return turn, tint


def tints_against(background: Background) -> tuple[str, ...]:
    """The tints that stand out from a background, be it colours or a place."""
    if background.kind == "place":
        return place_of(background.place).tints
    return tints_on(background.colours)


def can_be_tinted(concept: str, style: str) -> bool:
    """Whether the drawing takes on a colour, and its name an adjective that says so."""
    return (
        style not in UNTINTED_STYLES and takes_colour(concept) and measure(concept, style).colours
    )


def sample_scene(
    rng: np.random.Generator,
    vocabulary: Vocabulary,
    *,
    assets: Sequence[Pair] | None = None,
    as_drawn: bool = False,
) -> Scene:
    """A scene of one to four assets.

    Args:
        rng: The only source of randomness.
        vocabulary: What may be drawn when `assets` is None, and how rich the scene is.
        assets: (concept, style) of each asset; the same one again is another of its kind, of the
            same size and look.
        as_drawn: Nothing is turned or tinted, as where a style is to be seen.

    Raises:
        ValueError: for no assets or more than four.
    """
    chosen = sample_assets(rng, vocabulary) if assets is None else list(assets)
    if not 1 <= len(chosen) <= MOST_ASSETS:
        raise ValueError(f"a scene has one to {MOST_ASSETS} assets, not {len(chosen)}")
    variety = vocabulary.variety
    background = sample_background(rng, [style for _, style in chosen], places=variety.places)
    spots = arrange(rng, chosen)
    if background.kind == "place":
        place = place_of(background.place)
        spots = grounded(rng, spots, chosen, place.ground) if place.stands else spots
    looks: dict[Pair, tuple[int, str]] = {}
    if (variety.turned or variety.tinted) and not as_drawn:
        for asset in dict.fromkeys(chosen):
            looks[asset] = sample_look(rng, vocabulary, asset, background)
    placements = []
    for spot in spots:
        concept, style = chosen[spot.index]
        turn, tint = looks.get(chosen[spot.index], (0, ""))
        flip = rng.random() < _FLIP  # drawn in any case: what follows stays the same
        placements.append(
            Placement(
                concept=concept,
                style=style,
                x=spot.x,
                y=spot.y,
                scale=spot.scale,
                flip=flip and takes_flip(concept),
                turn=0 if spot.upright else turn,
                tint=tint,
            )
        )
    return Scene(background=background, placements=tuple(placements))
