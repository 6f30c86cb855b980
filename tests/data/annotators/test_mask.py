"""Masks by tiny models of the real classes with random weights, and by ONNX files made here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    MaskFormerConfig,
    MaskFormerForInstanceSegmentation,
    MaskFormerImageProcessorPil,
    SegformerConfig,
    SegformerForImageClassification,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    SwinConfig,
)
from transformers.models.detr import DetrConfig

from instruct_imagen.data.annotators.base import AnnotatorError
from instruct_imagen.data.annotators.mask import Mask

LABELS = {0: "wall", 1: "Cat", 2: "background", 3: "dog"}


def segformer_config(labels):
    return SegformerConfig(
        hidden_sizes=[4, 4, 8, 8], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8, id2label=labels, label2id={name: k for k, name in labels.items()},
    )  # fmt: skip


def randomised(network):
    torch.manual_seed(3)
    with torch.no_grad():  # as transformers begins, such small networks are even everywhere
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    return network.eval()


def segformer(folder, labels):
    """A network in a folder, with its processor."""
    network = randomised(SegformerForSemanticSegmentation(segformer_config(labels)))
    processor = SegformerImageProcessorPil(size={"height": 64, "width": 64})
    network.save_pretrained(folder)
    processor.save_pretrained(folder)
    return network, processor


def images():
    """Blocks of colours, of several sizes."""
    rng = np.random.default_rng(0)
    sizes = [(6, 9), (8, 8), (6, 9), (4, 12), (6, 9)]
    return [
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8).repeat(7, 0).repeat(7, 1))
        for size in sizes
    ]


def values(image):
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("background", "numbers"), [("", [2]), ("Wall", [0]), ("dog, background,cat", [1, 2, 3])]
)
def test_all_but_the_background_is_white(tmp_path, background, numbers):
    network, processor = segformer(tmp_path, LABELS)
    seen = set()
    drawn = Mask(model=str(tmp_path), background=background, batch_size=2)(images())
    for image, one in zip(images(), drawn, strict=True):
        with torch.no_grad():
            outputs = network(**processor(images=[image], return_tensors="pt"))
        size = [(image.height, image.width)]
        labels = processor.post_process_semantic_segmentation(outputs, size)[0].numpy()
        assert (one.mode, one.size) == ("L", image.size)
        # Rounding may turn a label where two are as likely.
        assert ((values(one) == 0) == np.isin(labels, numbers)).mean() > 0.999
        seen |= set(np.unique(values(one)))
    assert seen == {0, 255}


def test_maskformer(tmp_path):
    swin = SwinConfig(
        embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=2, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    detr = DetrConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=5,
    )  # fmt: skip
    config = MaskFormerConfig(
        backbone_config=swin, decoder_config=detr, fpn_feature_size=32, mask_feature_size=32,
        id2label=LABELS, label2id={name: k for k, name in LABELS.items()},
    )  # fmt: skip
    network = randomised(MaskFormerForInstanceSegmentation(config))
    processor = MaskFormerImageProcessorPil(
        size={"height": 64, "width": 64}, size_divisor=32, ignore_index=255
    )
    network.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    drawn = Mask(model=str(tmp_path), background="wall")(images())
    for image, one in zip(images(), drawn, strict=True):
        with torch.no_grad():
            outputs = network(**processor(images=[image], return_tensors="pt"))
        size = [(image.height, image.width)]
        labels = processor.post_process_semantic_segmentation(outputs, size)[0].numpy()
        assert ((values(one) == 0) == (labels == 0)).mean() > 0.999


def test_a_network_with_one_label_keeps_its_half_tones(tmp_path):
    network, processor = segformer(tmp_path, {0: "object"})
    for image, one in zip(images(), Mask(model=str(tmp_path))(images()), strict=True):
        with torch.no_grad():
            logits = network(**processor(images=[image], return_tensors="pt")).logits
        size = (image.height, image.width)
        true = torch.nn.functional.interpolate(logits, size, mode="bilinear")[0, 0].sigmoid()
        assert np.abs(values(one) - true.numpy() * 255).max() < 0.6
        assert len(np.unique(values(one))) > 10
    with pytest.raises(AnnotatorError, match="has one label: leave out background"):
        Mask(model=str(tmp_path), background="wall")(images())


def test_models_that_cannot_be_used_are_one_clear_line(tmp_path):
    def fails(words, **settings):
        with pytest.raises(AnnotatorError, match=words) as caught:
            Mask(**settings)(images())
        assert "\n" not in str(caught.value)

    fails("mask needs a model")
    fails("model=/nowhere/model cannot be loaded", model="/nowhere/model")
    segformer(tmp_path / "ade", {0: "wall", 1: "sky"})
    ade = str(tmp_path / "ade")
    fails("no label 'background': .* it has 2 labels: wall, sky", model=ade)
    fails("no label 'tree'", model=ade, background="wall,tree")
    for name, value in (("size", 64), ("mean", (0.5,) * 3), ("std", (1.0,) * 3), ("logits", True)):
        fails(f"{name} is for ONNX files", model=ade, **{name: value})
    BertConfig().save_pretrained(tmp_path / "bert")
    fails("a model of type bert with 2 labels gives no map", model=str(tmp_path / "bert"))
    # A classifier of images: transformers would fill in the rest at random.
    classifier = SegformerForImageClassification(segformer_config(LABELS))
    classifier.save_pretrained(tmp_path / "classifier")
    SegformerImageProcessorPil().save_pretrained(tmp_path / "classifier")
    fails(r"lacks \d+ weights, e.g. decode_head", model=str(tmp_path / "classifier"))


def test_the_fingerprint_holds_labels_and_weights(tmp_path):
    network, _ = segformer(tmp_path / "one", LABELS)
    segformer(tmp_path / "same", LABELS)
    one = Mask(model=str(tmp_path / "one")).fingerprint
    assert Mask(model=str(tmp_path / "same")).fingerprint == one
    assert Mask(model=str(tmp_path / "one"), background="wall").fingerprint != one
    with torch.no_grad():
        network.decode_head.classifier.bias += 1
    network.save_pretrained(tmp_path / "same")
    assert Mask(model=str(tmp_path / "same")).fingerprint != one


# -- ONNX files ------------------------------------------------------------------------------------


def onnx_file(path, *, size=("h", "w"), batch="n", sigmoid=True, rank=4, kind="FLOAT", more=()):
    """A network that takes red less green, times 2, as its logit."""
    onnx = pytest.importorskip("onnx", reason="onnx (extra dev) is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime (extra annotators) is not installed")
    helper = onnx.helper
    number = getattr(onnx.TensorProto, kind)
    weight = np.array([2, -2, 0], np.float32).reshape(1, 3, 1, 1)
    weights = [onnx.numpy_helper.from_array(weight, "weight")]
    nodes = [helper.make_node("Conv", ["image", "weight"], ["logits"])]
    last = "logits"
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", [last], ["share"]))
        last = "share"
    if rank == 3:
        weights.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
        nodes.append(helper.make_node("Squeeze", [last, "axis"], ["map"]))
        last = "map"
    if rank == 2:
        nodes.append(helper.make_node("Flatten", [last], ["flat"]))
        last = "flat"
    given = [helper.make_tensor_value_info("image", number, [batch, 3, *size])]
    given += [helper.make_tensor_value_info(name, number, [1]) for name in more]
    found = helper.make_tensor_value_info(last, number, [None] * rank)
    graph = helper.make_graph(nodes, "objects", given, [found], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return str(path)


def by_hand(image, *, size, mean, std):
    """What the network gives, enlarged."""
    small = np.asarray(image.resize(size, Image.Resampling.BILINEAR)) / 255
    normal = (small - mean) / std
    share = 1 / (1 + np.exp(-2 * (normal[..., 0] - normal[..., 1])))
    maps = torch.from_numpy(share)[None, None]
    shape = (image.height, image.width)
    return torch.nn.functional.interpolate(maps, shape, mode="bilinear", antialias=True)[0, 0]


IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("file", "settings", "size", "normal"),
    [
        ({}, {"size": 32}, (32, 32), IMAGENET),
        ({"rank": 3}, {"size": 128}, (128, 128), IMAGENET),
        ({"size": (24, 40)}, {}, (40, 24), IMAGENET),
        ({"batch": 1}, {"size": 32}, (32, 32), IMAGENET),
        ({"sigmoid": False}, {"size": 32, "logits": True}, (32, 32), IMAGENET),
        (
            {}, {"size": 32, "mean": (0.5, 0.4, 0.3), "std": (1.0, 2.0, 3.0)},
            (32, 32), dict(mean=(0.5, 0.4, 0.3), std=(1.0, 2.0, 3.0)),
        ),
    ],
)  # fmt: skip
def test_an_onnx_file(tmp_path, file, settings, size, normal):
    model = onnx_file(tmp_path / "net.onnx", **file)
    drawn = Mask(model=model, batch_size=2, **settings)(images())
    for image, one in zip(images(), drawn, strict=True):
        true = by_hand(image, size=size, **normal).numpy() * 255
        assert (one.mode, one.size) == ("L", image.size)
        assert np.abs(values(one) - true).max() < 0.6
        assert true.max() - true.min() > 50


def test_the_fingerprint_of_an_onnx_file(tmp_path):
    one = Mask(model=onnx_file(tmp_path / "one.onnx"), size=32)
    same = Mask(model=onnx_file(tmp_path / "same.onnx"), size=32, batch_size=1)
    other = Mask(model=onnx_file(tmp_path / "other.onnx", rank=3), size=32)
    larger = Mask(model=one.model, size=64)
    assert one.fingerprint == same.fingerprint
    assert len({one.fingerprint, other.fingerprint, larger.fingerprint}) == 3


def test_onnx_files_that_cannot_be_used_are_one_clear_line(tmp_path):
    def fails(words, model, **settings):
        with pytest.raises(AnnotatorError, match=words) as caught:
            Mask(model=str(model), **settings)(images())
        assert "\n" not in str(caught.value)

    fine = onnx_file(tmp_path / "fine.onnx")
    fails(r"nowhere\.onnx is no file", tmp_path / "nowhere.onnx")
    fails("say which it was trained at, e.g. size=1024", fine)
    fails("size=-1 must be 0 or more", fine, size=-1)
    fails("background is for models with labels", fine, size=32, background="wall")
    fails("mean=.* must be three numbers", fine, size=32, mean=(0.5,))
    fails("std=.* must not be 0", fine, size=32, std=(1.0, 0.0, 1.0))
    fails("device=nowhere cannot be used by this onnxruntime", fine, size=32, device="nowhere")
    (tmp_path / "text.onnx").write_text("no network")
    fails(r"text\.onnx is no whole ONNX file", tmp_path / "text.onnx", size=32)
    fixed = onnx_file(tmp_path / "fixed.onnx", size=(24, 24))
    fails("takes 24 × 24 pixels, not size=32: leave it out", fixed, size=32)
    bare = onnx_file(tmp_path / "bare.onnx", sigmoid=False)
    fails("so it is no probability: give logits=true", bare, size=32)
    flat = onnx_file(tmp_path / "flat.onnx", rank=2)
    fails("no network that finds objects", flat, size=32)
    double = onnx_file(tmp_path / "double.onnx", more=("extra",))
    fails("does not take one float32 image", double, size=32)
    pair = onnx_file(tmp_path / "pair.onnx", batch=3)
    fails(r"cannot be run on \(1, 3, 32, 32\)", pair, size=32)
