"""Which people training may see, and which are kept for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .artwork.faces import (
    FACE_STYLES,
    HELD_OUT_PEOPLE,
    PEOPLE,
    expressions,
    person_name,
    person_number,
)
from .vocabulary import Face, VocabularyError

__all__ = [
    "FACE_STYLES",
    "HELD_OUT_PEOPLE",
    "PEOPLE",
    "heldout_faces",
    "is_held_out",
    "training_faces",
]


def training_faces(
    people: int | None = None, styles: Sequence[str] = FACE_STYLES
) -> tuple[Face, ...]:
    """Faces that training may see, by style, person and expression.

    Args:
        people: So many people of each style, the first by number; None for all of `PEOPLE`.
        styles: Some of `FACE_STYLES`.

    Raises:
        VocabularyError: There are not so many people, or a style is unknown.
    """
    if people is not None and not 1 <= people <= len(PEOPLE):
        raise VocabularyError(f"people={people} must be 1 to {len(PEOPLE)}")
    return _faces(PEOPLE[:people], styles)


def heldout_faces(styles: Sequence[str] = FACE_STYLES) -> tuple[Face, ...]:
    """Faces of the people that training never sees: for evaluation only.

    Raises:
        VocabularyError: A style is unknown.
    """
    return _faces(HELD_OUT_PEOPLE, styles)


def is_held_out(face: Face) -> bool:
    """Whether a face is not one that training may see."""
    return person_number(face.person) not in PEOPLE


def _faces(numbers: Iterable[int], styles: Sequence[str]) -> tuple[Face, ...]:
    unknown = set(styles) - set(FACE_STYLES)
    if unknown:
        raise VocabularyError(f"unknown styles {sorted(unknown)}: use some of {FACE_STYLES}")
    shown = expressions()
    people = [person_name(number) for number in numbers]
    return tuple(
        Face(person=person, expression=expression, style=style)
        for style in styles
        for person in people
        for expression in shown[style]
    )
