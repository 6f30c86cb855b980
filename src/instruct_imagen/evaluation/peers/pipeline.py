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

from instruct_imagen.cascade import Cascade
from instruct_imagen.editing import MOST_SEAM, SEAM, THRESHOLD, UPSCALER_STEPS
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.options import count, fingerprint_of, number
from instruct_imagen.instruction import Instruction, UnmentionedReferenceWarning
from instruct_imagen.pipeline import UPSCALER, saved_pipeline
from instruct_imagen.super_resolution import MOST_STEPS

BATCH = 8
"""Larger ones are no faster on CPU (docs/evaluation.md), and a kill costs the running batch."""

KINDS = ("constant", "oscillating", "interval")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NONE = "none"
"""No upscaler."""
SWITCH = ("on", "off")
_NO_WEIGHTS = ("training.json",)  # notes of the training, as the card


class SavedPipeline:
    """Draws with a saved base model and what stands behind it: a `Cascade`, as `generate` does.

    Of an edit (a reference of role ``source``) comes the source itself, at its own size, with what
    has changed.

    Args:
        model: Its folder, or the name of a packaged one.
        steps: Sampling steps.
        guidance: Weight of classifier-free guidance; 1 is none.
        guidance_kind: When it is on, one of `KINDS`.
        batch: Instructions at once. An image depends on its own seed; what stands beside it in the
            batch changes at most the last bit of a pixel.
        precision: In which the networks compute, one of `PRECISIONS`.
        device: E.g. ``cpu`` or ``cuda``.
        upscaler: A saved upscaler's folder or packaged name, or `NONE`. Images, and the references
            that suites render, have its size.
        upscaler_steps: Its sampling steps; empty for `UPSCALER_STEPS`.
        threshold: Of edits without a mask, see `Cascade`; empty for `editing.THRESHOLD`.
        seam: Of edits, see `Cascade`; empty for `editing.SEAM`.
        compositing: One of `SWITCH`; ``off`` gives edits as the models draw them.

    Raises:
        EvaluationError: An option is none of these, or without effect.
        ModelError: There is no such pipeline, or the upscaler is another base model's.
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
        upscaler: str = NONE,
        upscaler_steps: str = "",
        threshold: str = "",
        seam: str = "",
        compositing: str = "on",
    ) -> None:
        self.batch_size = count("batch", batch)
        for name, value, known in (
            ("guidance_kind", guidance_kind, KINDS),
            ("precision", precision, tuple(PRECISIONS)),
            ("compositing", compositing, SWITCH),
        ):
            if value not in known:
                raise EvaluationError(f"{name}={value}: use one of {', '.join(known)}")
        own = {
            "steps": count("steps", steps, most=1000),
            "guidance": number("guidance", guidance, least=1, most=1000, whole=False),
            "guidance_kind": guidance_kind,
            "precision": precision,
            "device": device.partition(":")[0],
        }
        self._options: dict[str, Any] = {
            "num_inference_steps": own["steps"],
            "guidance_scale": own["guidance"],
            "guidance": guidance_kind,
        }
        behind = self._behind(upscaler, upscaler_steps) | self._edits(compositing, threshold, seam)
        folders = [saved_pipeline(model)]
        if upscaler != NONE:
            folders.append(saved_pipeline(upscaler, UPSCALER))
        self.fingerprint = fingerprint_of(
            own | behind, [file for folder in folders for file in weight_files(folder)]
        )
        self.cascade = loaded(*folders, dtype=PRECISIONS[precision])
        try:
            self.cascade.base.to(device)
            if self.cascade.upscaler is not None:
                self.cascade.upscaler.to(device)
        except (RuntimeError, AssertionError) as error:
            raise EvaluationError(f"device={device} cannot be used ({error}): try cpu") from error
        self.size = self.cascade.size
        self.raw_inputs = not self.cascade.instruction

    def _behind(self, upscaler: str, steps: str) -> dict[str, Any]:
        """What the second stage is told, for the fingerprint; nothing without one."""
        if upscaler == NONE:
            if steps:
                raise EvaluationError(
                    f"upscaler_steps={steps} needs an upscaler: name one, upscaler=FOLDER"
                )
            return {}
        found = count("upscaler_steps", steps or str(UPSCALER_STEPS), most=MOST_STEPS)
        self._options["upscaler_steps"] = found
        return {"upscaler_steps": found}

    def _edits(self, compositing: str, threshold: str, seam: str) -> dict[str, Any]:
        """How edits are put together, for the fingerprint; nothing where they are not."""
        given = {"threshold": threshold, "seam": seam}
        if compositing == "off":
            for name, value in given.items():
                if value:
                    raise EvaluationError(
                        f"{name}={value} changes nothing with compositing=off: leave one out"
                    )
            self._options["compositing"] = False
            return {}
        usual = {"threshold": (THRESHOLD, 1.0), "seam": (SEAM, MOST_SEAM)}
        found = {
            name: number(name, given[name] or str(value), least=0, most=most, whole=False)
            for name, (value, most) in usual.items()
        }
        self._options |= found
        return found

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
            output = self.cascade(list(instructions), generator=generators, **self._options)
        return list(output.images)


def loaded(folder: Path, upscaler: Path | None = None, **options: Any) -> Cascade:
    """Saved pipelines without the bars that their loading and their steps would show."""
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    cascade = Cascade.from_pretrained(folder, upscaler or "", **options)
    cascade.set_progress_bar_config(disable=True)
    return cascade


def weight_files(folder: Path) -> list[Path]:
    """All files that images depend on, in order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    kinds = (".safetensors", ".bin", ".json", ".txt", ".model")
    return sorted(p for p in files if p.suffix in kinds and p.name not in _NO_WEIGHTS)


PEER = SavedPipeline
