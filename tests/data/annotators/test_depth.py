"""Depth by tiny models of the real classes, with random weights."""

from __future__ import annotations

import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessorPil,
)

from instruct_imagen.data.annotators.base import AnnotatorError
from instruct_imagen.data.annotators.depth import Depth, are_distances, nearness

DINO = dict(
    hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14,
    mlp_ratio=2, out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
)  # fmt: skip


def depth_anything(**settings):
    config = DepthAnythingConfig(
        backbone_config=Dinov2Config(**DINO), patch_size=14, reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 4, 8, 8], fusion_hidden_size=8, head_hidden_size=4, **settings,
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(config), DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )


def dpt():
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16,
        image_size=32, patch_size=16, backbone_out_indices=[0, 1, 2, 3], fusion_hidden_size=8,
        neck_hidden_sizes=[4, 4, 8, 8], is_hybrid=False,
    )  # fmt: skip
    return DPTForDepthEstimation(config), DPTImageProcessorPil(size={"height": 32, "width": 32})


def glpn():
    config = GLPNConfig(
        hidden_sizes=[4, 4, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
    )  # fmt: skip
    return GLPNForDepthEstimation(config), GLPNImageProcessorPil()


def saved(folder, make, **settings):
    """A model with random weights in a folder, its path."""
    torch.manual_seed(3)
    network, processor = make(**settings)
    with torch.no_grad():  # as transformers begins, such small networks are even everywhere
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("depth"), depth_anything)


