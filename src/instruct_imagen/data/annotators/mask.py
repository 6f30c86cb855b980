"""`mask`: where the objects are, by any segmentation model ([Hu24] §3.2: salient objects)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

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
    from instruct_imagen.data.annotators.onnx_mask import OnnxMask
    from instruct_imagen.data.annotators.pretrained import Pretrained

_ONNX_ONLY = ("size", "mean", "std", "logits")
_UNIVERSAL = ("mask2former", "maskformer")
_SHOWN = 12  # labels in an error


@dataclass(frozen=True, kw_only=True)
class Mask:
    """Objects white, the rest black.

    Three kinds of models:

    * an ONNX file (``.onnx``) with one map of probabilities: U²-Net, IS-Net, BiRefNet. The mask
      keeps its half tones, as the world's keep theirs at borders;
    * a transformers segmentation model with one label: the same;
    * a transformers segmentation model with several labels: all but the background is white,
      without half tones.

    Attributes:
        model: A ``.onnx`` file, or a folder or hub name of a semantic segmentation model,
            MaskFormer or Mask2Former.
        background: Labels that are no object, with commas, e.g. ``"wall,floor,sky"``; empty for
            "background". Of models with several labels only.
        size: Side of an ONNX network's input in pixels; 0 for the one in the file.
        mean: Of red, green and blue, of 1, taken from an ONNX network's input; empty for
            ImageNet's.
        std: By which the input is divided then; empty for ImageNet's.
        logits: Whether an ONNX network's output is to be put through a sigmoid.
        device: Where the network runs.
        batch_size: Images of one size at once.
    """

    name: ClassVar[str] = "mask"
    model: str = ""
    background: str = ""
    size: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    logits: bool = False
    device: str = "cpu"
    batch_size: int = 4

    def __post_init__(self) -> None:
        check_positive(self, "batch_size")
        if not self.model:
            raise AnnotatorError(
                "mask needs a model: name an ONNX file of a network that finds objects, or a "
                "folder or hub name of a transformers segmentation model"
            )
        if self.size < 0:
            raise AnnotatorError(f"mask: size={self.size} must be 0 or more")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values and (len(values) != 3 or not np.isfinite(values).all()):
                raise AnnotatorError(f"mask: {name}={values} must be three numbers")
        if 0 in self.std:
            raise AnnotatorError(f"mask: std={self.std} must not be 0")
        if self._is_onnx and self.background:
            raise AnnotatorError("mask: background is for models with labels, not for ONNX files")
        for name in _ONNX_ONLY:
            if not self._is_onnx and getattr(self, name):
                raise AnnotatorError(
                    f"mask: {name} is for ONNX files; model={self.model} brings its own"
                )

    @property
    def _is_onnx(self) -> bool:
        return self.model.lower().endswith(".onnx")

    @property
    def fingerprint(self) -> str:
        """See `base.Annotator`."""
        loaded = self._onnx if self._is_onnx else self._pretrained
        return fingerprint(self, version=1, weights=loaded.weights)

    @cached_property
    def _onnx(self) -> OnnxMask:
        from instruct_imagen.data.annotators.onnx_mask import load_onnx

        return load_onnx(
            self.model,
            size=self.size,
            mean=self.mean,
            std=self.std,
            logits=self.logits,
            device=self.device,
        )

    @cached_property
    def _pretrained(self) -> Pretrained:
        from instruct_imagen.data.annotators.pretrained import load_pretrained

        loaded = load_pretrained(self.model, _auto_class, kind="segmentation", device=self.device)
        if self.background and loaded.network.config.num_labels == 1:
            raise AnnotatorError(f"mask: model={self.model} has one label: leave out background")
        return loaded

    @cached_property
    def _background_labels(self) -> list[int]:
        """Numbers of the labels that are no object."""
        labels = self._pretrained.network.config.id2label
        wanted = {name.strip().lower() for name in (self.background or "background").split(",")}
        known = {str(label).lower() for label in labels.values()}
        for name in sorted(wanted - known):
            shown = ", ".join(list(map(str, labels.values()))[:_SHOWN])
            raise AnnotatorError(
                f"mask: model={self.model} has no label '{name}': say what is no object, e.g. "
                f"background=wall,sky; it has {len(labels)} labels: {shown}"
                + (", …" if len(labels) > _SHOWN else "")
            )
        return [number for number, label in labels.items() if str(label).lower() in wanted]

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """See `base.Annotator`."""
        return in_batches(images, self.batch_size, self._draw)

    def _draw(self, images: list[Image.Image]) -> list[Image.Image]:
        if self._is_onnx:
            return [to_grey(shares) for shares in self._onnx(images)]
        several = self._pretrained.network.config.num_labels > 1
        background = self._background_labels if several else []
        outputs = self._pretrained(images)
        shape = images[0].height, images[0].width
        if not several:
            return [to_grey(shares) for shares in _shares(outputs.logits, shape)]
        maps = self._pretrained.processor.post_process_semantic_segmentation(
            outputs, target_sizes=[shape] * len(images)
        )
        return [to_grey(~np.isin(labels.cpu().numpy(), background)) for labels in maps]


def _shares(logits: Any, shape: tuple[int, int]) -> np.ndarray:
    """(N, 1, h, w) logits -> (N, H, W) float32 in [0, 1]."""
    from torch.nn.functional import interpolate

    found = interpolate(logits.float(), shape, mode="bilinear", align_corners=False)
    return found[:, 0].sigmoid().cpu().numpy()


def _auto_class(config: Any) -> Any:
    """The Auto class of transformers that loads a segmentation model of a config's type."""
    from transformers import (
        MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING,
        AutoModelForSemanticSegmentation,
        AutoModelForUniversalSegmentation,
    )

    if type(config) in MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING:
        return AutoModelForSemanticSegmentation
    if config.model_type in _UNIVERSAL and config.num_labels > 1:
        return AutoModelForUniversalSegmentation
    raise AnnotatorError(
        f"mask: a model of type {config.model_type} with {config.num_labels} labels gives no map "
        "of them: name a semantic segmentation model, MaskFormer or Mask2Former, or an ONNX file"
    )


ANNOTATOR = Mask
