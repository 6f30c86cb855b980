"""The two baselines: a copy, and memory."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.copy_reference import GREY, CopyReference
from instruct_imagen.evaluation.peers.nearest import NearestTraining
from instruct_imagen.evaluation.peers.registry import open_model
from instruct_imagen.instruction import Instruction, Reference

RED = np.zeros((16, 16, 3), np.uint8) + np.array([200, 10, 20], np.uint8)


def test_the_first_reference_comes_back_and_grey_for_none():
    two = (Reference(2, RED, "dog"), Reference(1, 255 - RED, "cat"))
    image = CopyReference(size="16").generate(Instruction("[ref#1] [ref#2]", two), seed=5)
    assert (np.asarray(image) == RED).all()
    none = CopyReference(size="24").generate(Instruction("a dog"), seed=5)
    assert none.size == (24, 24)
    assert (np.asarray(none) == GREY).all()


def test_sizes_have_fingerprints_of_their_own():
    assert CopyReference(size="16").fingerprint != CopyReference(size="32").fingerprint
    with pytest.raises(EvaluationError, match="size=7 must be a whole number from 8"):
        open_model("copy_reference:size=7")


@pytest.fixture(scope="module")
def nearest():
    return NearestTraining(bank="120", size="16", world="drawings")


def test_a_caption_of_the_bank_leads_to_its_own_target(nearest):
    assert len(nearest.captions) == len(nearest.targets) <= 120
    assert all(nearest.captions)
    for index in (0, 7, 31):
        found = nearest.nearest(nearest.captions[index])
        assert nearest.captions[found] == nearest.captions[index]


def test_markers_and_references_do_not_count(nearest):
    caption = nearest.captions[3]
    plain = nearest.generate(Instruction(caption), seed=1)
    asked = Instruction(f"[ref#1] {caption}", (Reference(1, RED, "dog"),))
    assert (np.asarray(nearest.generate(asked, seed=2)) == np.asarray(plain)).all()
    assert isinstance(plain, Image.Image)
    assert plain.size == (16, 16)


def test_words_about_a_thing_lead_to_a_picture_of_it(nearest):
    for thing in ("fish", "house", "car"):
        scene = nearest.targets[nearest.nearest(f"a {thing}")].scene
        assert thing in {placement.concept for placement in scene.placements}


def test_another_bank_has_another_fingerprint(nearest):
    other = NearestTraining(bank="60", size="16", world="drawings")
    assert other.captions == nearest.captions[: len(other.captions)]
    assert other.fingerprint != nearest.fingerprint
    with pytest.raises(EvaluationError, match="use one of emoji, drawings"):
        NearestTraining(world="mars")
