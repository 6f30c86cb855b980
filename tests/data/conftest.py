"""The starter world, small: what the tests of the data code draw from."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.sources import IconSet, read_sets
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary

CONCEPTS = 24


@pytest.fixture(scope="session")
def icon_sets() -> Mapping[str, IconSet]:
    """The eleven sets of artwork, installed if they are not in the cache yet."""
    return read_sets()


@pytest.fixture(scope="session")
def training_world(icon_sets: Mapping[str, IconSet]) -> Vocabulary:
    """Everything that training may draw."""
    return training_vocabulary(sets=icon_sets)


@pytest.fixture(scope="session")
def vocabulary(icon_sets: Mapping[str, IconSet]) -> Vocabulary:
    """24 concepts in all ten training styles."""
    return training_vocabulary(limit=CONCEPTS, min_styles=8, sets=icon_sets)


@pytest.fixture(scope="session")
def atlas(icon_sets: Mapping[str, IconSet], vocabulary: Vocabulary) -> Atlas:
    """Their sprites, 64 pixels a side."""
    return Atlas.build(vocabulary.pairs, sets=icon_sets)
