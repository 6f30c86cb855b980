"""The starter world's hold-out as pictures: all of it, nothing else, and found in a corpus."""

from __future__ import annotations

import io
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageOps

from instruct_imagen.data.clusters.hashes import perceptual_hashes, thumbnail
from instruct_imagen.data.clusters.holdouts import STARTER, open_holdout
from instruct_imagen.data.clusters.leakage import SAME_PICTURE, Pictures, leaks_of
from instruct_imagen.data.clusters.near_duplicates import Thresholds
from instruct_imagen.data.clusters.starter_holdout import SIDE, HeldDrawings
from instruct_imagen.data.world.faces import heldout_faces
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.vocabulary import (
    Vocabulary,
    heldout_vocabulary,
    training_vocabulary,
    world_concepts,
)
from instruct_imagen.images import load_image


@pytest.fixture(scope="module")
def starter() -> HeldDrawings:
    """Reads (and if need be installs) all emoji and faces."""
    found = open_holdout(STARTER)
    assert isinstance(found, HeldDrawings)
    return found


def test_all_that_is_held_out_and_nothing_that_is_not(
    starter: HeldDrawings, training_world: Vocabulary
) -> None:
    pairs = {(name, style) for style, _, names in starter.styles for name in names}
    assert not pairs & set(training_world.pairs)
    assert pairs >= set(heldout_vocabulary().pairs)
    assert pairs >= {face.pair for face in heldout_faces()}
    style = holdout().style
    assert {name for name, own in pairs if own == style} == {
        concept for concept, styles in world_concepts().items() if style in styles
    }
    faces = training_vocabulary(sources=("emoji", "faces"), people=2).faces
    assert not pairs & {face.pair for face in faces}


def pictures(images: list[Image.Image]) -> Pictures:
    thumbs = np.stack([thumbnail(image) for image in images])
    vectors = np.random.default_rng(len(images)).normal(size=(len(images), 16))  # tell nothing
    names = [str(number) for number in range(len(images))]
    return Pictures(
        sha256=[f"{len(images)} {name}" for name in names], thumbs=thumbs,
        hashes=perceptual_hashes(thumbs), vectors=vectors,
    )  # fmt: skip


def test_its_drawings_are_found_on_white_in_other_sizes(starter: HeldDrawings) -> None:
    part = next(k for k, (style, *_) in enumerate(starter.styles) if style == "twemoji")
    drawn = list(islice(starter.images(part), 12))
    assert drawn[0][0] == f"twemoji/{starter.styles[part][2][0]}.png"
    images = [load_image(io.BytesIO(data)) for _, data in drawn]
    assert {image.size for image in images} == {(SIDE, SIDE)}
    assert starter.inputs(part) != starter.inputs(part - 1)
    clear = io.BytesIO()  # as a set of emoji comes: transparent, and cut to the drawing
    alpha = ImageOps.invert(images[3].convert("L")).point(lambda level: 255 * (level > 4))
    cut = images[3].copy()
    cut.putalpha(alpha)
    cut.save(clear, "PNG")
    corpus = [
        images[1].resize((72, 72), Image.Resampling.LANCZOS),
        ImageOps.mirror(images[2]).resize((32, 32)),
        load_image(clear),
    ]
    found = leaks_of(pictures(corpus), pictures(images), Thresholds())
    assert [(leak.row, leak.held, leak.why) for leak in found] == [
        (0, 1, SAME_PICTURE),
        (1, 2, SAME_PICTURE),
        (2, 3, SAME_PICTURE),
    ]
