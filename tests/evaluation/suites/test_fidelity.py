"""Prompts with and without references."""

from __future__ import annotations

import pytest

from instruct_imagen.data.example import Background
from instruct_imagen.data.world.fallback import fallback_vocabulary
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.evaluation.suites.fidelity import (
    differ,
    styled_fidelity,
    subject_fidelity,
)
from instruct_imagen.evaluation.suites.world_cases import conditions_of


def plain(*colours: str) -> Background:
    return Background(kind="plain" if len(colours) == 1 else "gradient", colours=colours)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (plain("white"), plain("red"), True),
        (plain("white"), plain("white"), False),
        (plain("white"), plain("light grey"), False),
        (plain("red", "white"), plain("light grey"), False),
        (plain("red", "blue"), plain("white"), True),
        (plain("red"), Background(kind="place", place="beach"), True),
        (Background(kind="place", place="harbour"), Background(kind="place", place="beach"), True),
        (Background(kind="place", place="beach", variant=1),
         Background(kind="place", place="beach"), False),
    ],
)  # fmt: skip
def test_backgrounds_that_anyone_tells_apart(one, other, apart):
    assert differ(one, other) is differ(other, one) is apart


@pytest.mark.parametrize("maker", [subject_fidelity, styled_fidelity])
def test_both_ask_for_the_same_and_only_one_shows_anything(maker):
    for index in range(40):
        shown, alone = maker(scene_rng(9, index), fallback_vocabulary())
        assert alone.text == alone.caption == shown.caption and not alone.references
        assert alone.target == shown.target
        wanted = shown.target.scene.background
        assert all(differ(wanted, one.picture.scene.background) for one in shown.references)
        assert [one.kind for one in conditions_of(alone)] == ["text"]
        assert conditions_of(shown)[-1].kind == "text" and len(conditions_of(shown)) == 2
