"""Picture quality by a network that gives a distribution over scores, as NIMA does.

NIMA [Talebi & Milanfar 2018] puts each picture into ten classes, the shares of raters that gave it
1 to 10. Any network with ascending classes will do: a transformers image classifier (a folder or
hub name), a TorchScript file or an ONNX file. The mean of its distribution, from the lowest class
at 0 to the highest at 1, is the score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from instruct_imagen.data.annotators.base import EXTRA, AnnotatorError, file_hash, need
from instruct_imagen.data.annotators.pretrained import load_pretrained
from instruct_imagen.data.clusters.rows import ClusterError
from instruct_imagen.data.corpora.base import no_right

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TORCHSCRIPT = (".pt", ".pth", ".ts", ".torchscript")
_SLACK = 1e-3  # of a sum of probabilities


@dataclass(frozen=True, kw_only=True)
class ModelQuality:
    """A network that rates pictures; see `picture_quality.Quality`.

    Attributes:
        model: A folder or hub name of a transformers image classifier, whose own processor is used,
            or a path that ends in ``.onnx``, ``.pt``, ``.pth``, ``.ts`` or ``.torchscript``.
        size: Side in pixels that files get; pictures are squeezed into the square, as NIMA does.
        mean: Of red, green and blue, of 1, that is taken from a file's pixels.
        std: By which they are divided then.
        device: Where it runs.
        batch_size: Pictures at once.
    """

    model: str
    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    device: str = "cpu"
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.size < 1 or self.batch_size < 1 or not all(one > 0 for one in self.std):
            raise ClusterError(
                f"quality: size={self.size} and batch_size={self.batch_size} must be 1 or more, "
                f"std={self.std} above 0"
            )

    def __getstate__(self) -> dict[str, object]:
        """For other processes, without the network."""
        return {name: value for name, value in vars(self).items() if name != "_network"}

    @property
    def fingerprint(self) -> str:
        """See `picture_quality.Quality`; the same wherever the network lies."""
        return f"model 1 {self.size} {self.mean} {self.std} {self._network[1]}"

    def __call__(self, views: Sequence[Image.Image]) -> list[float]:
        """See `picture_quality.Quality`.

        Raises:
            ClusterError: The network cannot be loaded or run, or gives no distribution.
        """
        found = []
        for start in range(0, len(views), self.batch_size):
            found += mean_scores(self._network[0](views[start : start + self.batch_size]))
        return found

    @cached_property
    def _network(self) -> tuple[Callable[[Sequence[Image.Image]], np.ndarray], str]:
        """What gives (N, classes) outputs, and the hash of its weights."""
        try:
            if self.model.lower().endswith(".onnx"):
                return self._onnx(), file_hash(self._file())
            if self.model.lower().endswith(TORCHSCRIPT):
                return self._torchscript(), file_hash(self._file())
            return self._transformers()
        except AnnotatorError as error:
            raise ClusterError(str(error)) from error

    def _file(self) -> Path:
        path = Path(self.model)
        if not path.is_file():
            raise ClusterError(f"quality: model={self.model} is no file: name one")
        try:
            path.open("rb").close()
        except PermissionError as error:
            raise ClusterError(f"quality: {no_right(path)}") from error
        return path

    def _pixels(self, views: Sequence[Image.Image]) -> np.ndarray:
        """(N, 3, size, size) float32."""
        side = (self.size, self.size)
        small = [view.resize(side, Image.Resampling.BILINEAR) for view in views]
        pixels = np.stack([np.asarray(one, np.float32) / 255 for one in small])
        pixels = (pixels - np.float32(self.mean)) / np.float32(self.std)
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))

    def _onnx(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        runtime = need("onnxruntime", why="quality, for ONNX files,", install=EXTRA)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors; they are raised, too
        kind = "CUDAExecutionProvider" if self.device.startswith("cuda") else "CPUExecutionProvider"
        # onnxruntime's errors have no common class of their own.
        try:
            session = runtime.InferenceSession(str(self._file()), options, providers=[kind])
        except ClusterError:
            raise
        except Exception as error:
            raise self._trouble("cannot be loaded", error) from error
        given = session.get_inputs()[0]

        def run(views: Sequence[Image.Image]) -> np.ndarray:
            pixels = self._pixels(views)
            parts = np.split(pixels, len(pixels)) if given.shape[0] == 1 else [pixels]
            try:
                return np.concatenate([session.run(None, {given.name: one})[0] for one in parts])
            except Exception as error:
                raise self._trouble("cannot be run", error) from error

        return run

    def _torchscript(self) -> Callable[[Sequence[Image.Image]], np.ndarray]:
        try:
            network = torch.jit.load(str(self._file()), map_location=self.device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise self._trouble("cannot be loaded", error) from error

        def run(views: Sequence[Image.Image]) -> np.ndarray:
            pixels = torch.from_numpy(self._pixels(views)).to(self.device)
            try:
                with torch.inference_mode():
                    return network(pixels).float().cpu().numpy()
            except (RuntimeError, AttributeError) as error:
                raise self._trouble("cannot be run", error) from error

        return run

    def _transformers(self) -> tuple[Callable[[Sequence[Image.Image]], np.ndarray], str]:
        from transformers import AutoModelForImageClassification

        loaded = load_pretrained(
            self.model,
            lambda config: AutoModelForImageClassification,
            kind="quality",
            device=self.device,
        )

        def run(views: Sequence[Image.Image]) -> np.ndarray:
            given = loaded.processor(images=list(views), return_tensors="pt")
            with torch.inference_mode():
                outputs = loaded.network(**given.to(loaded.network.device))
            return outputs.logits.float().cpu().numpy()

        return run, loaded.weights

    def _trouble(self, what: str, error: Exception) -> ClusterError:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return ClusterError(
            f"quality: {self.model} {what} ({cause}): name a network that takes "
            f"(N, 3, {self.size}, {self.size}) float32, or give its size"
        )


def mean_scores(outputs: np.ndarray) -> list[float]:
    """The mean of each distribution, (N, classes) -> N scores in [0, 1].

    Rows that are no probabilities are put through a softmax.

    Raises:
        ClusterError: They have another shape, fewer than two classes, or hold NaN.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ClusterError(
            f"quality: the network gives an output of shape {outputs.shape}, not (N, classes) with "
            "at least 2 ascending classes: name one that gives a distribution over scores"
        )
    if not np.isfinite(outputs).all():
        raise ClusterError("quality: the network's output holds NaN: its weights are broken")
    shares = outputs.astype(np.float64)
    if shares.min() < -_SLACK or np.abs(shares.sum(axis=1) - 1).max() > _SLACK:
        shares = np.exp(shares - shares.max(axis=1, keepdims=True))
    shares = np.clip(shares, 0, None)
    shares /= shares.sum(axis=1, keepdims=True)
    return (shares @ np.linspace(0, 1, shares.shape[1])).tolist()
