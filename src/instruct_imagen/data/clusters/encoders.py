"""What pictures and captions are embedded with: the interfaces, and the offline default."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from instruct_imagen.data.annotators.base import AnnotatorError, torch_device
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.efficientnet import MEAN, SCALE, efficientnet_lite0
from instruct_imagen.images import to_square

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The second is 2.6 times as fast on CPUs that have it (`fast_dtype`), slower on others."""


class ImageEncoder(Protocol):
    """Turns pictures into vectors.

    Attributes:
        width: Numbers of a vector.
        batch_size: Pictures at once.
        view: Pixels of the shorter side beyond which a picture may be made smaller beforehand.
        fingerprint: Of all that a vector depends on besides the picture.
    """

    width: int
    batch_size: int
    view: int

    @property
    def fingerprint(self) -> str:
        """See above."""

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(N, width) float32, each row of length 1, of RGB pictures of any sizes."""


class WordEncoder(Protocol):
    """Turns texts into vectors; attributes as of `ImageEncoder`."""

    width: int

    @property
    def fingerprint(self) -> str:
        """See `ImageEncoder`."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(N, width) float32, each row of length 1."""


@dataclass(frozen=True, kw_only=True)
class Lite0:
    """Pooled features of three depths of EfficientNet-Lite0, each of length 1, one after another.

    The last layers alone know the 1,000 classes of ImageNet; what looks alike is better found where
    parts and textures are told apart. Which depths, at which size, was chosen by how often a
    picture's nearest neighbour shows the same thing (``benchmarks/corpus_figures.py layers``).

    Attributes:
        side: Pixels; pictures are padded to squares with white.
        batch_size: Pictures at once; also a last batch is run in this shape, so that a vector does
            not depend on what else is embedded.
        dtype: ``float32``, or ``bfloat16`` where the machine is faster with it.
        device: Where it runs.
    """

    side: int = 128
    batch_size: int = 16
    dtype: str = "float32"
    device: str = "cpu"

    width: ClassVar[int] = 112 + 192 + 320

    def __post_init__(self) -> None:
        check_encoder(self.batch_size, self.dtype)
        if self.side < 32:
            raise ClusterError(f"embed: side={self.side} must be 32 or more")

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, without the network."""
        return {name: value for name, value in vars(self).items() if name != "_network"}

    @property
    def view(self) -> int:
        """See `ImageEncoder`."""
        return 2 * self.side

    @property
    def fingerprint(self) -> str:
        """See `ImageEncoder`."""
        return f"lite0 1 {self.side} {self.batch_size} {self.dtype} {self._network[1]}"

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """See `ImageEncoder`.

        Raises:
            ClusterError: A package is missing.
        """
        network, _ = self._network
        found = []
        for start in range(0, len(pictures), self.batch_size):
            some = pictures[start : start + self.batch_size]
            pixels = np.zeros((self.batch_size, self.side, self.side, 3), np.uint8)
            for row, picture in enumerate(some):
                pixels[row] = np.asarray(to_square(picture, self.side))
            values = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device)
            with torch.inference_mode():
                found.append(unit(network(values))[: len(some)])
        return np.concatenate(found) if found else np.empty((0, self.width), np.float32)

    @cached_property
    def _network(self) -> tuple[_Depths, str]:
        try:
            network = efficientnet_lite0()
            device = torch_device(self.device)
        except (ModuleNotFoundError, AnnotatorError) as error:
            raise ClusterError(f"embed: {error}") from error
        weights = weights_hash(network)
        own = _Depths(network).to(device, DTYPES[self.dtype])
        return own.to(memory_format=torch.channels_last), weights


class _Depths(nn.Module):
    """(N, 3, side, side) uint8 -> (N, 624)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks

    def forward(self, pixels: Tensor) -> Tensor:
        state = pixels.to(next(self.parameters()).dtype)
        state = self.stem(((state - MEAN) / SCALE).contiguous(memory_format=torch.channels_last))
        taps = []
        for number, block in enumerate(self.blocks):
            state = block(state)
            if number in (10, 14):
                taps.append(state.float().mean((2, 3)))
        taps.append(state.float().amax((2, 3)))
        return torch.cat([nn.functional.normalize(tap, dim=1) for tap in taps], 1)


def fast_dtype(device: str) -> str:
    """Which of `DTYPES` is faster on a device of this machine."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    flags = Path("/proc/cpuinfo")
    known = flags.read_text().split() if flags.is_file() else []
    return "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(known) else "float32"


def unit(vectors: Tensor) -> np.ndarray:
    """(N, D) of any floats -> float32 rows of length 1.

    Raises:
        ClusterError: A row is NaN, infinite or 0 everywhere.
    """
    rows = vectors.detach().double().cpu().numpy()
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ClusterError("embed: the network gives NaN or 0: its weights are broken, use others")
    return (rows / lengths).astype(np.float32)


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of a network's weights, hexadecimal."""
    digest = hashlib.sha256()
    for name, values in sorted(network.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_encoder(batch_size: int, dtype: str) -> None:
    """Raises a `ClusterError` unless an encoder can have these settings."""
    if batch_size < 1 or dtype not in DTYPES:
        raise ClusterError(
            f"embed: batch_size={batch_size} must be 1 or more, and dtype={dtype} one of "
            f"{', '.join(DTYPES)}"
        )
