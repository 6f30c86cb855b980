from __future__ import annotations

import hashlib
import itertools
import pickle
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch

from instruct_imagen.data.world import holdout as holdout_module
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.nouns import takes_colour, takes_flip, takes_turn
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.sources import FIRST_STYLES, STYLES, IconSet
from instruct_imagen.data.world.vocabulary import (
    CATEGORIES,
    MIN_STYLES,
    MISDRAWN,
    Vocabulary,
    VocabularyError,
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
    assert len(world) == 1283
    assert min(len(styles) for styles in world.values()) == MIN_STYLES
    assert len(training_world.styles) == 10
    assert len(training_world.concepts) == 792
    assert len(training_world.pairs) == 6872
    # The eleventh set adds drawings, and no concept.
    first = [pair for pair in training_world.pairs if pair[1] in FIRST_STYLES]
    assert len(first) == 6080


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


def test_no_body_is_a_held_out_one(
    icon_sets: Mapping[str, IconSet], world: dict[str, tuple[str, ...]]
) -> None:
    """Nor is it drawn again, letter by letter, under another drawing's name; in all sets."""
    for style, icons in icon_sets.items():
        bodies: dict[str, set[bool]] = {}
        for concept, styles in world.items():
            drawing = icons.drawing(concept)
            if style in styles and drawing is not None:
                held = concept in holdout().concepts
                bodies.setdefault(icons.bodies[drawing][4], set()).add(held)
        assert {True} in bodies.values()
        assert {True, False} not in bodies.values(), style


# Drawings that differ little from a held-out one and are of another thing, as one can see.
TWINS = {("noto-v1", "hushed-face", "frowning-face-with-open-mouth")}  # brows and mouth differ
ALIKE = 50
"""Mean squared difference at 32 pixels; below it, one of a pair is the other in all that counts."""


def test_no_pose_is_a_held_out_drawing(
    icon_sets: Mapping[str, IconSet], training_world: Vocabulary
) -> None:
    """Mirrored or turned as training may do it; turns by other angles are smaller drawings."""
    held = heldout_vocabulary(sets=icon_sets)
    found = set()
    for style in training_world.styles:
        names, others = training_world.concepts_of(style), held.concepts_of(style)
        pairs = [(concept, style) for concept in (*names, *others)]
        level = Atlas.build(pairs, sets=icon_sets).level(32).float()
        sprites, wanted = level[: len(names)], level[len(names) :].flatten(1)
        for quarters, flip in itertools.product(range(4), (False, True)):
            shown = torch.rot90(sprites, quarters, (-2, -1))
            shown = (shown.flip(-1) if flip else shown).flatten(1)
            near = torch.cdist(shown, wanted).square() / wanted.shape[1] < ALIKE
            for row, column in near.nonzero().tolist():
                concept = names[row]
                if (takes_flip(concept) or not flip) and (takes_turn(concept) or not quarters):
                    found.add((style, concept, others[column]))
    assert found == TWINS


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
            assert style not in world.get(concept, ())


def test_what_people_cannot_tell_apart_is_left_out(world: dict[str, tuple[str, ...]]) -> None:
    for word in ("oclock", "thirty", "keycap", "flag", "skin-tone", "-button", "family"):
        assert not [concept for concept in world if word in concept]


def test_people_are_not_coloured(icon_sets: Mapping[str, IconSet]) -> None:
    """No "green baby", no "brown woman health worker"; nor what only looks like a person."""
    category_of = concept_categories(icon_sets)
    people = {concept for concept, name in category_of.items() if name == "People & Body"}
    assert len(people) > 300
    fantasy = {"alien", "clown-face", "ghost", "goblin", "ogre"}
    assert fantasy <= set(category_of)
    assert not {concept for concept in people | fantasy if takes_colour(concept)}
    others = set(category_of) - people - fantasy
    assert sum(takes_colour(concept) for concept in others) > 0.9 * len(others)
    assert all(takes_colour(concept) for concept in ("baby-chick", "mans-shoe", "womans-hat"))


def test_what_says_a_side_is_neither_mirrored_nor_turned(icon_sets: Mapping[str, IconSet]) -> None:
    names = set(concept_categories(icon_sets))
    sided = {concept for concept in names if not takes_flip(concept)}
    assert {
        "chart-increasing", "first-quarter-moon", "last-quarter-moon-face", "left-facing-fist",
        "leftwards-hand", "magnifying-glass-tilted-left", "person-running-facing-right",
        "rightwards-pushing-hand", "waning-gibbous-moon", "waxing-crescent-moon",
    } <= sided  # fmt: skip
    assert len(sided) < 0.04 * len(names)
    assert not any(takes_turn(concept) for concept in sided)
    assert not takes_turn("thumbs-up") and takes_flip("thumbs-up")


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
    with pytest.raises(VocabularyError, match="unknown styles \\['nota'\\]: use some of"):
        training_vocabulary(styles=("noto", "nota"), sets=icon_sets)
    for styles in ((), ("openmoji",)):
        with pytest.raises(VocabularyError, match="concepts is drawn for training in the styles"):
            training_vocabulary(styles=styles, sets=icon_sets)
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
