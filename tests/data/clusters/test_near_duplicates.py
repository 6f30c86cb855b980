from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.optimize import nnls

from instruct_imagen.data.clusters.aligned import compare
from instruct_imagen.data.clusters.explained import _mixture, explained
from instruct_imagen.data.clusters.hashes import (
    THUMB,
    distance,
    hash_pairs,
    mirrored_distance,
    perceptual_hashes,
    thumbnail,
)
from instruct_imagen.data.clusters.near_duplicates import (
    DuplicateError,
    Measured,
    Thresholds,
    borderline,
    candidate_pairs,
    learn_thresholds,
    margins,
    measure,
    metadata_pairs,
    near_duplicates,
)
from instruct_imagen.data.clusters.planted import CHANGES, plant


def drawing(seed: int, size: tuple[int, int] = (120, 96)) -> Image.Image:
    """Random shapes in random colours."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(150, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(7):
        x, y = rng.uniform(0, 0.8, 2) * size
        wide, high = rng.uniform(0.15, 0.6, 2) * size
        colour = tuple(rng.integers(0, 256, 3).tolist())
        shape = (pen.ellipse, pen.rectangle)[int(rng.integers(2))]
        shape((x, y, x + wide, y + high), fill=colour)
    return image


COUNT = 24
DRAWINGS = [drawing(seed) for seed in range(COUNT)]
SMALL = np.stack([thumbnail(image) for image in DRAWINGS])


@pytest.mark.parametrize("kind", CHANGES)
def test_planted_duplicates_are_found(kind: str) -> None:
    rng = np.random.default_rng(1)
    planted = [plant(image, kind, rng) for image in DRAWINGS]
    assert all(image.mode == "RGB" for image in planted)
    again = np.stack([thumbnail(image) for image in planted])
    pairs = np.stack([np.arange(COUNT), np.arange(COUNT) + COUNT], axis=1)
    measured = measure(pairs, np.concatenate([SMALL, again]))
    found = near_duplicates(measured, Thresholds())
    assert found.sum() >= COUNT - (1 if kind != "several" else 3)
    same = plant(DRAWINGS[0], kind, np.random.default_rng(7))
    assert same.tobytes() == plant(DRAWINGS[0], kind, np.random.default_rng(7)).tobytes()


def test_different_pictures_are_not_merged() -> None:
    pairs = np.array([(one, two) for two in range(COUNT) for one in range(two)])
    assert not near_duplicates(measure(pairs, SMALL), Thresholds()).any()


def test_what_only_one_picture_shows_is_a_difference() -> None:
    plain = Image.new("RGB", (64, 64), (250, 200, 60))
    face = plain.copy()
    ImageDraw.Draw(face).ellipse((8, 8, 56, 56), fill=(90, 120, 200))
    smiling = face.copy()
    ImageDraw.Draw(smiling).rectangle((20, 38, 44, 44), fill=(120, 40, 40))
    one, other = thumbnail(face)[None], thumbnail(smiling)[None]
    for first, second in ((one, other), (other, one)):
        assert compare(first, second).difference[0] > Thresholds().difference


def test_a_small_mark_is_a_difference() -> None:
    """Of 1.5% of the picture, which is the last of all spots that may differ."""
    plain = Image.new("RGB", (160, 160), "white")
    ImageDraw.Draw(plain).ellipse((10, 10, 150, 150), fill=(230, 190, 60))
    marked = plain.copy()
    ImageDraw.Draw(marked).ellipse((70, 70, 92, 92), fill=(60, 40, 20))
    one, other = thumbnail(plain)[None], thumbnail(marked)[None]
    assert compare(one, one).difference[0] < 0.01
    for found in (compare(one, other), compare(other, one)):
        assert found.difference[0] > Thresholds().difference


@pytest.mark.parametrize("box", [(31, 3, 159, 122), (23, 25, 158, 148), (34, 22, 150, 159)])
def test_a_crop_of_a_plain_letter_is_found(box: tuple[int, int, int, int]) -> None:
    """Steps that lead to a worse window are taken back: few edges lead them astray."""
    letter = Image.new("RGB", (160, 160), "white")
    pen = ImageDraw.Draw(letter)
    pen.rectangle((0, 0, 50, 160), fill="black")
    pen.rectangle((0, 120, 110, 160), fill="black")
    found = compare(thumbnail(letter)[None], thumbnail(letter.crop(box))[None])
    assert found.difference[0] < 0.6 and found.correlation[0] > Thresholds().correlation


def test_what_half_the_side_does_not_show_is_looked_at_again() -> None:
    down, across = (Image.new("RGB", (160, 160), (90, 120, 200)) for _ in range(2))
    for place in range(30, 130, 15):
        light = (170, 190, 230)
        ImageDraw.Draw(down).line((place, 30, place, 130), fill=light, width=7)
        ImageDraw.Draw(across).line((30, place, 130, place), fill=light, width=7)
    for image in (down, across):
        ImageDraw.Draw(image).rectangle((0, 0, 160, 12), fill="black")
        ImageDraw.Draw(image).rectangle((0, 0, 10, 160), fill="white")
    one, other = thumbnail(down)[None], thumbnail(across)[None]
    assert not near_duplicates(
        measure(np.array([[0, 1]]), np.concatenate([one, other])), Thresholds()
    ).any()


def test_a_page_of_fine_lines_is_found_again() -> None:
    page = Image.new("RGB", (160, 160), "white")
    pen = ImageDraw.Draw(page)
    for y in range(12, 150, 17):
        pen.line((12, y, 60 + (y * 37) % 85, y), fill=(60, 60, 60), width=3)
    again = [plant(page, kind, np.random.default_rng(1)) for kind in ("crop", "recompress", "flip")]
    other = page.copy()
    ImageDraw.Draw(other).rectangle((80, 60, 140, 110), fill=(60, 60, 60))
    one = np.stack([thumbnail(page)] * 4)
    found = compare(one, np.stack([thumbnail(image) for image in (*again, other)]))
    alike = (found.correlation >= Thresholds().correlation) & (
        found.difference <= Thresholds().difference
    )
    assert alike.tolist() == [True, True, True, False]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_mixtures_are_least_squares_without_negative_weights(seed: int, plain: bool) -> None:
    rng = np.random.default_rng(seed)
    colours = rng.normal(size=(3, 3, 40)).astype(np.float32) * 50
    if plain:  # a grey picture: its three planes are one
        colours[1] = colours[1, :1]
    wanted = (colours * rng.normal(size=(3, 3, 1))).sum(axis=1) + rng.normal(size=(3, 40)) * 9
    colours -= colours.mean(axis=2, keepdims=True)
    wanted = (wanted - wanted.mean(axis=1, keepdims=True)).astype(np.float32)
    weights = _mixture(colours, wanted)
    assert (weights >= 0).all()
    for row in range(3):
        left = np.linalg.norm(weights[row] @ colours[row] - wanted[row])
        _, least = nnls(colours[row].T.astype(np.float64), wanted[row])
        assert left == pytest.approx(least, rel=1e-3, abs=1e-2)


def test_colours_are_added_not_taken_from_each_other() -> None:
    """A shape of one colour that is another one's complement cannot be explained away."""
    size = 24
    both = np.full((1, size, size, 3), 120, np.float32)
    both[:, 4:12, 4:20] = (220, 120, 120)
    both[:, 14:20, 4:20] = (120, 220, 120)
    tinted = both * np.array([0.9, 0.7, 0.8], np.float32) + 20
    assert explained(both, tinted).difference[0] < 0.01
    turned = both.copy()
    turned[:, 14:20, 4:20] = (120, 20, 120)  # what was brighter than the ground is darker
    found = explained(both, turned)
    assert found.difference[0] > 0.9 and found.correlation[0] < 0.9 and found.left[0] > 0.5


