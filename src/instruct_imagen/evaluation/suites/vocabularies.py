"""What the frozen suites are drawn from: the starter's world, and what it has never seen.

Numbers, not the recipe itself: a later starter may differ, and the suites stay what they are. A
test says whether they still agree.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from instruct_imagen.data.world.faces import heldout_faces
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.variety import PLAIN, Variety
from instruct_imagen.data.world.vocabulary import (
    CATEGORIES,
    Vocabulary,
    concept_categories,
    heldout_vocabulary,
    training_vocabulary,
)

VARIETY = Variety(most_assets=2, places=0.25, turned=0.1, tinted=0.1)
CONCEPTS, MIN_STYLES, PEOPLE = 400, 8, 100
FEW_CONCEPTS, FEW_PEOPLE = 24, 10
KINDS = tuple(name for name in CATEGORIES if name != "People & Body")
"""Categories of concepts, seen and unseen."""


@lru_cache(maxsize=1)
def seen() -> Vocabulary:
    """What a training of the starter draws: concepts, styles and people."""
    return replace(_of_training(CONCEPTS, PEOPLE), variety=VARIETY)


@lru_cache(maxsize=1)
def few_concepts() -> Vocabulary:
    """What the arms of the claims draw (`recipes.claims`): part of `seen`, on plain colours."""
    return replace(_of_training(FEW_CONCEPTS, FEW_PEOPLE), variety=PLAIN)


def _of_training(concepts: int, people: int) -> Vocabulary:
    return training_vocabulary(
        min_styles=MIN_STYLES,
        categories=KINDS,
        limit=concepts,
        sources=("emoji", "faces"),
        people=people,
    )


@lru_cache(maxsize=1)
def unseen_concepts() -> Vocabulary:
    """Held-out concepts in the styles of training, and no others; held-out people."""
    category = concept_categories()
    found = heldout_vocabulary()
    pairs = tuple(pair for pair in found.pairs if category[pair[0]] in KINDS)
    return Vocabulary(pairs, VARIETY, heldout_faces())


@lru_cache(maxsize=1)
def with_unseen_style() -> Vocabulary:
    """Concepts of training in its styles and in the held-out one.

    All of them exist there: concepts are chosen by how many sets draw them, and a test says so.
    """
    concepts, style = seen().concepts, holdout().style
    return Vocabulary((*seen().pairs, *((concept, style) for concept in concepts)), VARIETY)
