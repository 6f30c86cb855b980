"""A saved pipeline of ours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.options import count, fingerprint_of, number
from instruct_imagen.instruction import Instruction, UnmentionedReferenceWarning
from instruct_imagen.pipeline import InstructImagenPipeline, saved_pipeline

BATCH = 8
"""Larger ones are no faster on CPU (docs/evaluation.md), and a kill costs the running batch."""

KINDS = ("constant", "oscillating", "interval")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_NO_WEIGHTS = ("training.json",)  # notes of the training, as the card


class SavedPipeline:
    """Draws with a saved `InstructImagenPipeline`.

    Args:
        model: Its folder, or the name of a packaged one.
        steps: Sampling steps.
        guidance: Weight of classifier-free guidance; 1 is none.
        guidance_kind: When it is on, one of `KINDS`.
        batch: Instructions at once. An image depends on its own seed; what stands beside it in the
            batch changes at most the last bit of a pixel.
        precision: In which the network computes, one of `PRECISIONS`.
        device: E.g. ``cpu`` or ``cuda``.

    Raises:
        EvaluationError: An option is none of these.
        ModelError: There is no such pipeline.
    """

    name: ClassVar[str] = "pipeline"

    def __init__(
        self,
        *,
        model: str,
        steps: str = "25",
        guidance: str = "3",
        guidance_kind: str = "constant",
        batch: str = str(BATCH),
        precision: str = "float32",
        device: str = "cpu",
    ) -> None:
        self.steps = count("steps", steps, most=1000)
        self.guidance = number("guidance", guidance, least=1, most=1000, whole=False)
        self.batch_size = count("batch", batch)
        if guidance_kind not in KINDS:
            raise EvaluationError(f"guidance_kind={guidance_kind}: use one of {', '.join(KINDS)}")
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise EvaluationError(f"precision={precision}: use one of {known}")
        self.guidance_kind = guidance_kind
        folder = saved_pipeline(model)
        self.fingerprint = fingerprint_of(
            {
                "steps": self.steps,
                "guidance": self.guidance,
                "guidance_kind": guidance_kind,
                "precision": precision,
                "device": device.partition(":")[0],
            },
            weight_files(folder),
        )
        pipeline = loaded(folder, dtype=PRECISIONS[precision])
        try:
            self.pipeline = pipeline.to(device)
        except (RuntimeError, AssertionError) as error:
            raise EvaluationError(f"device={device} cannot be used ({error}): try cpu") from error
        self.size = self.pipeline.size
        self.raw_inputs = not self.pipeline.instruction

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        """See `Generator`."""
        return self.generate_batch([instruction], seeds=[seed])[0]

    def generate_batch(
        self, instructions: Sequence[Instruction], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """See `BatchGenerator`; noise is drawn on the CPU, the same for every device."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        with warnings.catch_warnings():
            # Suites hold such instructions on purpose: several images of a thing, one marker.
            warnings.simplefilter("ignore", UnmentionedReferenceWarning)
            output = self.pipeline(
                list(instructions),
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                guidance=self.guidance_kind,
                generator=generators,
            )
        return list(output.images)


def loaded(folder: Path, **options: Any) -> InstructImagenPipeline:
    """A pipeline without the bars that its loading and its steps would show."""
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    pipeline = InstructImagenPipeline.from_pretrained(folder, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def weight_files(folder: Path) -> list[Path]:
    """All files that images depend on, in order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    kinds = (".safetensors", ".bin", ".json", ".txt", ".model")
    return sorted(p for p in files if p.suffix in kinds and p.name not in _NO_WEIGHTS)


PEER = SavedPipeline
