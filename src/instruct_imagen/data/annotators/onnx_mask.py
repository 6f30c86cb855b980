"""Salient-object networks as ONNX files, such as those of U²-Net, IS-Net and BiRefNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from instruct_imagen.data.annotators.base import EXTRA, AnnotatorError, file_hash, need

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SLACK = 1e-3  # rounding of a sigmoid


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxMask:
    """A network that gives one map of probabilities.

    Its only input is (N, 3, height, width) float32 RGB, its first output (N, 1, h, w) or
    (N, h, w).

    Attributes:
        path: Of the file.
        session: Of onnxruntime.
        size: (height, width) of the input.
        mean: Of red, green and blue, of 1, taken from the pixels.
        std: By which they are divided then.
        logits: Whether the output is to be put through a sigmoid.
        weights: SHA-256 of the file, in hexadecimal.
    """

    path: Path
    session: Any = field(repr=False)
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    logits: bool
    weights: str

    def __call__(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Shares of an object for RGB images of one size: (N, H, W) float32 in [0, 1].

        Raises:
            AnnotatorError: The network takes no such batch, or its output has another shape or is
                no probability.
        """
        height, width = self.size
        small = [image.resize((width, height), Image.Resampling.BILINEAR) for image in images]
        pixels = np.stack([np.asarray(image, dtype=np.float32) / 255 for image in small])
        pixels = (pixels - np.float32(self.mean)) / np.float32(self.std)
        given = self.session.get_inputs()[0]
        one_by_one = given.shape[0] == 1
        parts = np.split(pixels, len(pixels)) if one_by_one else [pixels]
        found = np.concatenate([self._run(given.name, part) for part in parts])
        maps = torch.from_numpy(found)
        maps = maps.sigmoid() if self.logits else maps
        if not self.logits and not (
            -_SLACK <= float(maps.min()) <= float(maps.max()) <= 1 + _SLACK
        ):
            raise AnnotatorError(
                f"mask: the output of {self.path} reaches from {float(maps.min()):.3g} to "
                f"{float(maps.max()):.3g}, so it is no probability: give logits=true"
            )
        shape = images[0].height, images[0].width
        return interpolate(maps[:, None], shape, mode="bilinear", antialias=True)[:, 0].numpy()

    def _run(self, name: str, pixels: np.ndarray) -> np.ndarray:
        """(N, height, width, 3) -> (N, h, w)."""
        batch = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        # onnxruntime's errors have no common class of their own.
        try:
            found = self.session.run(None, {name: batch})[0]
        except Exception as error:
            raise AnnotatorError(
                f"mask: {self.path} cannot be run on {batch.shape} ({_first_line(error)}): "
                "give the size it was made for, or batch_size=1"
            ) from error
        if found.ndim == 4 and found.shape[1] == 1:
            found = found[:, 0]
        if found.ndim != 3 or len(found) != len(batch):
            raise AnnotatorError(
                f"mask: the first output of {self.path} has the shape {found.shape}, not "
                f"({len(batch)}, 1, height, width): it is no network that finds objects"
            )
        return found.astype(np.float32)


def load_onnx(
    model: str,
    *,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    logits: bool,
    device: str,
) -> OnnxMask:
    """Opens a file.

    Args:
        model: Its path.
        size: Side of the input in pixels; 0 for the one that the file states.
        mean: See `OnnxMask`; empty for ImageNet's.
        std: See `OnnxMask`; empty for ImageNet's.
        logits: See `OnnxMask`.
        device: ``cpu``, or ``cuda`` where onnxruntime has been built for it.

    Raises:
        AnnotatorError: The file, its input, the device, or onnxruntime is missing.
    """
    runtime = need("onnxruntime", why="mask, for ONNX files,", install=EXTRA)
    path = Path(model)
    if not path.is_file():
        raise AnnotatorError(f"mask: model={model} is no file: name an ONNX file")
    provider = f"{'CUDA' if device.startswith('cuda') else device.upper()}ExecutionProvider"
    if provider not in runtime.get_available_providers():
        raise AnnotatorError(
            f"mask: device={device} cannot be used by this onnxruntime: try device=cpu"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; they are raised, too
    try:
        session = runtime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:
        raise AnnotatorError(
            f"mask: {path} is no whole ONNX file ({_first_line(error)}): download it anew"
        ) from error
    return OnnxMask(
        path=path,
        session=session,
        size=_input_size(path, session, size),
        mean=mean or IMAGENET_MEAN,
        std=std or IMAGENET_STD,
        logits=logits,
        weights=file_hash(path),
    )


def _input_size(path: Path, session: Any, size: int) -> tuple[int, int]:
    """(height, width) that the network takes; `size` where the file leaves it open."""
    inputs = session.get_inputs()
    shape = inputs[0].shape
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) != 4:
        raise AnnotatorError(
            f"mask: {path} does not take one float32 image: it is no network that finds objects"
        )
    stated = tuple(length if isinstance(length, int) else size for length in shape[2:])
    if size and stated != (size, size):
        raise AnnotatorError(
            f"mask: {path} takes {stated[0]} × {stated[1]} pixels, not size={size}: leave it out"
        )
    if 0 in stated:
        raise AnnotatorError(
            f"mask: {path} takes images of any size: say which it was trained at, e.g. size=1024"
        )
    return stated


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
