"""Perceptual quality without a reference: could this be a real render of the world?

What is measured is how a picture is drawn, not what it shows. Two small networks are asked, which
were taught on real renders of the training split and on the same made worse on purpose: the *head*
sees maps of EfficientNet-Lite0's first blocks, and was taught nine faults of whole pictures
(`evaluation.corruptions`); the *pixel network* sees the pixels too, and was taught twenty-one, on
things alone as well (`evaluation.faults`). Where one of them takes a real render for a worse one,
the other mostly does not, so the sum of both counts. No network and no threshold was fitted to a
generated image, but that both are summed and which share of renders passes was chosen on outputs
that a person had rated (docs/judges.md).

``python -m instruct_imagen.evaluation.quality_fit`` makes such a file; the shipped one joins the
networks of two earlier runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.quality_networks import (
    SIZES,
    Features,
    PixelNetwork,
    QualityHead,
)

FILE = "quality.safetensors"

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What the networks' numbers are of real renders, and from where faults begin.

    Attributes:
        head: The head's median and standard deviation.
        pixels: The pixel network's.
        limits: Of the sum of both in these units: from where a fault shows, and from where it
            spoils the picture.
    """

    head: tuple[float, float]
    pixels: tuple[float, float]
    limits: tuple[float, float]

    def summed(self, head: Tensor, pixels: Tensor) -> Tensor:
        """Fault, (N,): about 0 for half of real renders."""
        units = zip((head, pixels), (self.head, self.pixels), strict=True)
        first, second = ((values - middle) / spread for values, (middle, spread) in units)
        return first + second


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
        tensors, self._scales = read(found)
        self._networks = {size: networks_of(tensors, size) for size in SIZES}

    @cached_property
    def fingerprint(self) -> str:
        """Changes when scores may: of networks and thresholds."""
        return hashlib.sha256(self._stored).hexdigest()[:16]

    def score(self, images: Sequence[np.ndarray]) -> list[tuple[float, str, dict[str, float]]]:
        """PQ, why, and what was measured, of each picture.

        Args:
            images: uint8 (side, side, 3), of any sides.

        Returns:
            PQ is 1 for what could be a real render, 0.5 where faults show, 0 where they spoil it.
            ``fault`` is the sum of what both networks say, in units of real renders.
        """
        found: list[tuple[float, str, dict[str, float]] | None] = [None] * len(images)
        for size in SIZES:
            mine = [i for i, one in enumerate(images) if nearest_size(one.shape[0]) == size]
            scale = self._scales[size]
            for start in range(0, len(mine), _BATCH):
                rows = mine[start : start + _BATCH]
                batch = torch.stack([_at(images[row], size) for row in rows])
                faults = scale.summed(*both_sides(self._features, *self._networks[size], batch))
                for row, fault in zip(rows, faults.tolist(), strict=True):
                    found[row] = verdict(fault, scale.limits)
        return [one for one in found if one is not None]


def verdict(fault: float, limits: Sequence[float]) -> tuple[float, str, dict[str, float]]:
    """PQ of what was measured.

    Args:
        fault: Of both networks.
        limits: From where a fault shows, and from where it spoils the picture.
    """
    measures, (shows, spoils) = {"fault": fault}, limits
    if fault < shows:
        return 1.0, f"as clean as a real render: fault {fault:.2f}", measures
    if fault < spoils:
        return 0.5, f"faults in how it is drawn: {fault:.2f}, renders {shows:.2f}", measures
    return 0.0, f"spoiled: fault {fault:.2f}, from {spoils:.2f}; renders {shows:.2f}", measures


def read(path: Path) -> tuple[dict[str, Tensor], dict[int, Scale]]:
    """Tensors by name, as halves, and the scale of each size."""
    with safe_open(str(path), framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        stored = json.loads((file.metadata() or {}).get("scales", "null"))
    if stored is None:
        raise EvaluationError(
            f"{path} is no quality file of this version: make one, python -m "
            "instruct_imagen.evaluation.quality_fit"
        )
    scales = {
        int(size): Scale(**{name: (pair[0], pair[1]) for name, pair in found.items()})
        for size, found in stored.items()
    }
    return tensors, scales


def metadata(scales: Mapping[int, Scale]) -> dict[str, str]:
    """What `read` finds beside the tensors."""
    return {"scales": json.dumps({size: asdict(one) for size, one in scales.items()})}


def networks_of(tensors: Mapping[str, Tensor], size: int) -> tuple[QualityHead, PixelNetwork]:
    """Both networks of a size."""
    head, pixels = QualityHead(), PixelNetwork(size).folded()
    for name, network in (("head", head), ("pixels", pixels)):
        first = f"{size}.{name}."
        own = {key.removeprefix(first): key for key in tensors if key.startswith(first)}
        network.load_state_dict({short: tensors[key].float() for short, key in own.items()})
    return head.eval().requires_grad_(False), pixels.eval().requires_grad_(False)


@torch.inference_mode()
def both_sides(
    features: Features, head: QualityHead, pixels: PixelNetwork, images: Tensor
) -> tuple[Tensor, Tensor]:
    """What head and pixel network say, (N,) each: means over pictures and their mirror images.

    A fault is one from both sides; what a network only takes for one often is not.

    Args:
        features: Of EfficientNet-Lite0.
        head: Of the pictures' size.
        pixels: Likewise.
        images: (N, 3, size, size) uint8.
    """
    said = []
    for side in (images, images.flip(-1)):
        maps = features(side)
        said.append(torch.stack([head(maps), pixels(side, maps)]))
    first, second = torch.stack(said).mean(0)
    return first, second


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
