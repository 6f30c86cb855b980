"""Right and wrong pairs of a suite: what the thresholds of the embedding judge are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from instruct_imagen.data.example import Picture
from instruct_imagen.evaluation.case import Case, Condition
from instruct_imagen.evaluation.judges.embedding_models import picture_hash
from instruct_imagen.images import load_image

ImageFeatures = Callable[[Sequence[Image.Image]], np.ndarray]
"""RGB pictures -> (N, D), each of length 1."""

TextFeatures = Callable[[Sequence[str]], np.ndarray]
"""Texts -> (N, D), each of length 1."""

MAPS = ("edge", "sketch", "depth", "mask")
"""Roles of references that are no pictures of things."""

MAX_QUERIES = 2000
"""Pictures that are compared with all others; of more, those with the smallest hashes."""

MAX_QUALITY = 200
"""Pictures that are corrupted."""

NOISE = 64
"""Standard deviation of the noise of `corrupted`, of 255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """What one marker of a case shows.

    Attributes:
        identity: Two are of one thing where these have something in common: of the world, the
            drawings (or styles) that are shown; of real images, the images.
        pictures: RGB.
    """

    identity: frozenset[object]
    pictures: tuple[Image.Image, ...]

    @cached_property
    def key(self) -> tuple[str, ...]:
        """Hashes of the pictures, sorted."""
        return tuple(sorted(picture_hash(one) for one in self.pictures))


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """A picture whose right answers are known.

    Attributes:
        picture: RGB.
        own: What it shows; other things are mismatched.
        matched: The part of `own` that it may be compared with (without itself).
    """

    picture: Image.Image
    own: tuple[Shown, ...]
    matched: tuple[Shown, ...]


def pictures_of_marker(case: Case, marker: int) -> list[Image.Image]:
    """The references that share a marker, decoded."""
    references = case.instruction.references
    return [load_image(one.image) for one in references if one.marker == marker]


def shown(case: Case, condition: Condition) -> Shown:
    """What the marker of a condition shows."""
    assert condition.marker is not None
    pictures = tuple(pictures_of_marker(case, condition.marker))
    placements = [
        placement
        for one in (case.example.references if case.example is not None else ())
        if one.marker == condition.marker and isinstance(one.picture, Picture)
        for placement in one.picture.scene.placements
    ]
    if not placements:
        return Shown(identity=frozenset(map(picture_hash, pictures)), pictures=pictures)
    style = condition.kind == "style"
    identity = {one.style if style else (one.concept, one.style) for one in placements}
    return Shown(identity=frozenset(identity), pictures=pictures)


def reference_queries(cases: Sequence[Case], kind: str) -> tuple[list[Query], list[Shown]]:
    """Queries of a kind of condition that references show, and all that is shown.

    A case with a target asks with it; one without asks with each of its references, which is
    matched with the others of its marker.
    """
    things: dict[tuple[str, ...], Shown] = {}
    queries: dict[tuple[object, ...], Query] = {}
    for case in cases:
        found = [shown(case, one) for one in case.conditions if one.kind == kind]
        own = tuple(things.setdefault(one.key, one) for one in found)
        if not own:
            continue
        if case.target is not None:
            target = load_image(case.target)
            query = Query(picture=target, own=own, matched=own)
            queries.setdefault((picture_hash(target), *(one.key for one in own)), query)
            continue
        for thing in own:
            for row, picture in enumerate(thing.pictures):
                rest = thing.pictures[:row] + thing.pictures[row + 1 :]
                others = (Shown(identity=thing.identity, pictures=rest),) if rest else ()
                query = Query(picture=picture, own=own, matched=others)
                queries.setdefault((picture_hash(picture), thing.key), query)
    chosen = [queries[key] for key in sorted(queries)[:MAX_QUERIES]]
    return chosen, [things[key] for key in sorted(things)[:MAX_QUERIES]]


def reference_pairs(
    cases: Sequence[Case], kind: str, features: ImageFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of matched and of mismatched pairs, each the mean over a marker's pictures."""
    queries, things = reference_queries(cases, kind)
    if not queries:
        return np.empty(0), np.empty(0)
    means = np.stack([features(one.pictures).mean(0) for one in things])
    matched, mismatched = [], []
    for query in queries:
        (vector,) = features([query.picture])
        matched += [float((features(one.pictures) @ vector).mean()) for one in query.matched]
        known = frozenset().union(*(one.identity for one in query.own))
        other = [not known & one.identity for one in things]
        mismatched.append(means[other] @ vector)
    return np.array(matched), np.concatenate(mismatched)


def text_pairs(
    cases: Sequence[Case], images: ImageFeatures, texts: TextFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """CLIP-T of matched and of mismatched pairs of pictures and prompts.

    Targets are matched with their own prompt and mismatched with all others. Cases without a
    target have no matched pair; their references are mismatched with the prompts of cases that
    share none of them.
    """
    prompts = sorted({case.prompt for case in cases if case.prompt})
    queries: dict[str, tuple[Image.Image, set[str], set[str]]] = {}
    for case in cases:
        if not case.prompt:
            continue
        right = case.target is not None
        for picture in [load_image(case.target)] if right else _things_of(case):
            key = picture_hash(picture)
            _, known, matched = queries.setdefault(key, (picture, set(), set()))
            known.add(case.prompt)
            matched.update({case.prompt} if right else ())
    if not queries:
        return np.empty(0), np.empty(0)
    features = texts(prompts)
    matched_found, mismatched = [], []
    for key in sorted(queries)[:MAX_QUERIES]:
        picture, known, matched = queries[key]
        similarities = features @ images([picture])[0]
        for prompt, similarity in zip(prompts, similarities, strict=True):
            if prompt in matched:
                matched_found.append(float(similarity))
            elif prompt not in known:
                mismatched.append(float(similarity))
    return np.array(matched_found), np.array(mismatched)


def _things_of(case: Case) -> list[Image.Image]:
    """References that are pictures, not maps, decoded."""
    references = case.instruction.references
    return [load_image(one.image) for one in references if one.role not in MAPS]


def quality_pictures(cases: Sequence[Case]) -> list[Image.Image]:
    """Real pictures of a suite: references that are no maps, and targets."""
    found: dict[str, Image.Image] = {}
    for case in cases:
        targets = [load_image(case.target)] if case.target is not None else []
        for picture in (*_things_of(case), *targets):
            found.setdefault(picture_hash(picture), picture)
    return [found[key] for key in sorted(found)[:MAX_QUALITY]]


def corrupted(picture: Image.Image) -> Mapping[str, Image.Image]:
    """A picture blurred, noised and half covered by squares of noise; always the same of it."""
    rng = np.random.default_rng(int(picture_hash(picture)[:16], 16))
    pixels = np.asarray(picture).astype(np.float64)
    height, width, _ = pixels.shape
    noised = np.clip(pixels + rng.normal(0, NOISE, pixels.shape), 0, 255).round().astype(np.uint8)
    grid = 8
    covers = rng.permutation(grid * grid).reshape(grid, grid) < grid * grid // 2
    rows = np.arange(height) * grid // height
    columns = np.arange(width) * grid // width
    colours = rng.integers(0, 256, (grid, grid, 3))
    at = np.ix_(rows, columns)
    covered = np.where(covers[at][:, :, None], colours[at], pixels).astype(np.uint8)
    return {
        "blurred": picture.filter(ImageFilter.GaussianBlur(max(1.0, min(width, height) / 24))),
        "noised": Image.fromarray(noised),
        "half covered": Image.fromarray(covered),
    }
