"""Captions: true of their scenes, in varied words.

A caption says what is there and how many of it, the colour and the tilt of what has another than it
was drawn with, one relation, the background, and the style where that is wanted. Each fact has a
handful of wordings at most: texts recur, and their encoded states are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_imagen.data.example import Placement, Scene

from .nouns import article, caption_name, described, plural
from .palette import STYLE_NAMES
from .relations import RelationKind, relations

TOLD = 0.7
"""Share of captions of several things that say how two of them stand; the rest only list them."""

GROUND_FIRST, STYLE_FIRST, STYLE_IN = 0.2, 0.15, 0.15
"""Shares of captions that begin with the background or the style, where they may, or say "in" it.
"""

_NUMBERS = {2: "two", 3: "three", 4: "four"}
RELATION_WORDINGS: dict[RelationKind, tuple[str, ...]] = {
    "left": (
        "{a} to the left of {b}",
        "{b} to the right of {a}",
        "{a} left of {b}",
        "{a} on the left and {b} on the right",
        "{a} next to {b}",
        "{b} beside {a}",
    ),
    "above": ("{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}"),
    "on": ("{a} on {b}", "{a} on top of {b}"),
    "behind": ("{a} behind {b}", "{b} in front of {a}"),
    "bigger": ("{a} bigger than {b}", "{a} larger than {b}", "{b} smaller than {a}"),
}
"""How captions say a relation; `{a}` is its first asset, `{b}` its second."""

WORDS = frozenset(
    word
    for phrase in (
        *_NUMBERS.values(),
        *(wording for wordings in RELATION_WORDINGS.values() for wording in wordings),
        "tilted upside-down against on in a background from to",
    )
    for word in phrase.split()
    if "{" not in word
)
"""All words of captions besides names, colours, places and styles."""

_SIDES, _NEAR = 3, 4  # of "left": the wording that tells sides of the frame, those that say near
_NEAR_ENOUGH = 0.35  # how much higher one may be, and how wide the gap, to be next to the other
_IN_MIDDLE = 0.06  # so near to the frame's middle nothing is on the left or on the right


@dataclass(frozen=True)
class Group:
    """Assets of a scene that one noun stands for.

    Attributes:
        indices: Of the assets.
        words: E.g. ``"a blue owl"`` or ``"two dogs"``.
    """

    indices: tuple[int, ...]
    words: str


def tilt_words(turn: int) -> str:
    """How a turn is called: ``"upside-down"``, ``"tilted"``, or nothing."""
    return "" if not turn else "upside-down" if turn == 180 else "tilted"


def adjectives(asset: Placement) -> str:
    """What is not as it was drawn: ``"upside-down blue"``; empty for nothing."""
    return " ".join(word for word in (tilt_words(asset.turn), asset.tint) if word)


def groups(scene: Scene) -> list[Group]:
    """What a caption names: assets of one kind and look are counted together.

    What has no plural is named once for each: "some bread and some bread".
    """
    members: dict[tuple[str, str], list[int]] = {}
    for index, asset in enumerate(scene.placements):
        members.setdefault((asset.concept, adjectives(asset)), []).append(index)
    found = []
    for (concept, looks), indices in members.items():
        several = plural(concept) if len(indices) > 1 else None
        if several is not None:
            words = " ".join(w for w in (_NUMBERS[len(indices)], looks, several) if w)
            found.append(Group(tuple(indices), words))
        else:
            found += [Group((index,), described(concept, looks)) for index in indices]
    return found


def caption(
    scene: Scene,
    rng: np.random.Generator,
    *,
    with_style: bool = True,
    with_background: bool = True,
    opens: bool = True,
) -> str:
    """A true caption.

    Args:
        scene: What it describes.
        rng: Chooses the wordings.
        with_style: Names the style of the first asset (a scene's assets share one).
        with_background: Says what is behind.
        opens: It may begin with the background or the style, as only what opens a sentence can.

    Returns:
        E.g. ``"an owl to the left of a taxi on a pink background, black ink style"``.
    """
    words = _things(scene, rng)
    if with_background:
        ground = background_words(scene, rng)
        first = rng.random() < GROUND_FIRST and opens
        words = f"{ground}, {words}" if first else f"{words} {ground}"
    if not with_style:
        return words
    style = STYLE_NAMES[scene.placements[0].style]
    order = rng.random()
    if order < STYLE_FIRST and opens:
        return f"{style}: {words}"
    return f"{words} in {style}" if order > 1 - STYLE_IN else f"{words}, {style}"


def background_words(scene: Scene, rng: np.random.Generator) -> str:
    """E.g. ``"on a pink background"``, ``"at the beach"``."""
    background = scene.background
    if background.kind == "place":
        phrases = place_words(background.place, *(asset.concept for asset in scene.placements))
        return phrases[int(rng.random() * len(phrases))]
    before = "against" if rng.random() < 0.25 else "on"
    if background.kind == "plain":
        (colour,) = background.colours
        return f"{before} {article(colour)} {colour} background"
    first, second = background.colours
    return f"{before} a background from {first} to {second}"


def place_words(place: str, *concepts: str) -> tuple[str, ...]:
    """Wordings of a place, without those that name one of `concepts` too, if others are left.

    Not "a barn in a field with a barn": which one would be meant?
    """
    from .places import place_phrases

    phrases = place_phrases(place)
    names = [caption_name(concept) for concept in concepts]
    alone = [one for one in phrases if not any(name in one for name in names)]
    return tuple(alone) or phrases


def _things(scene: Scene, rng: np.random.Generator) -> str:
    """All assets, mostly with a relation of two of them."""
    named = groups(scene)
    if len(named) == 1:
        return named[0].words
    told = rng.random() < TOLD
    single = {group.indices[0]: group for group in named if len(group.indices) == 1}
    if told and len(single) > 1:
        claims = [one for one in relations(scene) if {one.first, one.second} <= set(single)]
        if claims:
            # What was planned is rarer than that something is to the left of something.
            special = [one for one in claims if one.kind != "left"]
            if special and rng.random() < 0.7:
                claims = special
            claim = claims[int(rng.random() * len(claims))]
            one, other = single[claim.first], single[claim.second]
            wordings = _true_wordings(scene, claim.kind, claim.first, claim.second)
            wording = wordings[int(rng.random() * len(wordings))]
            words = wording.replace("{a}", one.words).replace("{b}", other.words)
            rest = [group.words for group in named if group is not one and group is not other]
            return f"{words}, and {_listed(rest)}" if rest else words
    names = [group.words for group in named]
    if rng.random() < 0.5:
        names.reverse()
    return _listed(names)


def _true_wordings(scene: Scene, kind: RelationKind, first: int, second: int) -> tuple[str, ...]:
    """The wordings of a relation that hold: some say more than others."""
    wordings = RELATION_WORDINGS[kind]
    if kind != "left":
        return wordings
    one, other = scene.placements[first], scene.placements[second]
    gap = other.x - one.x - (one.scale + other.scale) / 2
    near = gap <= _NEAR_ENOUGH / 2 and abs(one.y - other.y) <= _NEAR_ENOUGH
    sides = one.x <= 0.5 - _IN_MIDDLE and other.x >= 0.5 + _IN_MIDDLE
    # With others in the picture, sides of the frame would be said of them too.
    sides = sides and len(scene.placements) == 2
    return wordings[:_SIDES] + wordings[_SIDES:_NEAR] * sides + wordings[_NEAR:] * near


def _listed(names: list[str]) -> str:
    """``"a, b and c"``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
