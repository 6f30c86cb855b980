"""How captions name things: names, articles, plurals, and which adjectives a name takes."""

from __future__ import annotations

import re
from functools import cache

from .palette import PALETTE

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
# Their drawings show no thing that can be counted, or their plurals are no English.
_UNCOUNTED = frozenset(
    """
    airplane-arrival airplane-departure american-football baguette-bread baseball basketball
    beach-with-umbrella biting-lip blossom breast-feeding bridge-at-night building-construction
    bust-in-silhouette call-me-hand camera-with-flash canned-food chart-increasing-with-yen
    cityscape cityscape-at-dusk cooking couch-and-lamp cricket-game custard cyclone dango desert
    drop-of-blood eye eye-in-speech-bubble foggy fork-and-knife fork-and-knife-with-plate
    front-facing-baby-chick ginger-root glass-of-milk globe-showing-americas
    globe-showing-asia-australia globe-showing-europe-africa globe-with-meridians green-salad
    hammer-and-pick hammer-and-wrench hamsa hand-with-fingers-splayed
    hand-with-index-finger-and-thumb-crossed head-shaking-horizontally head-shaking-vertically
    hear-no-evil-monkey herb horse-racing hot-beverage hourglass-done hourglass-not-done house
    house-with-garden hyacinth index-pointing-at-the-viewer index-pointing-up japanese-dolls
    joker lacrosse leaf-fluttering-in-wind left-facing-fist link love-you-gesture
    magnifying-glass-tilted-left magnifying-glass-tilted-right map-of-japan money-mouth-face
    moon-viewing-ceremony motorway mountain-railway musical-note nail-polish national-park
    night-with-stars notebook-with-decorative-cover nut-and-bolt ok-hand page-facing-up
    palm-down-hand palm-up-hand performing-arts pile-of-poo pinched-fingers pool-8-ball
    pot-of-food railway-track rainbow raised-back-of-hand right-facing-fist rolled-up-newspaper
    rolling-on-the-floor-laughing rosette rugby-football see-no-evil-monkey selfie
    shallow-pan-of-food sheaf-of-rice sign-of-the-horns skull-and-crossbones
    snowman-without-snow speak-no-evil-monkey speaker-high-volume speaker-low-volume
    squinting-face-with-tongue star-struck sun-behind-cloud sun-behind-large-cloud
    sun-behind-rain-cloud sun-behind-small-cloud sun-with-face sunrise sunrise-over-mountains
    sunset suspension-railway thumbs-down thumbs-up tongue trackball umbrella-on-ground
    volleyball vulcan-salute water-wave wedding
    """.split()  # noqa: SIM905
)
_PEOPLE_DOING = re.compile(r"^(man|woman|person)-.")
_IRREGULAR = {
    "man": "men", "woman": "women", "person": "people", "child": "children", "mouse": "mice",
    "die": "dice", "moai": "moai",
    "foot": "feet", "tooth": "teeth", "goose": "geese", "ox": "oxen", "leaf": "leaves",
    "wolf": "wolves", "knife": "knives", "scarf": "scarves", "deer": "deer", "moose": "moose",
    "bison": "bison", "squid": "squid", "shrimp": "shrimp", "cactus": "cacti",
    "potato": "potatoes", "tomato": "tomatoes", "mango": "mangoes", "volcano": "volcanoes",
    "tornado": "tornadoes", "buffalo": "buffaloes", "mosquito": "mosquitoes",
}  # fmt: skip
# What follows one of these belongs to the noun before it: "faces with tears of joy".
_AFTER_NOUN = re.compile(r" (?:with|without|of|in|on|at|behind|over|decreasing|increasing)\b")
_COLOURS = frozenset(word for name in PALETTE for word in name.split()) | {"grey", "gold", "silver"}
# What is called so, or looks so, is another thing; the last one is the held-out green book.
_OTHER_NAMES = frozenset({"brown mushroom", "red envelope", "green closed book"})
# Names that say which way their drawing faces or leans: mirrored, it is that of another name.
_SIDED = frozenset(
    """
    left right leftwards rightwards clockwise anticlockwise counterclockwise waxing waning quarter
    increasing decreasing
    """.split()  # noqa: SIM905
)
_TURNED_ALREADY = _SIDED | {"tilted", "upside", "horizontally", "vertically", "up", "down"}
# Category "People & Body" and fantasy people: a name is one of these, or begins with _PEOPLE.
_PEOPLE = re.compile(r"^(man|men|woman|women|person|people|pregnant|mrs|mx)(-|$)")
_BODIES = frozenset(
    """
    alien alien-monster anatomical-heart artist astronaut baby baby-angel biting-lip bone boy brain
    breast-feeding bust-in-silhouette busts-in-silhouette call-me-hand child clapping-hands
    clown-face construction-worker cook crossed-fingers detective ear
    ear-with-hearing-aid eye eyes factory-worker farmer firefighter flexed-biceps folded-hands foot
    footprints ghost girl goblin guard hand-with-fingers-splayed
    hand-with-index-finger-and-thumb-crossed handshake health-worker heart-hands horse-racing
    index-pointing-at-the-viewer index-pointing-up judge left-facing-fist leftwards-hand
    leftwards-pushing-hand leg love-you-gesture lungs mechanic mechanical-arm mechanical-leg mouth
    nail-polish ninja nose office-worker ogre ok-hand old-man old-woman older-person oncoming-fist
    open-hands palm-down-hand palm-up-hand palms-up-together pilot pinched-fingers pinching-hand
    police-officer prince princess raised-back-of-hand raised-fist raised-hand raising-hands
    right-facing-fist rightwards-hand rightwards-pushing-hand santa-claus scientist selfie
    sign-of-the-horns singer skier snowboarder speaking-head student teacher technologist
    thumbs-down thumbs-up tongue tooth troll victory-hand vulcan-salute waving-hand writing-hand
    """.split()  # noqa: SIM905
)


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


