"""Which concept exists in which style, and which of that may be used for training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .artwork.registry import SOURCES, read_source
from .atlas import Pair
from .holdout import holdout, named_like_heldout
from .sources import FIRST_STYLES, STYLES, IconSet, read_sets
from .variety import PLAIN, Variety

CATEGORIES = (
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "Travel & Places",
    "Activities",
    "Smileys & Emotion",
    "People & Body",
)
"""Categories of things that a picture can show; symbols and flags are left out."""

MIN_STYLES = 5

PHOTOGRAPHIC_STYLES = ("photograph",)
"""Styles whose pictures are photographs of things, not drawings."""

_NAMES_OF = "fluent-emoji-flat"  # its category list covers the most names
# Variants that differ in a small detail only, or are not drawings of a thing.
_LEFT_OUT = re.compile(
    r"skin-tone|(^|-)(light|medium|dark)(-|$)|flag|keycap"
    r"|-oclock$|-thirty$|japanese-.*-button|-button$|family"
    r"|backhand-index|-arrow$|pistol|middle-finger"
)
# Sources draw these two ways (a tongue stands for one set's "face with tongue", …) or not at all.
_UNCLEAR = frozenset({"fog", "wind-face", "hole", "dashing-away", "collision"})
MISDRAWN: Mapping[str, frozenset[str]] = {
    "cricket": frozenset({"noto-v1", "emojione", "emojione-monotone"}),  # the game's bat and ball
    "keyboard": frozenset({"emojione-v1", "fxemoji"}),  # a piano's
    "window": frozenset({"emojione-v1", "fxemoji"}),  # a computer's
    "sunglasses": frozenset({"fxemoji"}),  # on a face
    "umbrella": frozenset({"fxemoji"}),  # closed: a concept that is held out
    "construction": frozenset({"fxemoji"}),  # a crane: a concept that is held out
    # The very drawings of some that are held out, or all but those, of the same people.
    "person-in-tuxedo": frozenset({"noto-v1"}),
    "man-lifting-weights": frozenset({"noto-v1", "fluent-emoji-high-contrast"}),
    "man-playing-water-polo": frozenset({"noto-v1", "fluent-emoji-high-contrast"}),
    "man-swimming": frozenset({"noto-v1", "fluent-emoji-high-contrast"}),
    "woman-lifting-weights": frozenset({"fluent-emoji-high-contrast"}),
    "woman-playing-water-polo": frozenset({"fluent-emoji-high-contrast"}),
}
"""Found by looking: concept → styles that draw something else under its name."""


class VocabularyError(ValueError):
    """A wish that leaves nothing to draw; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Face:
    """A drawing of a person, who looks the same in every expression.

    Attributes:
        person: E.g. ``"person-0042"``; another style's person of this name is somebody else.
        expression: E.g. ``"smiling"``.
        style: Name of the set of drawings.
    """

    person: str
    expression: str
    style: str

    @property
    def pair(self) -> Pair:
        """Its sprite in an atlas."""
        return f"{self.person}-{self.expression}", self.style


