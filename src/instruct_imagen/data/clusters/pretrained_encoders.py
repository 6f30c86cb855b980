"""Encoders of transformers: CLIP, SigLIP, DINO and their kin, by folder or hub name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from instruct_imagen.data.annotators.base import AnnotatorError
from instruct_imagen.data.annotators.pretrained import load_pretrained
from instruct_imagen.data.clusters.encoders import DTYPES, check_encoder, unit
from instruct_imagen.data.clusters.rows import ClusterError

CLS_FIRST = ("clip_vision_model", "vit", "dinov2", "dinov2_with_registers", "dinov3_vit", "deit")
"""Types of transformers models whose first token stands for the whole picture."""


@dataclass(frozen=True, kw_only=True)
class PretrainedEncoder:
    """An image encoder of transformers: CLIP, SigLIP and their kin, DINO, or any with one vector.

    Attributes:
        model: A folder or hub name.
        batch_size: Pictures at once; a last batch is run in this shape, too.
        dtype: See `encoders.Lite0`.
        device: Where it runs.
    """

    model: str
    batch_size: int = 16
    dtype: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_encoder(self.batch_size, self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """For other processes, without the network."""
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    @property
    def fingerprint(self) -> str:
        """See `encoders.ImageEncoder`; the same wherever the model lies."""
        return f"transformers 1 {self.batch_size} {self.dtype} {self._loaded.weights}"

    @cached_property
    def view(self) -> int:
        """See `encoders.ImageEncoder`: twice what the network's processor makes of a picture."""
        blank = self._loaded.processor(images=[Image.new("RGB", (64, 64))], return_tensors="pt")
        return 2 * max(blank["pixel_values"].shape[-2:])

    @cached_property
    def width(self) -> int:
        """See `encoders.ImageEncoder`."""
        return self([Image.new("RGB", (64, 64))]).shape[1]

    @property
    def texts(self) -> PretrainedWords | None:
        """Its text side, whose vectors can be compared with those of pictures; None without one."""
        if not hasattr(self._loaded.network, "get_text_features"):
            return None
        return PretrainedWords(images=self)

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """See `encoders.ImageEncoder`.

        Raises:
            ClusterError: The model cannot be loaded, or gives no vectors.
        """
        network, processor = self._loaded.network, self._loaded.processor
        found = []
        for start in range(0, len(pictures), self.batch_size):
            some = list(pictures[start : start + self.batch_size])
            full = some + [some[-1]] * (self.batch_size - len(some))
            values = processor(images=full, return_tensors="pt")["pixel_values"]
            values = values.to(network.device, network.dtype)
            with torch.inference_mode():
                found.append(unit(_image_vectors(network, values))[: len(some)])
        return np.concatenate(found) if found else np.empty((0, self.width), np.float32)

    @cached_property
    def _loaded(self) -> Any:
        try:
            loaded = load_pretrained(self.model, _class_of, kind="embedding", device=self.device)
        except AnnotatorError as error:
            raise ClusterError(str(error)) from error
        loaded.network.to(DTYPES[self.dtype])
        return loaded


@dataclass(frozen=True, kw_only=True)
class PretrainedWords:
    """The text side of a `PretrainedEncoder`.

    Attributes:
        images: The encoder.
    """

    images: PretrainedEncoder

    @property
    def width(self) -> int:
        """As of the pictures."""
        return self.images.width

    @property
    def scale(self) -> float:
        """What the network multiplies cosines by before it compares texts of one picture."""
        return float(self.images._loaded.network.logit_scale.float().exp())

    @property
    def fingerprint(self) -> str:
        """See `encoders.ImageEncoder`."""
        words = json.dumps(sorted(self._tokenizer.get_vocab().items()))
        return f"{self.images.fingerprint} {hashlib.sha256(words.encode()).hexdigest()}"

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """See `encoders.WordEncoder`; what is too long is cut off."""
        network = self.images._loaded.network
        length = network.config.text_config.max_position_embeddings
        if not texts:
            return np.empty((0, self.width), np.float32)
        size = self.images.batch_size
        full = [*texts, *[""] * (-len(texts) % size)]
        # SigLIP was taught with full rows and no mask; for a CLIP full rows only keep one shape.
        given = self._tokenizer(
            full,
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        masked = network.config.model_type == "clip"
        found = []
        for start in range(0, len(texts), size):
            rows = slice(start, start + size)
            ids = given["input_ids"][rows].to(network.device)
            mask = {"attention_mask": given["attention_mask"][rows].to(network.device)}
            with torch.inference_mode():
                out = network.get_text_features(input_ids=ids, **(mask if masked else {}))
            found.append(unit(getattr(out, "pooler_output", out)))
        return np.concatenate(found)[: len(texts)]

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.images.model)
        except (OSError, ValueError, ImportError) as error:
            cause = str(error).strip().partition("\n")[0]
            raise ClusterError(
                f"embed: the tokenizer of {self.images.model} cannot be loaded ({cause}): put its "
                "tokenizer.json beside its weights"
            ) from error


def _class_of(config: Any) -> Any:
    from transformers import AutoModel

    return _BareViT if config.model_type == "vit" else AutoModel


class _BareViT:
    """A ViT without the pooler, which DINO was not trained with."""

    @staticmethod
    def from_pretrained(model: str, **settings: Any) -> Any:
        from transformers import ViTModel

        return ViTModel.from_pretrained(model, add_pooling_layer=False, **settings)


def _image_vectors(network: Any, values: Tensor) -> Tensor:
    if hasattr(network, "get_image_features"):
        found = network.get_image_features(pixel_values=values)
        return getattr(found, "pooler_output", found)
    found = network(pixel_values=values)
    if network.config.model_type in CLS_FIRST:
        return found.last_hidden_state[:, 0]
    pooled = getattr(found, "pooler_output", None)
    if pooled is None:
        raise ClusterError(
            f"embed: a {network.config.model_type} gives no vector of a picture: name a CLIP, "
            "SigLIP or DINO"
        )
    return pooled.flatten(1)
