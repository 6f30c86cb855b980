"""Captions begin with their background or their style only where a sentence begins."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.world.palette import STYLE_NAMES
from instruct_imagen.data.world.places import PLACES
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary
from tests.data.people import people

COUNT = 1500
BARE = {"retrieval", "instruction_edit", "masked_edit", "reference_edit"}
"""Their texts have no caption, or are one."""

WORDED = sorted(set(all_tasks()) - BARE - {"style_transfer", "reproduce"})
GROUND = r"(?:on|against) (?:an? \w+ background|a background from \w+ to \w+)"
_PHRASES = "|".join(re.escape(one) for place in PLACES.values() for one in place.phrases)
_STYLES = "|".join(map(re.escape, STYLE_NAMES.values()))
FRONTED = re.compile(rf"(?:{_STYLES}): |(?:{GROUND}|{_PHRASES}), ")
SENTENCE = re.compile(r'(?:^|[.?!:] |(?:^|[ (])")$')


@pytest.fixture(scope="module")
def world(training_world: Vocabulary) -> Vocabulary:
    return replace(training_world, faces=people(), variety=Variety(places=0.4))


@pytest.mark.parametrize("task", WORDED)
def test_what_a_caption_begins_with_opens_a_sentence(task: str, world: Vocabulary) -> None:
    fronted = 0
    for index in range(COUNT):
        example = all_tasks()[task]().example(scene_rng(23, index), world)
        found = FRONTED.match(example.caption)
        if found is None:
            continue
        fronted += 1
        before, words, _ = example.text.lower().partition(found.group().lower())
        assert words, example.text
        assert SENTENCE.search(before), example.text
    assert fronted > 0.04 * COUNT  # nor has the order been given up
