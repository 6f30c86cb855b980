"""Faces by name, without artwork: what tasks of faces draw from in tests."""

from __future__ import annotations

from collections.abc import Sequence

from instruct_imagen.data.world.vocabulary import Face

EXPRESSIONS = ("angry", "laughing", "sad", "smiling", "surprised")
STYLES = ("portraits-one", "portraits-two", "portraits-three")


def people(styles: Sequence[str] = STYLES, each: int = 6) -> tuple[Face, ...]:
    """`each` people of each style in all expressions; persons of two styles share their names."""
    return tuple(
        Face(person=f"person-{number:04d}", expression=expression, style=style)
        for style in styles
        for number in range(each)
        for expression in EXPRESSIONS
    )