def test_comparison_does_not_depend_on_order_or_on_company() -> None:
    shifted = np.roll(SMALL, 1, axis=0)
    one, other = compare(SMALL, shifted), compare(shifted, SMALL)
    assert np.allclose(one.correlation, other.correlation, atol=1e-3)
    alone = compare(SMALL[3:4], shifted[3:4])
    assert np.allclose(alone.difference, one.difference[3], atol=1e-3, equal_nan=True)
    assert (one.correlation >= 0).all() and (one.correlation <= 1).all()


def test_blank_pictures() -> None:
    white = np.full((1, THUMB, THUMB, 3), 255, np.uint8)
    both = compare(white, white // 2)
    assert both.correlation[0] == 1 and both.difference[0] == 0
    one = compare(white, SMALL[:1])
    assert one.correlation[0] == 0 and np.isinf(one.difference[0])


def test_hashes_are_of_the_picture_and_its_mirror_image() -> None:
    hashes = perceptual_hashes(SMALL)
    mirrored = perceptual_hashes(SMALL[:, :, ::-1])
    assert hashes.dtype == np.uint64 and hashes.shape == (COUNT, 2)
    assert distance(hashes[:, 1], mirrored[:, 0]).max() <= 2
    assert mirrored_distance(hashes, mirrored).max() <= 2
    others = mirrored_distance(hashes, np.roll(hashes, 1, axis=0))
    assert np.median(others) > 12
    darker = perceptual_hashes((SMALL * 0.7).astype(np.uint8))
    assert distance(hashes[:, 0], darker[:, 0]).max() <= 4


@settings(max_examples=60)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8), st.data())
def test_all_pairs_within_three_bits_are_proposed(values: list[int], data: st.DataObject) -> None:
    near = []
    for value in values:
        bits = data.draw(st.sets(st.integers(0, 63), max_size=3))
        near.append(value ^ sum(1 << bit for bit in bits))
    rng = np.random.default_rng(0)
    first = np.array(values + near, np.uint64)
    hashes = np.stack([first, rng.integers(2**63, size=len(first), dtype=np.uint64)], axis=1)
    turned = data.draw(st.booleans())
    if turned:  # the second half as mirror images
        hashes[len(values) :] = hashes[len(values) :, ::-1]
    found = {tuple(pair) for pair in hash_pairs(hashes, 3).tolist()}
    assert {(one, one + len(values)) for one in range(len(values))} <= found
    for one, other in found:
        assert one < other
        assert min(distance(hashes[one, :1], hashes[other])) <= 3 or (
            mirrored_distance(hashes[one : one + 1], hashes[other : other + 1])[0] <= 3
        )


