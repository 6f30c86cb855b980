"""Networks that rate pictures: each kind of file, tiny and real."""

from __future__ import annotations

import pickle

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from torch import nn
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessorPil

from instruct_imagen.data.clusters.quality_models import ModelQuality, mean_scores
from instruct_imagen.data.clusters.rows import ClusterError

DARK, LIGHT = Image.new("RGB", (60, 40), "black"), Image.new("RGB", (40, 40), "white")


class Light(nn.Module):
    """Ten classes; the lighter a picture, the higher the likely ones."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        light = pixels.mean((1, 2, 3))[:, None]
        return torch.softmax(light * torch.arange(10.0)[None], 1)


def torchscript(folder):
    path = folder / "nima.pt"
    torch.jit.trace(Light(), torch.zeros(2, 3, 8, 8)).save(str(path))
    return str(path)


def onnx_file(folder):
    """The same as ONNX, without the softmax, for one picture at a time."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["light"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["light", "column"], ["lights"]),
        helper.make_node("Mul", ["lights", "classes"], ["scores"]),
    ]
    constants = [
        helper.make_tensor("column", TensorProto.INT64, [2], [1, 1]),
        helper.make_tensor("classes", TensorProto.FLOAT, [1, 10], np.arange(10.0)),
    ]
    given = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])
    found = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "nima", [given], [found], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "nima.onnx"))
    return str(folder / "nima.onnx")


def classifier(folder):
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], num_labels=5)
    ResNetForImageClassification(config).save_pretrained(folder / "net")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder / "net")
    return str(folder / "net")


@pytest.mark.parametrize("make", [torchscript, onnx_file])
def test_files_give_the_mean_of_their_distribution(make, tmp_path):
    quality = ModelQuality(model=make(tmp_path), size=8, batch_size=2)
    dark, light, again = quality([DARK, LIGHT, DARK])
    assert 0 <= dark < 0.2 and 0.8 < light <= 1 and again == pytest.approx(dark, abs=1e-6)
    whitened = ModelQuality(model=quality.model, size=8, mean=(-9.0,) * 3, std=(1.0,) * 3)
    assert whitened([DARK])[0] > 0.9
    assert whitened.fingerprint != quality.fingerprint
    sent = pickle.loads(pickle.dumps(quality))
    assert sent([DARK]) == pytest.approx([dark]) and sent.fingerprint == quality.fingerprint
    wrong = ModelQuality(model=quality.model, size=9)
    if make is onnx_file:
        with pytest.raises(ClusterError, match="cannot be run"):
            wrong([DARK])


def test_a_transformers_classifier_rates_with_its_own_processor(tmp_path):
    quality = ModelQuality(model=classifier(tmp_path))
    scores = quality([DARK, LIGHT])
    assert all(0 < one < 1 for one in scores) and scores[0] != scores[1]
    assert quality([LIGHT])[0] == pytest.approx(scores[1], abs=1e-5)
    (tmp_path / "net").rename(tmp_path / "moved")
    moved = ModelQuality(model=str(tmp_path / "moved"))
    assert moved.fingerprint == quality.fingerprint


def test_scores_are_means_of_probabilities_or_of_logits():
    even, last = mean_scores(np.array([[0.25] * 4, [0, 0, 0, 1.0]]))
    assert (even, last) == (pytest.approx(0.5), pytest.approx(1))
    logits = np.array([[3.0, 1.0, -2.0]])
    shares = np.exp(logits) / np.exp(logits).sum()
    assert mean_scores(logits)[0] == pytest.approx(float(shares[0] @ [0, 0.5, 1]))
    assert mean_scores(np.array([[1000.0, -1000.0]])) == [0.0]


@pytest.mark.parametrize(
    ("outputs", "named"),
    [(np.zeros((2, 1)), "at least 2"), (np.zeros(3), "shape"), (np.full((1, 4), np.nan), "NaN")],
)
def test_what_is_no_distribution_is_refused(outputs, named):
    with pytest.raises(ClusterError, match=named):
        mean_scores(outputs)


def test_models_that_are_not_there_are_named(tmp_path):
    for model, cause in (
        ("none.pt", "is no file"),
        ("none.onnx", "is no file"),
        ("none", "cannot be loaded"),
    ):
        with pytest.raises(ClusterError, match=cause):
            ModelQuality(model=str(tmp_path / model))([DARK])
    for name in ("broken.pt", "broken.onnx"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ClusterError, match="cannot be loaded"):
            ModelQuality(model=str(tmp_path / name))([DARK])
    for wrong in ({"size": 0}, {"batch_size": 0}, {"std": (1.0, 0.0, 1.0)}):
        with pytest.raises(ClusterError, match="must be"):
            ModelQuality(model="x", **wrong)
