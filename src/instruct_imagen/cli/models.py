"""The models that several commands draw with: how they are named, and how they are loaded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instruct_imagen.cascade import Cascade

PACKAGED, NONE = "upscaler", "none"


def add_models(own: argparse.ArgumentParser) -> None:
    """Declares --model and --upscaler, which `load_cascade` takes."""
    own.add_argument("--model", default="starter", help="a saved pipeline's folder (starter)")
    own.add_argument(
        "--upscaler",
        help="a saved upscaler's folder, or none (that of --model starter, else none)",
    )


def load_cascade(model: str, upscaler: str | None) -> Cascade:
    """Both stages by name or folder.

    Args:
        model: The base model.
        upscaler: What enlarges its pictures; ``none`` for nothing, None for the packaged one where
            the base model is.

    Raises:
        ModelError: There is no such model.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from instruct_imagen.cascade import Cascade
    from instruct_imagen.pipeline import local_model

    if upscaler is None:
        own = local_model(model) == local_model("starter")
        upscaler = PACKAGED if own and local_model(PACKAGED) else NONE
    # No bars for the loading of weights that lie on the disk.
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    return Cascade.from_pretrained(model, "" if upscaler == NONE else upscaler)
