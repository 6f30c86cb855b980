"""`Cascade`: instruction → base model → upscaler → image; and a user's picture, edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from instruct_imagen.editing import (
    MOST_SEAM,
    SEAM,
    THRESHOLD,
    UPSCALER_STEPS,
    Edit,
    finished,
    read_edit,
)
from instruct_imagen.instruction import Instruction, Reference
from instruct_imagen.pipeline import (
    UPSCALER,
    InstructImagenOutput,
    InstructImagenPipeline,
    ModelError,
    StepCallback,
    as_generators,
    as_instructions,
    saved_pipeline,
)
from instruct_imagen.super_resolution import SuperResolutionPipeline


class Cascade:
    """A base model and, behind it, an upscaler that sees the references again ([Hu24] §3.1).

    It is called like `InstructImagenPipeline` and draws pictures of the upscaler's size. An
    instruction that has a reference of role ``source`` is an edit: the models see a square of that
    picture, and what comes back is the picture itself, at its own size, with what changed. A
    reference of role ``mask`` beside it says where: outside of it every pixel stays.

    Args:
        base: Draws.
        upscaler: Enlarges; None leaves pictures as the base model draws them.

    Raises:
        ModelError: The upscaler enlarges pictures of another size than the base model's.
    """

    def __init__(
        self, base: InstructImagenPipeline, upscaler: SuperResolutionPipeline | None = None
    ) -> None:
        if upscaler is not None and upscaler.low_size != base.size:
            raise ModelError(
                f"this upscaler enlarges {upscaler.low_size} pixels, and the base model draws "
                f"{base.size}: name the one that was trained behind it"
            )
        self.base = base
        self.upscaler = upscaler

    @classmethod
    def from_pretrained(
        cls, base: str | Path = "starter", upscaler: str | Path = "", **options: Any
    ) -> Cascade:
        """From saved pipelines, by folder or packaged name; no upscaler if it is not named.

        Args:
            base: Of the base model.
            upscaler: Of the upscaler.
            **options: Of diffusers' `from_pretrained`, for both.

        Raises:
            ModelError: There is no such pipeline, or it is of the other kind.
        """
        drawing = InstructImagenPipeline.from_pretrained(saved_pipeline(base), **options)
        if not upscaler:
            return cls(drawing)
        folder = saved_pipeline(upscaler, UPSCALER)
        return cls(drawing, SuperResolutionPipeline.from_pretrained(folder, **options))

    @property
    def size(self) -> int:
        """Side of the pictures that it draws, in pixels."""
        return self.base.size if self.upscaler is None else self.upscaler.size

    @property
    def instruction(self) -> bool:
        """Whether the base model follows instructions; see `InstructImagenPipeline`."""
        return self.base.instruction

    def set_progress_bar_config(self, **config: Any) -> None:
        """As diffusers' pipelines have it, for both stages."""
        self.base.set_progress_bar_config(**config)
        if self.upscaler is not None:
            self.upscaler.set_progress_bar_config(**config)

    @torch.no_grad()
    def __call__(
        self,
        instruction: Instruction | Sequence[Instruction],
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = 3.0,
        guidance: str = "constant",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        upscaler_steps: int = UPSCALER_STEPS,
        upscaler_guidance: float = 1.0,
        noise_level: float | None = None,
        threshold: float = THRESHOLD,
        seam: float = SEAM,
        compositing: bool = True,
        callback_on_step_end: StepCallback | None = None,
    ) -> InstructImagenOutput:
        """One picture for each instruction, PIL images.

        Args:
            instruction: One, or several that are computed as one batch.
            num_inference_steps: Of the base model.
            guidance_scale: Of the base model; 1 is none.
            guidance: See `InstructImagenPipeline`.
            generator: One for all, or one for each; both stages draw from it. With one for all,
                an edit without a mask changes what all of its batch begin with.
            upscaler_steps: Sampling steps of the upscaler.
            upscaler_guidance: Its guidance weight; 1 is none.
            noise_level: See `SuperResolutionPipeline`.
            threshold: Of edits without a mask: the base model draws the source once more, with
                the same noise and asked to change nothing. Where both drawings differ by less than
                this share of a channel's range, the source is restored; 0 restores nothing. See
                `editing.changed`.
            seam: Of edits: share of the frame's side over which old and new mix, inside the mask.
            compositing: False gives edits as the models draw them, a square of all that the
                references show: what compositing is worth is measured against that.
            callback_on_step_end: See `InstructImagenPipeline`; called by both stages, but not
                while a source is drawn as it is.

        Raises:
            InstructionError: An instruction that a model cannot follow.
            ImageError: A picture or mask that cannot be used.
            ValueError: See `InstructImagenPipeline`.
        """
        if not 0 <= threshold <= 1 or not 0 <= seam <= MOST_SEAM:
            raise ValueError(
                f"threshold={threshold} must lie in 0 to 1 and seam={seam} in 0 to {MOST_SEAM:g}"
            )
        instructions = as_instructions(instruction)
        known: dict[int, Edit | None] = {}
        for one in instructions:  # the same one is read once
            if id(one) not in known:
                known[id(one)] = edit_of(one, self.size) if compositing else None
        edits = [known[id(one)] for one in instructions]
        rows = as_generators(generator, len(instructions))
        drawn = [place for place, edit in enumerate(edits) if edit is None or not edit.silent]
        shown = {place: framed(instructions[place], edits[place], self.size) for place in drawn}
        free = [
            place for place in drawn if threshold and (edit := edits[place]) and edit.inside is None
        ]
        if free:
            rows = _separate(rows, len(instructions))
        noise = [_copy(rows[place]) for place in free] if rows else None
        base: dict[str, Any] = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "guidance": guidance,
        }
        small, large = self._drawn(
            list(shown.values()),
            None if rows is None else [rows[place] for place in drawn],
            base | {"callback_on_step_end": callback_on_step_end},
            {
                "num_inference_steps": upscaler_steps,
                "guidance_scale": upscaler_guidance,
                "noise_level": noise_level,
                "callback_on_step_end": callback_on_step_end,
            },
        )
        asked = dict(zip(drawn, zip(small, large, strict=True), strict=True))
        unchanged: dict[int, Image.Image] = {}
        if free:
            again = self.base([as_it_is(shown[place]) for place in free], generator=noise, **base)
            unchanged = dict(zip(free, again.images, strict=True))
        results = []
        for place, edit in enumerate(edits):
            if edit is None:
                results.append(asked[place][1])
            elif edit.silent:
                results.append(edit.picture.copy())
            else:
                drawing, image = asked[place]
                compared = (unchanged[place], drawing) if place in unchanged else None
                results.append(
                    finished(edit, image, compared=compared, threshold=threshold, seam=seam)
                )
        return InstructImagenOutput(images=results)

    def _drawn(
        self,
        instructions: list[Instruction],
        generators: list[torch.Generator] | None,
        base: dict[str, Any],
        upscaler: dict[str, Any],
    ) -> tuple[list[Image.Image], list[Image.Image]]:
        """What each stage draws, with its options."""
        if not instructions:
            return [], []
        small = self.base(instructions, generator=generators, **base).images
        if self.upscaler is None:
            return small, small
        large = self.upscaler(instructions, small, generator=generators, **upscaler).images
        return small, large


