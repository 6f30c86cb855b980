"""Networks from transformers, by name or path, with the image processor that belongs to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor
from transformers.utils import logging

from instruct_imagen.data.annotators.base import AnnotatorError, torch_device

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretrained:
    """A network that is ready to run.

    Attributes:
        network: Frozen, float32, on its device.
        processor: Pixels to the network's input, and its output to maps.
        weights: SHA-256 of the weights, the config and the processor's settings, in hexadecimal;
            the same wherever the model lies.
    """

    network: PreTrainedModel
    processor: Any
    weights: str

    def __call__(self, images: Sequence[Image.Image]) -> Any:
        """The network's outputs for RGB images of one size.

        Raises:
            AnnotatorError: It takes none of this size.
        """
        try:
            given = self.processor(images=list(images), return_tensors="pt")
            with torch.inference_mode():
                return self.network(**given.to(self.network.device))
        except (ValueError, RuntimeError) as error:
            width, height = images[0].size
            raise AnnotatorError(
                f"{self.network.config.model_type} takes no images of {width} × {height} pixels "
                f"({_first_line(error)}): enlarge them, or use smaller batches"
            ) from error


def load_pretrained(
    model: str, choose: Callable[[PretrainedConfig], Any], *, kind: str, device: str
) -> Pretrained:
    """Loads a network and its processor.

    The processors of transformers' PIL backend are used, also where torchvision is installed: a
    picture then has the same annotation on every machine.

    Args:
        model: A folder or a hub name.
        choose: The Auto class for a config; raises an `AnnotatorError` if there is none.
        kind: What is loaded, for errors, e.g. ``"depth"``.
        device: Where it runs.

    Raises:
        AnnotatorError: There is no such model, it is of another kind, some of its weights are
            missing, or its processor needs a package.
    """
    where = torch_device(device)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(model)
            chosen = choose(config)
            processor = AutoImageProcessor.from_pretrained(model, backend="pil")
            network, report = chosen.from_pretrained(
                model, config=config, dtype=torch.float32, output_loading_info=True
            )
    except AnnotatorError:
        raise
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise AnnotatorError(
            f"{kind}: model={model} cannot be loaded ({_first_line(error)}): name a folder or a "
            f"hub name of a transformers {kind} model"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise AnnotatorError(
            f"{kind}: model={model} lacks {len(missing)} weights, e.g. {missing[0]}: it was not "
            f"trained for this, name a {kind} model"
        )
    network.requires_grad_(False).eval().to(where)
    weights = _content_hash(network, processor)
    return Pretrained(network=network, processor=processor, weights=weights)


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no tables of transformers: what matters in them becomes an error here."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _content_hash(network: PreTrainedModel, processor: Any) -> str:
    digest = hashlib.sha256()
    config = network.config.to_dict()
    # Where it came from and which version read it change no result.
    for name in ("_name_or_path", "transformers_version"):
        config.pop(name, None)
    settings = json.loads(processor.to_json_string())
    digest.update(json.dumps([config, settings], sort_keys=True, default=str).encode())
    for name, values in sorted(network.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