def test_candidates_are_neighbours_and_similar_hashes() -> None:
    ids = np.array([[1, -1], [2, 0], [-1, -1], [-1, -1]])
    hashes = np.array([[7, 99 << 40], [~7, 1 << 50], [1 << 60, 5 << 30], [6, 3 << 33]])
    hashes = hashes.astype(np.uint64)
    assert candidate_pairs(ids, hashes, 1).tolist() == [[0, 1], [0, 3], [1, 2]]


def test_same_metadata_is_the_same_picture() -> None:
    columns = {
        "url": np.array([2**63, 8, 0, 2**63, 2**63], np.uint64),
        "page": np.array([0, 0, 5, 0, 5], np.uint64),
    }
    assert metadata_pairs(columns).tolist() == [[0, 3], [0, 4], [2, 4]]
    assert metadata_pairs({}).shape == (0, 2)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Measured, np.ndarray]:
    count = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    same = rng.random(count) < 0.5
    same[:2] = True, False
    spread = draw(st.floats(0.01, 0.4))
    correlation = np.clip(np.where(same, 0.97, 0.7) + rng.normal(0, spread, count), 0, 1)
    difference = np.abs(np.where(same, 0.2, 1.5) + rng.normal(0, spread * 3, count))
    difference[rng.random(count) < 0.1] = np.inf
    similarity = np.clip(rng.normal(0.6, 0.1, count), -1, 0.99)
    parts = (part.astype(np.float32) for part in (similarity, correlation, difference))
    return Measured(**dict(zip(("similarity", "correlation", "difference"), parts, strict=True))), (
        same
    )


@settings(max_examples=150)
@given(labelled(), st.floats(0, 0.5))
def test_learnt_thresholds_keep_to_the_allowed_false_merges(given_, allowed: float) -> None:
    measured, same = given_
    learnt = learn_thresholds(measured, same, false_merges=allowed)
    taken = near_duplicates(measured, learnt)
    assert taken[~same].sum() <= int(allowed * (~same).sum())
    assert learn_thresholds(measured, same, false_merges=allowed) == learnt
    by_eye = margins(measured, learnt)
    near = borderline(measured, learnt, 5)
    assert (by_eye[near.above] >= 0).all() and (by_eye[near.below] < 0).all()
    assert (np.diff(by_eye[near.above]) >= 0).all() and (np.diff(by_eye[near.below]) <= 0).all()


