"""CLIP and DINO as DreamBooth measures with them: normalised features of pictures and of texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from instruct_imagen.evaluation.case import EvaluationError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

CLS_FIRST = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")
"""Types of transformers models whose first token stands for the whole picture."""

_PROBE = 64  # side of the pictures by which an image processor is checked


def picture_hash(picture: Image.Image) -> str:
    """SHA-256 of an RGB picture's size and pixels, hexadecimal."""
    digest = hashlib.sha256(repr(picture.size).encode())
    digest.update(np.asarray(picture).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """A network's features of pictures, each found once.

    Attributes:
        weights: Hash of all that they depend on.
        batch: Pictures at once.
        network: Its forward: float32 pixel values -> (N, D).
        processor: Its image processor.
        device: Where it runs.
        known: Features by `picture_hash`.
    """

    weights: str
    batch: int
    network: Callable[[Any], Any]
    processor: Any
    device: Any
    known: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Features of RGB pictures of any sizes, (N, D) float64, each of length 1.

        Raises:
            EvaluationError: They hold NaN.
        """
        keys = [picture_hash(one) for one in pictures]
        missing = {k: one for k, one in zip(keys, pictures, strict=True) if k not in self.known}
        todo = list(missing.items())
        for start in range(0, len(todo), self.batch):
            some = todo[start : start + self.batch]
            found = self._features([one for _, one in some])
            self.known.update(zip((key for key, _ in some), found, strict=True))
        return np.stack([self.known[key] for key in keys]) if keys else np.empty((0, 0))

    def _features(self, pictures: list[Image.Image]) -> np.ndarray:
        import torch

        values = pixel_values(self.processor, pictures).to(self.device)
        with torch.inference_mode():
            return unit(self.network(values))


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A CLIP.

    Attributes:
        images: Its features of pictures.
        tokenizer: Of its texts.
        network: The `CLIPModel`.
    """

    images: Features
    tokenizer: Any
    network: PreTrainedModel

    @property
    def scale(self) -> float:
        """What it multiplies cosines by before a softmax (100 for OpenAI's)."""
        return float(self.network.logit_scale.exp())

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Features of texts, (N, D) float64, each of length 1; what is too long is cut off."""
        import torch

        given = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.images.device)
        with torch.inference_mode():
            found = self.network.get_text_features(
                input_ids=given["input_ids"], attention_mask=given["attention_mask"]
            )
        return unit(found.pooler_output)

    def reads(self, text: str) -> bool:
        """Whether all of a text is read."""
        limit = self.network.config.text_config.max_position_embeddings
        return len(self.tokenizer(text)["input_ids"]) <= limit


def unit(features: Any) -> np.ndarray:
    """Rows of a tensor as float64 of length 1.

    Raises:
        EvaluationError: A row is NaN, infinite or 0 everywhere.
    """
    rows = features.detach().double().cpu().numpy()
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise EvaluationError(
            "the model's features are NaN or 0: its weights are broken, use others"
        )
    return rows / lengths


def pixel_values(processor: Any, pictures: Sequence[Image.Image]) -> Any:
    """What a network sees of RGB pictures, (N, 3, H, W) float32.

    Pictures of 8 bits go in as they are and are scaled once, by the processor.

    Raises:
        EvaluationError: One is of another mode.
    """
    for picture in pictures:
        mode = getattr(picture, "mode", type(picture).__name__)
        if mode != "RGB":
            raise EvaluationError(f"image features are of RGB pictures of 8 bits, not {mode}")
    return processor(images=list(pictures), return_tensors="pt")["pixel_values"]


def check_processor(processor: Any, name: str) -> None:
    """Whether black and white come out of a processor as its mean and deviation say.

    Pixels that are scaled twice, or not at all, still give features and plausible scores: white
    must become exactly (1 - mean) / deviation.

    Raises:
        EvaluationError: They come out otherwise.
    """
    shades = [Image.new("RGB", (_PROBE, _PROBE), (shade,) * 3) for shade in (0, 255)]
    seen = np.asarray(pixel_values(processor, shades))
    normalised = bool(processor.do_normalize)
    mean = np.array(processor.image_mean if normalised else (0.0,) * 3)
    deviation = np.array(processor.image_std if normalised else (1.0,) * 3)
    for shade, values in zip((0.0, 1.0), seen, strict=True):
        wanted = ((shade - mean) / deviation)[:, None, None]
        if not np.allclose(values, wanted, atol=1e-3):
            raise EvaluationError(
                f"{name}: its image processor makes {values.mean():.3g} of a picture that is "
                f"{shade:g} everywhere, not {wanted.mean():.3g}: set do_rescale to true and "
                "rescale_factor to 1/255 in its preprocessor_config.json"
            )


def load_clip(model: str, *, batch: int, device: str) -> Clip:
    """A CLIP by folder or hub name.

    Raises:
        EvaluationError: There is no such model, or it is no CLIP.
    """
    from transformers import AutoTokenizer

    loaded = _loaded(model, _clip_class, kind="clip", device=device)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, ImportError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise EvaluationError(
            f"clip: the tokenizer of {model} cannot be loaded ({cause}): put its tokenizer.json "
            "beside its weights"
        ) from error
    words = json.dumps([type(tokenizer).__name__, sorted(tokenizer.get_vocab().items())])
    network = loaded.network
    features = Features(
        weights=hashlib.sha256(f"{loaded.weights} {words}".encode()).hexdigest(),
        batch=batch,
        network=lambda values: network.get_image_features(pixel_values=values).pooler_output,
        processor=loaded.processor,
        device=network.device,
    )
    return Clip(images=features, tokenizer=tokenizer, network=network)


def load_dino(model: str, *, batch: int, device: str) -> Features:
    """A DINO by folder or hub name; its features are the CLS token after the last norm.

    Raises:
        EvaluationError: There is no such model, or it has no CLS token.
    """
    loaded = _loaded(model, _dino_class, kind="dino", device=device)
    network = loaded.network
    return Features(
        weights=loaded.weights,
        batch=batch,
        network=lambda values: network(pixel_values=values).last_hidden_state[:, 0],
        processor=loaded.processor,
        device=network.device,
    )


def _loaded(model: str, choose: Callable[[Any], Any], *, kind: str, device: str) -> Any:
    """A network and its checked processor, with errors of the evaluation."""
    from instruct_imagen.data.annotators.base import AnnotatorError
    from instruct_imagen.data.annotators.pretrained import load_pretrained

    try:
        loaded = load_pretrained(model, choose, kind=kind, device=device)
    except AnnotatorError as error:
        raise EvaluationError(str(error)) from error
    check_processor(loaded.processor, f"{kind}={model}")
    return loaded


def _clip_class(config: PretrainedConfig) -> Any:
    from transformers import CLIPModel

    from instruct_imagen.data.annotators.base import AnnotatorError

    if config.model_type != "clip":
        raise AnnotatorError(
            f"clip: a model of type {config.model_type} is no CLIP: name one, e.g. "
            "openai/clip-vit-base-patch32"
        )
    return CLIPModel


def _dino_class(config: PretrainedConfig) -> Any:
    from transformers import AutoModel

    from instruct_imagen.data.annotators.base import AnnotatorError

    if config.model_type not in CLS_FIRST:
        raise AnnotatorError(
            f"dino: a model of type {config.model_type} has no CLS token as DINO has: name one, "
            "e.g. facebook/dino-vits16"
        )
    return _ViT if config.model_type == "vit" else AutoModel


class _ViT:
    """A ViT without the pooler, which DINO was not trained with."""

    @staticmethod
    def from_pretrained(model: str, **settings: Any) -> Any:
        from transformers import ViTModel

        return ViTModel.from_pretrained(model, add_pooling_layer=False, **settings)
