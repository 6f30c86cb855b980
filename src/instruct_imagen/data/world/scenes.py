"""Scenes: assets on a background, drawn from a vocabulary, with a caption that is true of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from instruct_imagen.data.example import Background, Placement, Scene

from .vocabulary import Pair, Vocabulary

PALETTE: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "light grey": (205, 205, 205),
    "red": (214, 48, 49),
    "orange": (244, 144, 48),
    "yellow": (250, 212, 72),
    "green": (70, 164, 82),
    "light green": (178, 226, 146),
    "light blue": (156, 210, 246),
    "blue": (52, 112, 214),
    "dark blue": (30, 44, 110),
    "purple": (134, 78, 186),
    "pink": (250, 168, 200),
    "brown": (136, 88, 54),
    "black": (24, 24, 28),
}
"""Background colours: name → sRGB."""

DARK_COLOURS = frozenset({"black", "dark blue", "brown", "purple", "blue"})
DARK_INK_STYLES = frozenset({"fluent-emoji-high-contrast", "emojione-monotone"})
"""Styles whose sprites are almost black; they are not put on `DARK_COLOURS`."""

STYLE_NAMES: dict[str, str] = {
    "noto": "soft shaded noto style",
    "noto-v1": "rounded cartoon style",
    "twemoji": "flat twemoji style",
    "openmoji": "outlined openmoji style",
    "fluent-emoji-flat": "colourful fluent style",
    "fluent-emoji-high-contrast": "black silhouette style",
    "emojione": "flat emojione style",
    "emojione-v1": "glossy emojione style",
    "emojione-monotone": "black ink style",
    "fxemoji": "simple firefox style",
    "fluent-emoji": "glossy 3D fluent style",
    "photograph": "photographic style",
    "clip-art": "clip art style",
    "dicebear-adventurer": "dicebear adventurer style",
    "dicebear-micah": "dicebear micah style",
    "dicebear-open-peeps": "dicebear open peeps style",
    "dicebear-lorelei": "dicebear lorelei style",
    "flat": "plain flat style",
    "outline": "thin outline style",
}
"""How captions name the styles (the last two are our own drawings of `fallback`)."""

ONE_ASSET = 0.75
_PLAIN = 0.6
_ONE_SCALES = (0.6, 0.92)
_TWO_SCALES = (0.42, 0.54)
_FLIP = 0.25
_PLURALS = frozenset(
    """
    admission-tickets ballet-shoes beans blueberries bookmark-tabs books boxing-gloves briefs
    bubbles busts-in-silhouette card-index-dividers chains cherries chopsticks clapping-hands
    clinking-beer-mugs clinking-glasses control-knobs crossed-fingers crossed-swords eyes
    film-frames fireworks flexed-biceps flower-playing-cards folded-hands footprints french-fries
    glasses gloves goggles grapes heart-hands hot-springs houses japanese-dolls jeans
    linked-paperclips lungs maracas money-with-wings musical-notes nesting-dolls open-hands
    palms-up-together pancakes paw-prints peanuts people-hugging performing-arts prayer-beads
    raising-hands revolving-hearts scissors shopping-bags shorts skis socks sparkles sunglasses
    sweat-droplets two-hearts womans-clothes
    """.split()  # noqa: SIM905 (a list of so many words would be longer and no clearer)
)
_MASS = frozenset(
    """
    bacon bread broccoli butter cooked-rice coral curry-rice dna falafel fire fondue garlic ice
    leafy-green luggage mate meat-on-bone oden popcorn pouring-liquid sake salt shaved-ice soap
    spaghetti sushi thread wood yarn
    """.split()  # noqa: SIM905
)
# Games, events and proper names, which stand without an article.
_BARE = frozenset(
    """
    badminton bowling camping cooking field-hockey high-voltage hundred-points ice-hockey lacrosse
    mount-fuji mrs-claus mx-claus ping-pong santa-claus softball tennis tokyo-tower zzz
    """.split()  # noqa: SIM905
)
_THE = frozenset({"milky-way", "statue-of-liberty", "kaaba"})
_SPELLED: dict[str, str] = {
    "construction": "construction barrier",
    "dizzy": "dizzy star",
    "e-mail": "e-mail",
    "foggy": "foggy bridge",
    "jack-o-lantern": "jack-o'-lantern",
    "locked": "locked padlock",
    "locked-with-key": "padlock with key",
    "locked-with-pen": "padlock with pen",
    "mans-shoe": "man's shoe",
    "rescue-workers-helmet": "rescue worker's helmet",
    "rolling-on-the-floor-laughing": "face rolling on the floor laughing",
    "t-rex": "T-rex",
    "t-shirt": "T-shirt",
    "unlocked": "unlocked padlock",
    "womans-boot": "woman's boot",
    "womans-clothes": "woman's clothes",
    "womans-hat": "woman's hat",
    "womans-sandal": "woman's sandal",
    "x-ray": "X-ray",
    "yo-yo": "yo-yo",
}


def scene_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of scene `index` of `seed`: the same wherever and whenever it is made."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index))))


def caption_name(concept: str) -> str:
    """How captions name a concept: ``"red-apple"`` → ``"red apple"``."""
    return _SPELLED.get(concept) or concept.replace("-", " ")


@cache
def with_article(concept: str) -> str:
    """The name with its article: ``"an owl"``, ``"scissors"``, ``"some bread"``."""
    name = caption_name(concept)
    if concept in _PLURALS or concept in _BARE:
        return name
    if concept in _THE:
        return f"the {name}"
    if concept in _MASS:
        return f"some {name}"
    return f"{article(name)} {name}"


def definite(concept: str) -> str:
    """The name of one that is there already: ``"the owl"``, ``"the bread"``, ``"bowling"``."""
    name = caption_name(concept)
    return name if concept in _BARE else f"the {name}"


def article(name: str) -> str:
    """Which one, by sound: "a unicorn", "an hourglass", "a euro banknote", "an X-ray"."""
    vowel = name[0] in "aeiou" and not name.startswith(("uni", "euro", "one", "ewe", "ukulele"))
    return "an" if vowel or name.startswith(("hour", "X-ray")) else "a"


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def sample_background(rng: np.random.Generator, styles: Sequence[str] = ()) -> Background:
    """A plain or (40%) gradient background that assets of `styles` can be seen on."""
    inky = any(style in DARK_INK_STYLES for style in styles)
    names = _LIGHT if inky else _ALL
    first = names[int(rng.random() * len(names))]
    if rng.random() < _PLAIN:
        return Background(kind="plain", colours=(first,))
    second = names[int(rng.random() * (len(names) - 1))]
    if second == first:
        second = names[-1]
    return Background(kind="gradient", colours=(first, second))


_ALL = tuple(name for name in PALETTE if name != "black")
_LIGHT = tuple(name for name in _ALL if name not in DARK_COLOURS)


def sample_assets(rng: np.random.Generator, vocabulary: Vocabulary) -> list[Pair]:
    """One asset, or (25%) two different ones of one style; styles are equally frequent."""
    styles = vocabulary.styles
    style = styles[int(rng.random() * len(styles))]
    concepts = vocabulary.concepts_of(style)
    first = int(rng.random() * len(concepts))
    if rng.random() < ONE_ASSET or len(concepts) < 2:
        return [(concepts[first], style)]
    second = (first + 1 + int(rng.random() * (len(concepts) - 1))) % len(concepts)
    return [(concepts[first], style), (concepts[second], style)]


def sample_scene(
    rng: np.random.Generator, vocabulary: Vocabulary, *, assets: Sequence[Pair] | None = None
) -> Scene:
    """A scene of one or two assets.

    Args:
        rng: The only source of randomness.
        vocabulary: What may be drawn when `assets` is None.
        assets: (concept, style) of each asset; one or two.

    Raises:
        ValueError: for no assets or more than two.
    """
    chosen = sample_assets(rng, vocabulary) if assets is None else list(assets)
    if not 1 <= len(chosen) <= 2:
        raise ValueError(f"a scene has one or two assets, not {len(chosen)}")
    background = sample_background(rng, [style for _, style in chosen])
    if len(chosen) == 1:
        scale = _between(rng, *_ONE_SCALES)
        room = 1.0 - scale
        places = [(0.5 + room * (rng.random() - 0.5), 0.5 + room * (rng.random() - 0.5), scale)]
    else:
        places = _two_places(rng)
    placements = tuple(
        Placement(concept=concept, style=style, x=x, y=y, scale=scale, flip=rng.random() < _FLIP)
        for (concept, style), (x, y, scale) in zip(chosen, places, strict=True)
    )
    # The lower one stands nearer, as on the ground, and is drawn last.
    return Scene(
        background=background,
        placements=tuple(sorted(placements, key=lambda asset: asset.y + asset.scale / 2)),
    )


def _two_places(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """(x, y, scale) of two assets side by side, in either order, hardly overlapping."""
    scales = (_between(rng, *_TWO_SCALES), _between(rng, *_TWO_SCALES))
    left = scales[0] / 2 + 0.04 * rng.random()
    right = 1.0 - scales[1] / 2 - 0.04 * rng.random()
    ys = [scale / 2 + (1.0 - scale) * rng.random() for scale in scales]
    places = [(left, ys[0], scales[0]), (right, ys[1], scales[1])]
    return places if rng.random() < 0.5 else places[::-1]


def caption(scene: Scene, rng: np.random.Generator, *, with_style: bool = True) -> str:
    """A true caption.

    Args:
        scene: What it describes.
        rng: Chooses among at most two wordings a fact, so that texts recur and their encoded
            states can be kept.
        with_style: Names the style of the first asset (a scene's assets share one).

    Returns:
        E.g. ``"an owl to the left of a taxi on a pink background, black ink style"``.
    """
    words = _assets_words(scene, rng)
    colours = scene.background.colours
    if scene.background.kind == "plain":
        words += f" on {article(colours[0])} {colours[0]} background"
    else:
        words += f" on a background from {colours[0]} to {colours[1]}"
    if with_style:
        words += f", {STYLE_NAMES[scene.placements[0].style]}"
    return words


def _assets_words(scene: Scene, rng: np.random.Generator) -> str:
    names = [with_article(asset.concept) for asset in scene.placements]
    if len(names) == 1:
        return names[0]
    first, second = scene.placements
    if rng.random() < 0.5:
        return f"{names[0]} and {names[1]}"
    if first.x > second.x:
        names.reverse()
    return f"{names[0]} to the left of {names[1]}"