def test_a_pair_counts_for_as_many_as_it_stands_for() -> None:
    rng = np.random.default_rng(2)
    same = np.arange(300) < 100
    measured = Measured(
        similarity=np.full(300, 0.5, np.float32),
        correlation=np.where(same, rng.uniform(0.9, 1, 300), rng.uniform(0.8, 1, 300)),
        difference=np.where(same, rng.uniform(0, 1, 300), rng.uniform(0.2, 3, 300)),
    )
    times = np.where(same, 1, rng.integers(1, 6, 300))
    rows = np.repeat(np.arange(300), times)
    repeated = Measured(
        similarity=measured.similarity[rows],
        correlation=measured.correlation[rows],
        difference=measured.difference[rows],
    )
    found = learn_thresholds(measured, same, false_merges=0.05, weights=times.astype(float))
    assert found == learn_thresholds(repeated, same[rows], false_merges=0.05)
    assert found != learn_thresholds(measured, same, false_merges=0.05)
    # Either three that are lowly correlated or twenty that differ, never both: another lies there.
    same = np.arange(24) < 23
    few = np.arange(24) < 3
    measured = Measured(
        similarity=np.full(24, 0.5, np.float32),
        correlation=np.where(few, 0.9, np.where(same, 0.99, 0.92)),
        difference=np.where(few, 0.1, np.where(same, 0.6, 0.3)),
    )
    taken = near_duplicates(measured, learn_thresholds(measured, same, false_merges=0))
    assert (taken == (same & ~few)).all()
    heavy = np.where(few, 10.0, 1.0)
    found = learn_thresholds(measured, same, false_merges=0, weights=heavy)
    assert (near_duplicates(measured, found) == few).all()


def test_what_can_be_told_apart_is() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(400) < 200
    measured = Measured(
        similarity=np.full(400, 0.5, np.float32),
        correlation=np.where(same, rng.uniform(0.96, 1, 400), rng.uniform(0, 0.99, 400)),
        difference=np.where(same, rng.uniform(0, 0.5, 400), rng.uniform(0.8, 3, 400)),
    )
    learnt = learn_thresholds(measured, same, false_merges=0)
    assert (near_duplicates(measured, learnt) == same).all()
    assert 0.5 < learnt.difference < 0.81 and learnt.similarity == pytest.approx(0.75)


def test_embeddings_alone_are_enough() -> None:
    measured = Measured(
        similarity=np.array([0.995, 0.98, -np.inf], np.float32),
        correlation=np.zeros(3, np.float32),
        difference=np.full(3, np.inf, np.float32),
    )
    assert near_duplicates(measured, Thresholds()).tolist() == [True, False, False]
    assert not near_duplicates(measured, Thresholds(similarity=2)).any()


ONE = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Thresholds(similarity=3), "similarity=3 must be"),
        (lambda: Thresholds(correlation=-0.1), "correlation=-0.1 in"),
        (lambda: Thresholds(difference=float("nan")), "difference=nan must be"),
        (lambda: Thresholds(hash_radius=65), "hash_radius=65 in"),
        (lambda: Measured(similarity=ONE, correlation=ONE, difference=ONE[:1]), "a pair has one"),
        (lambda: Measured(similarity=ONE * np.nan, correlation=ONE, difference=ONE), "none NaN"),
        (
            lambda: learn_thresholds(
                Measured(similarity=ONE, correlation=ONE, difference=ONE), np.array([True, True])
            ),
            "pairs of both kinds, not from 2",
        ),
        (
            lambda: learn_thresholds(
                Measured(similarity=ONE, correlation=ONE, difference=ONE),
                np.array([True, False]),
                false_merges=1,
            ),
            "false_merges=1 must be",
        ),
    ],
)
def test_bad_input_gets_one_clear_line(make, message) -> None:
    with pytest.raises(DuplicateError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match="kind='blur' is unknown: use one of crop, resize"):
        plant(DRAWINGS[0], "blur", np.random.default_rng(0))
