"""`depth`: any depth-estimation model of transformers ([Hu24] §3.2 uses MiDaS)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from PIL import Image

from instruct_imagen.data.annotators.base import (
    AnnotatorError,
    check_positive,
    fingerprint,
    in_batches,
    to_grey,
)

if TYPE_CHECKING:
    from instruct_imagen.data.annotators.pretrained import Pretrained

NEAREST = 1e-3
"""Metres; nearer is taken as so near."""

_DISTANCES = ("chmv2", "depth_pro", "glpn", "tipsv2_dpt", "zoedepth")
"""Types of transformers models whose maps hold metres; others may tell in their config."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Depth, near is bright.

    Each map is stretched so that its farthest place is black and its nearest white. Maps of
    distances are inverted before (1 / metres), so that those of all models look alike. A map
    that is even everywhere is black.

    Attributes:
        model: A folder or hub name, e.g. of DPT (MiDaS), Depth Anything, GLPN, ZoeDepth.
        large: What is there where the model's values are large: ``near`` (MiDaS), or ``far``
            where they are distances; ``auto`` takes it from the model's type. A DPT that was
            trained on metres (NYU, KITTI) does not tell: say ``far`` for it.
        device: Where the network runs.
        batch_size: Images of one size at once.
    """

    name: ClassVar[str] = "depth"
    model: str = ""
    large: Literal["auto", "near", "far"] = "auto"
    device: str = "cpu"
    batch_size: int = 4

    def __post_init__(self) -> None:
        check_positive(self, "batch_size")
        if self.large not in ("auto", "near", "far"):
            raise AnnotatorError(f"depth: large={self.large} must be auto, near or far")
        if not self.model:
            raise AnnotatorError(
                "depth needs a model: name a folder or a hub name of a transformers depth model, "
                "e.g. Intel/dpt-hybrid-midas"
            )

    @property
    def fingerprint(self) -> str:
        """See `base.Annotator`."""
        return fingerprint(self, version=1, weights=self._pretrained.weights)

    @cached_property
    def _pretrained(self) -> Pretrained:
        from instruct_imagen.data.annotators.pretrained import load_pretrained

        return load_pretrained(self.model, _auto_class, kind="depth", device=self.device)

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """See `base.Annotator`."""
        return in_batches(images, self.batch_size, self._draw)

    def _draw(self, images: list[Image.Image]) -> list[Image.Image]:
        width, height = images[0].size
        config = self._pretrained.network.config
        outputs = self._pretrained(images)
        sizes = [(height, width)] * len(images)
        found = self._pretrained.processor.post_process_depth_estimation(outputs, sizes)
        distances = self.large == "far" or (self.large == "auto" and are_distances(config))
        maps = [one["predicted_depth"].float().cpu().numpy() for one in found]
        return [to_grey(nearness(one.reshape(height, width), distances)) for one in maps]


def _auto_class(config: Any) -> Any:
    """The Auto class of transformers that loads a depth model of a config's type."""
    from transformers import MODEL_FOR_DEPTH_ESTIMATION_MAPPING, AutoModelForDepthEstimation

    if type(config) not in MODEL_FOR_DEPTH_ESTIMATION_MAPPING:
        raise AnnotatorError(
            f"depth: a model of type {config.model_type} finds no depth: name a depth model, e.g. "
            "Intel/dpt-hybrid-midas"
        )
    if config.model_type == "zoedepth" and importlib.util.find_spec("torchvision") is None:
        raise AnnotatorError(
            "depth: transformers cuts ZoeDepth's maps with torchvision, which is not installed: "
            "install it, or name another model"
        )
    return AutoModelForDepthEstimation


def are_distances(config: Any) -> bool:
    """Whether a model's maps hold distances, by the config of the transformers model."""
    told = getattr(config, "depth_estimation_type", None)
    return told == "metric" if told is not None else config.model_type in _DISTANCES


def nearness(values: np.ndarray, distances: bool) -> np.ndarray:
    """A model's map -> 0 where it is farthest to 1 where it is nearest.

    Args:
        values: (H, W) floats.
        distances: Whether they are metres; else they are larger where it is nearer.

    Returns:
        (H, W) floats in [0, 1]; 0 everywhere if all are the same; NaN if any of them is.
    """
    near = 1 / np.maximum(values, NEAREST) if distances else values
    low, high = near.min(), near.max()
    if low == high:
        return np.zeros_like(near)
    return (near - low) / (high - low)


ANNOTATOR = Depth