def images():
    rng = np.random.default_rng(0)
    sizes = [(40, 60), (64, 64), (40, 60), (35, 90), (40, 60)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize(
    ("make", "settings", "distances"),
    [
        (depth_anything, {}, False),
        (depth_anything, {"depth_estimation_type": "metric", "max_depth": 20}, True),
        (dpt, {}, False),
        (glpn, {}, True),
    ],
)
def test_a_map_is_the_models_own_near_bright_and_stretched(tmp_path, make, settings, distances):
    model = saved(tmp_path, make, **settings)
    network, processor = make(**settings)
    network = type(network).from_pretrained(model).eval()
    drawn = Depth(model=model)(images())
    for image, one in zip(images(), drawn, strict=True):
        with torch.no_grad():
            outputs = network(**processor(images=[image], return_tensors="pt"))
        size = [(image.height, image.width)]
        found = processor.post_process_depth_estimation(outputs, size)[0]["predicted_depth"]
        near = 1 / found.clamp(min=1e-3) if distances else found
        true = (near - near.min()) / (near.max() - near.min()) * 255
        assert near.max() > near.min()
        assert (one.mode, one.size) == ("L", image.size)
        assert np.abs(np.asarray(one).astype(float) - true.numpy()).max() < 1.01
        assert (np.asarray(one).min(), np.asarray(one).max()) == (0, 255)


def test_large_turns_the_map_round(folder):
    image = images()[:1]
    auto, near, far = (
        np.asarray(Depth(model=folder, large=large)(image)[0]).astype(int)
        for large in ("auto", "near", "far")
    )
    assert np.array_equal(auto, near)
    assert np.corrcoef(near.ravel(), far.ravel())[0, 1] < 0
    assert (far[near == 255] == 0).all()
    with pytest.raises(AnnotatorError, match="large=up must be auto, near or far"):
        Depth(model=folder, large="up")


def test_batches_change_nothing(folder):
    for one, other in zip(
        Depth(model=folder, batch_size=1)(images()),
        Depth(model=folder, batch_size=3)(images()),
        strict=True,
    ):
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1


def test_which_types_hold_distances():
    assert are_distances(GLPNConfig())
    assert not are_distances(DPTConfig())
    assert are_distances(DepthAnythingConfig(depth_estimation_type="metric"))
    assert not are_distances(DepthAnythingConfig())


def test_nearness():
    given = np.array([[1.0, 3.0], [2.0, 5.0]])
    assert nearness(given, False).tolist() == [[0, 0.5], [0.25, 1]]
    far = nearness(given, True)
    assert (far[0, 0], far[1, 1]) == (1, 0)
    assert far[1, 0] == pytest.approx((1 / 2 - 1 / 5) / (1 - 1 / 5))
    assert nearness(np.array([[0.0, -1.0]]), True).tolist() == [[0, 0]]
    assert nearness(np.full((2, 2), 7.0), False).tolist() == [[0, 0], [0, 0]]
    assert np.isnan(nearness(np.array([[1.0, np.nan]]), True)).all()


def test_the_fingerprint_is_of_weights_and_processor_not_of_their_place(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    plain = Depth(model=folder).fingerprint
    assert Depth(model=str(copy), batch_size=2).fingerprint == plain
    assert Depth(model=str(copy), large="far").fingerprint != plain
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    settings["image_mean"] = [0.1, 0.2, 0.3]
    (copy / "preprocessor_config.json").write_text(json.dumps(settings))
    assert Depth(model=str(copy)).fingerprint != plain
    other = DepthAnythingForDepthEstimation.from_pretrained(folder)
    with torch.no_grad():
        other.head.conv3.bias += 0.1
    other.save_pretrained(tmp_path / "copy")
    (copy / "preprocessor_config.json").write_text(
        (type(copy)(folder) / "preprocessor_config.json").read_text()
    )
    assert Depth(model=str(copy)).fingerprint != plain


def test_weights_that_broke_are_no_black_picture(folder, tmp_path):
    broken = DepthAnythingForDepthEstimation.from_pretrained(folder)
    with torch.no_grad():
        broken.head.conv3.bias.fill_(float("nan"))
    shutil.copytree(folder, tmp_path / "copy")
    broken.save_pretrained(tmp_path / "copy")
    with pytest.raises(AnnotatorError, match="NaN"):
        Depth(model=str(tmp_path / "copy"))(images())


def test_models_that_cannot_be_used_are_one_clear_line(folder, tmp_path):
    def fails(words, **settings):
        with pytest.raises(AnnotatorError, match=words) as caught:
            Depth(**settings)(images())
        assert "\n" not in str(caught.value)

    fails("depth needs a model: name a folder or a hub name")
    fails("model=/nowhere/model cannot be loaded", model="/nowhere/model")
    fails("model=no/model-of-that-name cannot be loaded", model="no/model-of-that-name")
    fails("device=nowhere cannot be used .*: try device=cpu", model=folder, device="nowhere")
    fails("batch_size=0 must be more than 0", model=folder, batch_size=0)
    BertConfig().save_pretrained(tmp_path / "bert")
    fails("a model of type bert finds no depth", model=str(tmp_path / "bert"))
    # A backbone alone: transformers would fill in the rest at random.
    shutil.copytree(folder, tmp_path / "backbone")
    backbone = Dinov2Model(Dinov2Config(**DINO)).state_dict()
    (tmp_path / "backbone/model.safetensors").unlink()
    torch.save(backbone, tmp_path / "backbone/pytorch_model.bin")
    fails(r"lacks \d+ weights", model=str(tmp_path / "backbone"))
    # Their processors, or what these need for their maps, have no other backend.
    for kind, processor in (("depth_pro", "DepthPro"), ("zoedepth", "ZoeDepth")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "config.json").write_text(json.dumps({"model_type": kind}))
        settings = {"image_processor_type": f"{processor}ImageProcessor"}
        (tmp_path / kind / "preprocessor_config.json").write_text(json.dumps(settings))
        if importlib.util.find_spec("torchvision") is None:
            fails("torchvision", model=str(tmp_path / kind))


def test_an_image_that_is_too_small_for_the_network_is_one_clear_line(tmp_path):
    model = saved(tmp_path, glpn)
    with pytest.raises(AnnotatorError, match=r"glpn takes no images of 40 × 20 pixels .*enlarge"):
        Depth(model=model)([Image.new("RGB", (40, 20))])


def test_loading_says_nothing(folder, capfd):
    Depth(model=folder)(images()[:1])
    assert capfd.readouterr() == ("", "")