def edit_of(instruction: Instruction, size: int) -> Edit | None:
    """What an instruction wants edited; None where it has no reference of role ``source``.

    Args:
        instruction: Its first ``source`` is edited, where its first ``mask`` is white.
        size: Side of what the models draw, in pixels.

    Raises:
        ImageError: The picture or the mask cannot be used.
    """
    source = _first(instruction, "source")
    if source is None:
        return None
    mask = _first(instruction, "mask")
    return read_edit(source.image, None if mask is None else mask.image, size)


def framed(instruction: Instruction, edit: Edit | None, size: int) -> Instruction:
    """The instruction as models see it: of the picture to be edited, and its mask, a square.

    Args:
        instruction: What is asked.
        edit: What of the picture; None changes nothing.
        size: Side of what the models draw: they are shown no more pixels.
    """
    if edit is None:
        return instruction
    source, mask = _first(instruction, "source"), _first(instruction, "mask")
    return replace(
        instruction,
        references=tuple(
            replace(one, image=np.asarray(edit.shown(size)))
            if one is source
            else replace(one, image=np.asarray(edit.shown_mask(size)))
            if one is mask
            else one
            for one in instruction.references
        ),
    )


def as_it_is(instruction: Instruction) -> Instruction:
    """Asks for the source as it is: what a model redraws without being asked to is no change.

    Couairon et al. (2022, §3.2) contrast the same way what a model says of noise for two texts.
    """
    source = _first(instruction, "source")
    assert source is not None
    return Instruction(f"Show [ref#{source.marker}] again exactly as it is.", (source,))


def _separate(rows: list[torch.Generator] | None, count: int) -> list[torch.Generator]:
    """A generator for each row, such that one row's noise can be drawn again."""
    if rows is not None and len({id(one) for one in rows}) == count:
        return rows
    common = rows[0] if rows else None
    device = common.device if common is not None else torch.device("cpu")
    seeds = torch.randint(2**62, (count,), generator=common, device=device).tolist()
    return [torch.Generator(device).manual_seed(seed) for seed in seeds]


def _copy(generator: torch.Generator) -> torch.Generator:
    return torch.Generator(generator.device).set_state(generator.get_state())


def _first(instruction: Instruction, role: str) -> Reference | None:
    return next((one for one in instruction.references if one.role == role), None)
