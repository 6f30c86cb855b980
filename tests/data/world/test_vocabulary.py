from __future__ import annotations

import hashlib
import pickle
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import pytest

from instruct_imagen.data.world import holdout as holdout_module
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.sources import FIRST_STYLES, STYLES, IconSet
from instruct_imagen.data.world.vocabulary import (
    CATEGORIES,
    MIN_STYLES,
    MISDRAWN,
    Vocabulary,
    concept_categories,
    heldout_vocabulary,
    training_vocabulary,
    world_concepts,
)
from instruct_imagen.recipes import recipe


@pytest.fixture(scope="module")
def world(icon_sets: Mapping[str, IconSet]) -> dict[str, tuple[str, ...]]:
    return world_concepts(icon_sets)


def test_counts(world: dict[str, tuple[str, ...]], training_world: Vocabulary) -> None:
    """The artwork is pinned, so these numbers change only with the rules."""
    assert len(world) == 1286
    assert min(len(styles) for styles in world.values()) == MIN_STYLES
    assert len(training_world.styles) == 10
    assert len(training_world.concepts) == 797
    assert len(training_world.pairs) == 6902
    # The eleventh set adds drawings, and no concept.
    first = [pair for pair in training_world.pairs if pair[1] in FIRST_STYLES]
    assert len(first) == 6105


def test_the_world_of_the_shipped_weights_can_still_be_drawn(
    icon_sets: Mapping[str, IconSet],
) -> None:
    """Their card says: 3,358 drawings (400 concepts, 9 styles)."""
    config = recipe("starter")
    chosen = {
        "min_styles": config.min_styles, "categories": config.categories,
        "limit": config.concepts, "sets": icon_sets,
    }  # fmt: skip
    found = training_vocabulary(**chosen, styles=FIRST_STYLES)
    assert (len(found.pairs), len(found.concepts), len(found.styles)) == (3358, 400, 9)
    # What the ten sets alone choose, without the eleventh.
    alone = {style: icons for style, icons in icon_sets.items() if style in FIRST_STYLES}
    assert training_vocabulary(**{**chosen, "sets": alone}) == found
    assert training_vocabulary(**chosen).concepts == found.concepts


def test_holdout_is_what_its_rule_gives(icon_sets: Mapping[str, IconSet]) -> None:
    """The rule that is written in the file, applied again to the names alone."""
    names = [icon_sets[style].names() for style in FIRST_STYLES]
    category_of = concept_categories(icon_sets)
    drawn = [c for c in sorted(category_of) if sum(c in known for known in names) >= 8]
    sizes = Counter(category_of[concept] for concept in drawn)
    exact = {category: 120 * size / len(drawn) for category, size in sizes.items()}
    quota = {category: int(share) for category, share in exact.items()}
    by_remainder = sorted(exact, key=lambda category: (quota[category] - exact[category], category))
    for category in by_remainder[: 120 - sum(quota.values())]:
        quota[category] += 1
    chosen: set[str] = set()
    for category, count in quota.items():
        members = [concept for concept in drawn if category_of[concept] == category]
        members.sort(key=lambda c: hashlib.sha256(f"holdout-1:{c}".encode()).hexdigest())
        chosen.update(members[:count])
    assert chosen == holdout().concepts


def test_holdout_is_complete(icon_sets: Mapping[str, IconSet]) -> None:
    held = holdout()
    assert held.version == 1
    assert len(held.concepts) == 120
    assert held.style == "openmoji"
    assert held.combinations == (
        "style+subject",
        "multi-subject",
        "control+subject",
        "control+style",
        "triples",
    )
    category_of = concept_categories(icon_sets)
    spread = Counter(category_of[concept] for concept in held.concepts)
    assert set(spread) == set(CATEGORIES)
    assert min(spread.values()) >= 5


def test_a_changed_holdout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdout_module, "HOLDOUT_SHA256", "0" * 64)
    holdout.cache_clear()
    with pytest.raises(RuntimeError, match=r"holdout\.json has been changed"):
        holdout()
    monkeypatch.undo()
    holdout.cache_clear()
    assert len(holdout().concepts) == 120


