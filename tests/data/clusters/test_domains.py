"""Domains: what is near to one is of it, the rest is other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruct_imagen.data.clusters.domains import (
    CAPTION_SCALE,
    DOMAINS,
    OTHER,
    Domain,
    DomainSettings,
    Prompts,
    domain_shares,
    prompts_of,
    sort_part,
)
from instruct_imagen.data.clusters.pretrained_encoders import PretrainedEncoder
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.sentences import Sentences
from tests.data.clusters.networks import clip
from tests.data.clusters.pictures import scene

THREE = tuple(Domain(name=name, prompts=(f"a {name}",)) for name in ("cat", "dog", "car"))
AXES = Prompts(vectors=np.eye(3, dtype=np.float32), owners=np.arange(3), scale=4.0)


def sorted_by(vector, **settings):
    rows = np.array([vector], np.float32)
    rows /= np.linalg.norm(rows)
    return sort_part(rows, AXES, DomainSettings(domains=THREE, **settings)).names[0]


def test_the_nearest_domain_wins_and_ties_are_other():
    assert sorted_by((0, 1, 0)) == "dog" and sorted_by((0.1, 0, 1)) == "car"
    assert sorted_by((1, 1, 0)) == OTHER
    assert sorted_by((1, 1, 0), min_share=0, min_lead=0) == OTHER
    assert sorted_by((1, 0.99, 0), min_share=0, min_lead=0) == "cat"


def test_what_is_not_sure_enough_is_other():
    assert sorted_by((1, 0.5, 0.4)) == "cat"
    assert sorted_by((1, 0.5, 0.4), min_share=0.95) == OTHER
    assert sorted_by((1, 0.5, 0.4), min_lead=0.9) == OTHER


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_stricter_settings_only_make_others(seed, share, lead):
    vectors = np.random.default_rng(seed).normal(size=(20, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    loose = sort_part(vectors, AXES, DomainSettings(domains=THREE, min_share=0, min_lead=0))
    found = sort_part(vectors, AXES, DomainSettings(domains=THREE, min_share=share, min_lead=lead))
    pairs = zip(found.names, loose.names, strict=True)
    assert all(name in (OTHER, before) for name, before in pairs)
    assert sum(found.counts.values()) == 20 and list(found.counts) == ["cat", "dog", "car", OTHER]
    shares = domain_shares(vectors, AXES, 3)
    assert np.allclose(shares.sum(axis=1), 1) and np.allclose(found.shares, shares.max(axis=1))


def test_the_nearest_of_several_texts_counts():
    prompts = Prompts(vectors=np.eye(4, dtype=np.float32), owners=np.array([0, 0, 1, 2]), scale=4.0)
    settings = DomainSettings(domains=THREE)
    assert sort_part(np.eye(4), prompts, settings).names == ("cat", "cat", "dog", "car")


def test_captions_are_sorted_by_the_default_list():
    settings, words = DomainSettings(), Sentences(batch_size=8)
    prompts = prompts_of(settings, words, CAPTION_SCALE)
    captions = {
        "A brown hen.": "animals", "two puppies on the lawn": "animals",
        "a slice of pizza": "food", "A red apple.": "food",
        "an old steam locomotive": "vehicles", "a green oak": "plants",
        "a woman in a red dress": "people", "sunrise in the Alps": "scenery",
        "an oil painting of the nineteenth century": "art", "a hammer": "products",
        "football players": "sports", "a stop sign": "symbols", "the town hall": "buildings",
    }  # fmt: skip
    found = sort_part(words(list(captions)), prompts, settings)
    wrong = [c for c, name in zip(captions, found.names, strict=True) if captions[c] != name]
    assert wrong == []
    vague = sort_part(words(["thing", "of the and", "2019"]), prompts, settings)
    assert OTHER in vague.names


def test_pictures_are_sorted_by_a_network_with_a_text_side(tmp_path):
    encoder = PretrainedEncoder(model=clip(tmp_path / "clip"))
    settings = DomainSettings(domains=THREE, min_share=0, min_lead=0)
    words = encoder.texts
    prompts = prompts_of(settings, words, words.scale)
    pictures = encoder([scene(n) for n in range(6)])
    found = sort_part(pictures, prompts, settings)
    best = (pictures @ words([f"a {one.name}" for one in THREE]).T).argmax(axis=1)
    assert found.names == tuple(THREE[index].name for index in best)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Domain(name="", prompts=("a",)), "names are of files"),
        (lambda: Domain(name=OTHER, prompts=("a",)), "must not be named"),
        (lambda: Domain(name="../a", prompts=("a",)), "names are of files"),
        (lambda: Domain(name="a", prompts=()), "at least one prompt"),
        (lambda: Domain(name="a", prompts=("",)), "at least one prompt"),
        (lambda: DomainSettings(domains=THREE[:1]), "at least two"),
        (lambda: DomainSettings(domains=(*THREE, THREE[0])), "named differently"),
        (lambda: DomainSettings(min_share=1.5), "min_share"),
        (lambda: DomainSettings(min_lead=-1), "min_lead"),
    ],
)
def test_lists_that_cannot_be_are_refused(make, named):
    with pytest.raises(ClusterError, match=named):
        make()


def test_the_default_list_has_what_the_paper_names():
    assert {"art", "products", "animals", "scenery"} <= {one.name for one in DOMAINS}
