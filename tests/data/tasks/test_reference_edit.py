"""Editing with a reference: the source stays, and the very thing of the reference comes in."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from instruct_imagen.data.example import Example
from instruct_imagen.data.mixture import PAPER_RATIOS
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.registry import training_tasks
from instruct_imagen.data.world.scenes import (
    DARK_COLOURS,
    DARK_INK_STYLES,
    STYLE_NAMES,
    caption_name,
    scene_rng,
)
from instruct_imagen.data.world.vocabulary import Vocabulary

COUNT = 1500


@pytest.fixture(scope="module")
def examples(vocabulary: Vocabulary) -> list[Example]:
    task = all_tasks()["reference_edit"]()
    return [task.example(scene_rng(4, index), vocabulary) for index in range(COUNT)]


def parts(example: Example):
    """Source, picture of the thing, and the thing in the target."""
    (source,) = (one for one in example.references if one.role == "source")
    (shown,) = (one for one in example.references if one.role == "subject")
    (thing,) = shown.picture.scene.placements
    (new,) = (
        asset
        for asset in example.target.scene.placements
        if asset not in source.picture.scene.placements
    )
    return source, shown, thing, new


def test_the_very_asset_comes_in_and_all_else_stays(examples: list[Example]) -> None:
    kinds, styles = Counter(), Counter()
    for example in examples:
        source, shown, thing, new = parts(example)
        assert (new.concept, new.style) == (thing.concept, thing.style)
        assert not (new.tint or new.turn or thing.tint or thing.turn)
        before, after = source.picture.scene, example.target.scene
        assert before.background == after.background
        kept = [asset for asset in after.placements if asset != new]
        assert [asset for asset in before.placements if asset in kept] == kept
        gone = [asset for asset in before.placements if asset not in kept]
        kinds[len(gone)] += 1
        for old in gone:
            assert (old.x, old.y, old.scale) == (new.x, new.y, new.scale)
            assert caption_name(old.concept) in example.text.lower()
            assert old.concept != new.concept
        if new.style in DARK_INK_STYLES:
            assert not set(after.background.colours) & DARK_COLOURS
        styles[new.style in {asset.style for asset in before.placements}] += 1
        assert shown.text == caption_name(thing.concept)
        assert not set(shown.picture.scene.background.colours) & set(before.background.colours)
    assert set(kinds) == {0, 1}
    assert 0.6 < kinds[1] / COUNT < 0.8  # two of three edits that bring something replace
    assert 0.2 < styles[False] / COUNT < 0.32  # some have no other style that can be seen


def test_texts_mark_source_and_thing_in_any_order(examples: list[Example]) -> None:
    orders, forms = Counter(), Counter()
    for example in examples:
        source, shown, _, _ = parts(example)
        orders[source.marker] += 1
        marks = re.findall(r"\[ref#(\d)\]", example.text)
        assert sorted(marks) == ["1", "2"]
        mark = f"[ref#{shown.marker}]"
        wordings = {"named": f"the {mark} {shown.text}", "shown": f"what {mark} shows"}
        forms[next((form for form, one in wordings.items() if one in example.text), "bare")] += 1
        assert not any(name in example.text for name in STYLE_NAMES.values())
    assert abs(orders[1] / COUNT - 0.5) < 0.05
    for form, share in (("named", 0.6), ("bare", 0.25), ("shown", 0.15)):
        assert abs(forms[form] / COUNT - share) < 0.05


def test_it_may_be_trained_on_but_is_not_in_the_papers_mixture() -> None:
    assert "reference_edit" in training_tasks()
    assert not PAPER_RATIOS.get("reference_edit")
