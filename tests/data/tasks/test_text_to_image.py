"""Natural images and artwork, told apart where the world has photographs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from instruct_imagen.data.mixture import Mixture
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.world.scenes import STYLE_NAMES, scene_rng
from instruct_imagen.data.world.vocabulary import (
    PHOTOGRAPHIC_STYLES,
    Vocabulary,
    VocabularyError,
)

PHOTOGRAPHS = tuple((concept, PHOTOGRAPHIC_STYLES[0]) for concept in ("dog", "owl", "taxi"))


@pytest.fixture
def both(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> Vocabulary:
    """A world of drawings and photographs."""
    monkeypatch.setitem(STYLE_NAMES, PHOTOGRAPHIC_STYLES[0], "photograph")
    return replace(vocabulary, pairs=(*vocabulary.pairs, *PHOTOGRAPHS))


def styles(task: str, vocabulary: Vocabulary) -> set[str]:
    made = (all_tasks()[task]().example(scene_rng(2, index), vocabulary) for index in range(300))
    return {asset.style for one in made for asset in one.target.scene.placements}


def test_natural_images_are_photographs_where_there_are_some(
    both: Vocabulary, vocabulary: Vocabulary
) -> None:
    assert styles("text_to_image", both) == set(PHOTOGRAPHIC_STYLES)
    assert styles("text_to_image_art", both) == set(vocabulary.styles)
    assert styles("text_to_image", vocabulary) == set(vocabulary.styles)
    assert styles("text_to_image_art", vocabulary) == set(vocabulary.styles)


def test_artwork_always_names_its_style(vocabulary: Vocabulary) -> None:
    task = all_tasks()["text_to_image_art"]()
    for index in range(300):
        example = task.example(scene_rng(2, index), vocabulary)
        assert example.references == ()
        style = STYLE_NAMES[example.target.scene.placements[0].style]
        assert style in example.caption
        assert style in example.text.lower()
        assert example.text != example.caption


def test_without_drawings_there_is_no_artwork(both: Vocabulary) -> None:
    task, photographs = all_tasks()["text_to_image_art"](), both.of_styles(PHOTOGRAPHIC_STYLES)
    assert drawable(task, both)
    assert not drawable(task, photographs)
    with pytest.raises(VocabularyError, match="cannot be drawn: the world has no drawings"):
        task.example(scene_rng(0, 0), photographs)
    ratios = {"text_to_image": 0.5, "text_to_image_art": 0.5}
    assert Mixture(all_tasks(), ratios, photographs, 0).ratios == {"text_to_image": 1.0}


def test_a_part_of_a_vocabulary_is_made_once_and_never_empty(both: Vocabulary) -> None:
    part = both.of_styles(PHOTOGRAPHIC_STYLES)
    assert part.pairs == PHOTOGRAPHS
    assert part.variety == both.variety
    assert both.of_styles(list(PHOTOGRAPHIC_STYLES)) is part
    with pytest.raises(VocabularyError, match=r"nothing is drawn in any of the styles \['oil'\]"):
        both.of_styles(["oil"])