@dataclass(frozen=True)
class Vocabulary:
    """What scenes may use.

    Attributes:
        pairs: (concept, style) of things, in a fixed order.
        variety: How rich scenes are.
        faces: Drawings of people, which tasks of faces alone show; in a fixed order.
        concepts: Concepts of the pairs, sorted.
        styles: Styles of the pairs, in the order of `STYLES`.
    """

    pairs: tuple[Pair, ...]
    variety: Variety = PLAIN
    faces: tuple[Face, ...] = ()
    concepts: tuple[str, ...] = field(init=False)
    styles: tuple[str, ...] = field(init=False)
    _styles_of: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _concepts_of: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _people_of: Mapping[str, tuple[tuple[Face, ...], ...]] = field(
        init=False, repr=False, compare=False
    )
    _parts: dict[tuple[str, ...], Vocabulary] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the pairs both ways, and the faces by person."""
        styles_of: dict[str, list[str]] = {}
        concepts_of: dict[str, list[str]] = {}
        for concept, style in self.pairs:
            styles_of.setdefault(concept, []).append(style)
            concepts_of.setdefault(style, []).append(concept)
        known = [style for style in STYLES if style in concepts_of]
        styles = (*known, *sorted(set(concepts_of) - set(known)))
        fill = object.__setattr__
        fill(self, "concepts", tuple(sorted(styles_of)))
        fill(self, "styles", styles)
        fill(self, "_styles_of", {key: tuple(value) for key, value in styles_of.items()})
        fill(self, "_concepts_of", {key: tuple(value) for key, value in concepts_of.items()})
        people: dict[str, dict[str, list[Face]]] = {}
        for face in self.faces:
            people.setdefault(face.style, {}).setdefault(face.person, []).append(face)
        grouped = {
            style: tuple(tuple(own) for own in persons.values())
            for style, persons in people.items()
        }
        fill(self, "_people_of", grouped)
        fill(self, "_parts", {})

    def styles_of(self, concept: str) -> tuple[str, ...]:
        """Styles in which a concept exists; empty for an unknown concept."""
        return self._styles_of.get(concept, ())

    def concepts_of(self, style: str) -> tuple[str, ...]:
        """Concepts that exist in a style; empty for an unknown style."""
        return self._concepts_of.get(style, ())

    @property
    def face_styles(self) -> tuple[str, ...]:
        """Styles of the faces, in their order."""
        return tuple(self._people_of)

    def people_of(self, style: str) -> tuple[tuple[Face, ...], ...]:
        """The faces of each person of a style of faces; empty for another style."""
        return self._people_of.get(style, ())

    def of_styles(self, styles: Sequence[str]) -> Vocabulary:
        """The pairs of some styles alone, without faces; made once.

        Raises:
            VocabularyError: There are none.
        """
        wanted = tuple(styles)
        if wanted not in self._parts:
            pairs = tuple(pair for pair in self.pairs if pair[1] in wanted)
            if not pairs:
                raise VocabularyError(f"nothing is drawn in any of the styles {sorted(wanted)}")
            self._parts[wanted] = Vocabulary(pairs, self.variety)
        return self._parts[wanted]


@lru_cache(maxsize=1)
def _installed_sets() -> Mapping[str, IconSet]:
    return read_sets()


def world_concepts(sets: Mapping[str, IconSet] | None = None) -> dict[str, tuple[str, ...]]:
    """Every concept of the world and the styles that draw it.

    Args:
        sets: The artwork; None reads (and if need be installs) it.

    Returns:
        Concept → styles in the order of `STYLES`; at least `MIN_STYLES` of the first ten
        (`FIRST_STYLES`) each, concepts sorted.
    """
    sets = _installed_sets() if sets is None else sets
    names = {style: icons.names() for style, icons in sets.items()}
    found = {}
    for concept in sorted(concept_categories(sets)):
        wrong = MISDRAWN.get(concept, frozenset())
        styles = tuple(
            style
            for style in STYLES
            if style in names and concept in names[style] and style not in wrong
        )
        if _counted(styles) >= MIN_STYLES:
            found[concept] = styles
    return found


def _counted(styles: Iterable[str]) -> int:
    """How widely a concept is drawn, by which concepts are chosen and ranked.

    Only the first ten sets count: a further one adds drawings to the concepts that we have, and
    does not change which they are. The first weights know those that the ten sets chose.
    """
    return sum(style in FIRST_STYLES for style in styles)


def concept_categories(sets: Mapping[str, IconSet] | None = None) -> dict[str, str]:
    """Concept → its category, for all names that show a thing."""
    sets = _installed_sets() if sets is None else sets
    return {
        name: category
        for category, members in sets[_NAMES_OF].categories.items()
        if category in CATEGORIES
        for name in members
        if not _LEFT_OUT.search(name) and name not in _UNCLEAR
    }


def training_vocabulary(
    *,
    min_styles: int = MIN_STYLES,
    categories: Sequence[str] | None = None,
    limit: int | None = None,
    sources: Sequence[str] = ("emoji",),
    people: int | None = None,
    styles: Sequence[str] = STYLES,
    sets: Mapping[str, IconSet] | None = None,
) -> Vocabulary:
    """What training may draw: nothing of the hold-out.

    Args:
        min_styles: Only concepts drawn in at least so many styles (the held-out one not counted,
            nor any set but the first ten).
        categories: Only these; None for all of `CATEGORIES`.
        limit: At most so many concepts: those drawn in most styles first, then by name.
        sources: Names of `SOURCES`, with ``emoji``. What is not installed is left out, with a line
            on stderr. Pairs of other sources come after the emoji's, whatever the settings above.
        people: So many people of each style of faces; None for all.
        styles: Of the emoji: `FIRST_STYLES` for the world of the first weights.
        sets: The emoji; None reads (and if need be installs) them.

    Raises:
        VocabularyError: Nothing is left, or a category, a source or a style is unknown.
    """
    held = holdout()
    unknown = set(categories or ()) - set(CATEGORIES)
    if unknown:
        raise VocabularyError(f"unknown categories {sorted(unknown)}: use some of {CATEGORIES}")
    if set(sources) - set(SOURCES) or "emoji" not in sources:
        raise VocabularyError(f"sources={sources} must be emoji and some of {tuple(SOURCES)}")
    if set(styles) - set(STYLES):
        wrong = sorted(set(styles) - set(STYLES))
        raise VocabularyError(f"unknown styles {wrong}: use some of {STYLES}")
    category_of = concept_categories(sets)
    wanted = set(categories or CATEGORIES)
    found = {}
    for concept, drawn in world_concepts(sets).items():
        drawn = tuple(style for style in drawn if style != held.style)
        if concept in held.concepts or category_of[concept] not in wanted:
            continue
        if _counted(drawn) >= min_styles:
            found[concept] = drawn
    ranked = sorted(found, key=lambda concept: (-_counted(found[concept]), concept))
    kept = sorted(ranked[:limit])
    if not kept:
        raise VocabularyError(f"no concept is drawn in {min_styles} styles of {sorted(wanted)}")
    own = {concept: tuple(s for s in found[concept] if s in styles) for concept in kept}
    if not any(own.values()):
        raise VocabularyError(
            f"none of the {len(kept)} concepts is drawn for training in the styles "
            f"{list(styles)}: add others of {STYLES} (of which {held.style} is held out)"
        )
    return Vocabulary((*_pairs(kept, own), *_other_pairs(sources)), faces=_faces(sources, people))


def _other_pairs(sources: Iterable[str]) -> tuple[Pair, ...]:
    """The pairs of all sources but emoji and faces, without those named like held-out concepts."""
    return tuple(
        (concept, style)
        for source in SOURCES
        if source in sources and source not in ("emoji", "faces")
        for style, drawings in read_source(source).items()
        for concept in sorted(drawings.names())
        if not named_like_heldout(concept)
    )


def _faces(sources: Iterable[str], people: int | None) -> tuple[Face, ...]:
    from .faces import training_faces  # here: it is made of this module's `Face`

    styles = tuple(read_source("faces")) if "faces" in sources else ()
    return training_faces(people, styles) if styles else ()


def heldout_vocabulary(
    styles: Sequence[str] = STYLES, *, sets: Mapping[str, IconSet] | None = None
) -> Vocabulary:
    """The held-out concepts in the styles of training: for evaluation only.

    Args:
        styles: Only these.
        sets: The emoji; None reads (and if need be installs) them.
    """
    held = holdout()
    found = {
        concept: tuple(style for style in drawn if style != held.style and style in styles)
        for concept, drawn in world_concepts(sets).items()
    }
    return Vocabulary(_pairs(sorted(held.concepts & set(found)), found))


def _pairs(concepts: Iterable[str], styles: Mapping[str, tuple[str, ...]]) -> tuple[Pair, ...]:
    return tuple((concept, style) for concept in concepts for style in styles[concept])
