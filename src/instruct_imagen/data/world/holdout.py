"""What training never sees: concepts, one style, and combinations of tasks, frozen in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from .artwork.base import singular

HOLDOUT_SHA256 = "a6700f72bda74d4e67b4d6b482924914c6c3951afbc8bb90844ed958bd1a9e42"
"""Of `holdout.json`. A change of the hold-out is a new version of the world, never an edit."""

# Names that other sources have for what is held out, where they are not its own name.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "american-football": ("football",),
    "automobile": ("auto", "car", "sedan"),
    "baguette-bread": ("baguette",),
    "ballot-box-with-ballot": ("ballot-box",),
    "beating-heart": ("heart",),
    "beer-mug": ("beer",),
    "bellhop-bell": ("bellhop", "desk-bell"),
    "building-construction": ("construction", "tower-crane"),
    "butterfly": ("xanthia",),
    "camera": ("camcorder",),
    "chart-decreasing": ("chart",),
    "clinking-beer-mugs": ("beer",),
    "closed-umbrella": ("umbrella",),
    "club-suit": ("club",),
    "clutch-bag": ("clutch", "purse"),
    "computer-mouse": ("mouse",),
    "cooked-rice": ("rice",),
    "crocodile": ("alligator", "caiman"),
    "derelict-house": ("haunted-house", "ruin"),
    "dress": ("gown",),
    "ear-of-corn": ("corn", "maize", "corncob"),
    "file-cabinet": ("filing-cabinet",),
    "footprints": ("footprint", "foot-print"),
    "fork-and-knife-with-plate": ("plate",),
    "framed-picture": ("picture-frame", "frame", "painting", "photo", "picture", "portrait"),
    "globe-showing-americas": ("globe", "earth"),
    "helicopter": ("chopper",),
    "horse-racing": ("jockey",),
    "key": ("keyring",),
    "kiss-mark": ("lip", "kiss"),
    "last-quarter-moon": ("moon",),
    "link": ("chain",),
    "lion": ("lioness",),
    "locked": ("padlock", "lock"),
    "magnifying-glass-tilted-right": ("magnifying-glass", "magnifier"),
    "meat-on-bone": ("bone",),
    "monorail": ("tramway",),
    "movie-camera": ("film-camera",),
    "mushroom": ("toadstool", "champignon", "cep"),
    "new-moon": ("moon",),
    "notebook": ("diary",),
    "oil-drum": ("barrel",),
    "oncoming-fist": ("fist",),
    "pancakes": ("crepe",),
    "postbox": ("mailbox", "post-box", "letterbox"),
    "pushpin": ("push-pin", "drawing-pin", "thumbtack"),
    "rabbit-face": ("rabbit", "bunny", "hare"),
    "red-paper-lantern": ("lantern",),
    "satellite-antenna": ("satellite-dish", "antenna"),
    "shopping-bags": ("shopping-bag",),
    "slightly-smiling-face": ("smiley", "smiley-face", "smile"),
    "sunflower": ("flower",),
    "television": ("tv", "flat-screen", "lcd-monitor", "monitor"),
    "train": ("locomotive",),
    "triangular-ruler": ("ruler", "set-square"),
    "trophy": ("trophy-cup",),
    "water-buffalo": ("buffalo",),
    "writing-hand": ("handwriting",),
}
"""Not part of the frozen file: a longer list only holds out more."""


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """The frozen hold-out.

    Attributes:
        version: Of the file.
        concepts: Never drawn in training, in any style.
        style: Never drawn in training, for any concept.
        combinations: Kinds of instructions that no training task makes.
    """

    version: int
    concepts: frozenset[str]
    style: str
    combinations: tuple[str, ...]


@lru_cache(maxsize=1)
def holdout() -> Holdout:
    """Read the hold-out.

    Raises:
        RuntimeError: The file is not the frozen one.
    """
    raw = resources.files(__package__).joinpath("holdout.json").read_bytes()
    if hashlib.sha256(raw).hexdigest() != HOLDOUT_SHA256:
        raise RuntimeError("holdout.json has been changed: restore the committed file")
    stored = json.loads(raw)
    return Holdout(
        version=stored["version"],
        concepts=frozenset(stored["concepts"]),
        style=stored["style"],
        combinations=tuple(stored["combinations"]),
    )


def named_like_heldout(concept: str) -> bool:
    """Whether a name of another source than the emoji may show a held-out concept.

    It does where it contains, word for word and whether singular or plural, what captions call the
    concept, or one of the `SYNONYMS`: "green bus" is held out with "bus".
    """
    words = f"-{_stems(concept)}-"
    return any(f"-{name}-" in words for name in _heldout_names())


@lru_cache(maxsize=1)
def _heldout_names() -> frozenset[str]:
    from .scenes import caption_name  # here: scenes import the vocabulary, which imports this

    held = holdout().concepts
    names = {caption_name(concept).replace(" ", "-") for concept in held} | held
    names.update(other for concept in held for other in SYNONYMS.get(concept, ()))
    return frozenset(_stems(name) for name in names)


def _stems(name: str) -> str:
    """Its words without what a plural may add: house and houses become "hous"."""
    return "-".join(singular(word).removesuffix("e") for word in name.split("-"))