@cache
def plural(concept: str) -> str | None:
    """The name of several: ``"red-apple"`` → ``"red apples"``; None for what is not counted."""
    if (
        concept in _PLURALS | _MASS | _BARE | _THE | _UNCOUNTED
        or _PEOPLE_DOING.search(concept)
        or concept.startswith("face-")
    ):
        return None
    name = caption_name(concept)
    found = _AFTER_NOUN.search(name)
    end = found.start() if found else len(name)
    before, space, noun = name[:end].rpartition(" ")
    return before + space + _plural_noun(noun) + name[end:]


def _plural_noun(noun: str) -> str:
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith("fish"):
        return noun
    for ending in ("man", "woman"):  # snowman, but not talisman: none is in the world
        if noun.endswith(ending):
            return noun[: -len(ending)] + _IRREGULAR[ending]
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


@cache
def takes_colour(concept: str) -> bool:
    """Whether "a blue …" can be said.

    Not of names, nor of what has a colour in its name, nor of people and parts of them.
    """
    if concept in _BARE | _THE | _BODIES or _PEOPLE.search(concept):
        return False
    return not set(concept.split("-")) & _COLOURS


@cache
def is_colour_of(tint: str, concept: str) -> bool:
    """Whether the name with this colour is not the name of another concept."""
    return f"{tint} {caption_name(concept)}" not in _OTHER_NAMES


@cache
def takes_turn(concept: str) -> bool:
    """Whether "a tilted …" can be said: of things, not of "some fire" or "tennis"."""
    named = concept in _PLURALS or concept not in _BARE | _THE | _MASS
    # Upside-down, a thumb that is up is one that is down.
    return named and not set(concept.split("-")) & _TURNED_ALREADY


@cache
def takes_flip(concept: str) -> bool:
    """Whether its drawing may be mirrored: not where the name says a side.

    A mirrored "waxing crescent moon" is a waning one, and "chart increasing" one that is held out.
    """
    return not set(concept.split("-")) & _SIDED


@cache
def described(concept: str, adjectives: str) -> str:
    """The name with adjectives and its article: ``"an upside-down blue owl"``.

    Args:
        concept: E.g. ``"owl"``.
        adjectives: E.g. ``"blue"``; empty for none.
    """
    if not adjectives:
        return with_article(concept)
    name = f"{adjectives} {caption_name(concept)}"
    if concept in _PLURALS or concept in _BARE:
        return name
    if concept in _MASS:
        return f"some {name}"
    return f"the {name}" if concept in _THE else f"{article(name)} {name}"
