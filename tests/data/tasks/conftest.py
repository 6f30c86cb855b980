"""A small vocabulary of the real class; the tasks need names only, no artwork."""

from __future__ import annotations

import pytest

from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.people import people

CONCEPTS = ("apple", "bread", "dog", "hot-dog", "owl", "pineapple", "red-apple", "scissors", "taxi")
STYLES = ("twemoji", "fxemoji", "fluent-emoji-flat", "emojione-monotone")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    # Not every concept in every style, as in the real world: each lacks one.
    return Vocabulary(
        tuple(
            (concept, style)
            for number, concept in enumerate(CONCEPTS)
            for skipped, style in enumerate(STYLES)
            if number % len(STYLES) != skipped
        ),
        faces=people(),
    )