def test_training_never_sees_the_holdout(
    icon_sets: Mapping[str, IconSet], training_world: Vocabulary
) -> None:
    held = holdout()
    assert not held.concepts & set(training_world.concepts)
    assert held.style not in training_world.styles
    # Nor does it see a drawing of a held-out concept under another name.
    for style in training_world.styles:
        icons = icon_sets[style]
        kept = {
            icons.drawing(concept)
            for concept in held.concepts
            if style not in MISDRAWN.get(concept, ())
        } - {None}
        shown = {icons.drawing(concept) for concept in training_world.concepts_of(style)}
        assert not kept & shown, style


def test_100_000_scenes_show_nothing_held_out(training_world: Vocabulary) -> None:
    held = holdout()
    rng = scene_rng(0, 0)
    seen: set[tuple[str, str]] = set()
    for _ in range(100_000):
        scene = sample_scene(rng, training_world)
        seen.update((asset.concept, asset.style) for asset in scene.placements)
    assert not {concept for concept, _ in seen} & held.concepts
    assert held.style not in {style for _, style in seen}
    assert seen <= set(training_world.pairs)
    assert len(seen) == len(training_world.pairs)  # and everything else does come


def test_heldout_vocabulary_is_the_holdout(icon_sets: Mapping[str, IconSet]) -> None:
    found = heldout_vocabulary(sets=icon_sets)
    assert set(found.concepts) == holdout().concepts
    assert holdout().style not in found.styles


def test_misdrawn_pairs_exist_and_are_left_out(
    icon_sets: Mapping[str, IconSet], world: dict[str, tuple[str, ...]]
) -> None:
    for concept, styles in MISDRAWN.items():
        for style in styles:
            assert icon_sets[style].drawing(concept) is not None  # else the entry is stale
            assert style not in world[concept]


def test_what_people_cannot_tell_apart_is_left_out(world: dict[str, tuple[str, ...]]) -> None:
    for word in ("oclock", "thirty", "keycap", "flag", "skin-tone", "-button", "family"):
        assert not [concept for concept in world if word in concept]


def test_small_vocabularies(icon_sets: Mapping[str, IconSet]) -> None:
    everything = training_vocabulary(min_styles=8, sets=icon_sets)
    assert all(len(everything.styles_of(concept)) >= 8 for concept in everything.concepts)
    sizes = (24, 100, 400)
    parts = [training_vocabulary(min_styles=8, limit=size, sets=icon_sets) for size in sizes]
    assert [len(part.concepts) for part in parts] == list(sizes)
    for small, large in pairwise([*parts, everything]):
        assert set(small.pairs) <= set(large.pairs)
    food = training_vocabulary(categories=["Food & Drink"], sets=icon_sets)
    category_of = concept_categories(icon_sets)
    assert {category_of[concept] for concept in food.concepts} == {"Food & Drink"}
    with pytest.raises(ValueError, match="unknown categories \\['Food'\\]"):
        training_vocabulary(categories=["Food"], sets=icon_sets)
    with pytest.raises(ValueError, match="no concept is drawn in 11 styles"):
        training_vocabulary(min_styles=11, sets=icon_sets)


def test_order_is_fixed_and_lookups_agree(training_world: Vocabulary) -> None:
    assert list(training_world.concepts) == sorted(training_world.concepts)
    assert training_world.styles == tuple(s for s in STYLES if s in training_world.styles)
    assert training_world.pairs == tuple(
        (concept, style)
        for concept in training_world.concepts
        for style in training_world.styles_of(concept)
    )
    for style in training_world.styles:
        for concept in training_world.concepts_of(style):
            assert style in training_world.styles_of(concept)
    assert training_world.styles_of("gryphon") == ()
    assert training_world.concepts_of("engraving") == ()


def test_pickle_is_small_and_exact(training_world: Vocabulary) -> None:
    raw = pickle.dumps(training_world)
    assert len(raw) < 500_000
    start = time.perf_counter()
    again = pickle.loads(raw)
    assert time.perf_counter() - start < 2.0
    assert again == training_world
    assert again.concepts_of("noto") == training_world.concepts_of("noto")
