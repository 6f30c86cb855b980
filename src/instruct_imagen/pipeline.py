"""`InstructImagenPipeline`: instruction → encode → sample → image."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor

from instruct_imagen.diffusion.guidance import guidance_weights, guided
from instruct_imagen.images import load_image, reduced_lines, to_pil, to_tensor
from instruct_imagen.instruction import (
    LAYOUTS,
    Instruction,
    Reference,
    reference_prompt,
    without_markers,
)
from instruct_imagen.model.context_attention import ContextStates
from instruct_imagen.model.super_resolution import SuperResolutionUNet
from instruct_imagen.model.text import TextEncoder, TextStates
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch

WEIGHTS = Path(__file__).parent / "weights"


def local_model(name: str | Path) -> Path | None:
    """The folder of a saved pipeline: one that the user names, or else a packaged one."""
    folders = (Path(name), WEIGHTS / name)
    return next((folder for folder in folders if (folder / "model_index.json").is_file()), None)


class ModelError(ValueError):
    """There is no such saved pipeline; the message names the cure."""


BASE, UPSCALER = "InstructImagenPipeline", "SuperResolutionPipeline"
"""Classes of our pipelines, as their folders name them."""


def is_saved_pipeline(folder: Path, *kinds: str) -> bool:
    """Whether a folder holds a saved pipeline of ours, of one of these classes."""
    try:
        index = json.loads((folder / "model_index.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(index, dict) and index.get("_class_name") in kinds


def saved_pipeline(name: str | Path, kind: str = BASE) -> Path:
    """The folder of a saved pipeline of ours, of this class.

    Raises:
        ModelError: There is none of that name, or it is of another kind.
    """
    found = local_model(name)
    if found is None:
        known = sorted(path.parent.name for path in WEIGHTS.glob("*/model_index.json"))
        raise ModelError(
            f"there is no model '{name}': name a folder with a model_index.json, or one of "
            f"{', '.join(known) or '(none is installed)'}"
        )
    if is_saved_pipeline(found, *{BASE, UPSCALER} - {kind}):
        raise ModelError(
            f"'{found}' is an upscaler: load it with {UPSCALER}.from_pretrained, and name a base "
            "model here"
            if kind == BASE
            else f"'{found}' is a base model: name an upscaler, e.g. one of the recipe upscaler"
        )
    if not is_saved_pipeline(found, kind):
        raise ModelError(
            f"'{found}' holds a pipeline of another kind: adapt its network with "
            "InstructUNet.from_unet, or name one that instruct-imagen export wrote"
        )
    return found


NetworkInputs = Callable[[int], dict[str, Any]]
StepCallback = Callable[["InstructImagenPipeline", int, int, dict[str, Tensor]], dict[str, Tensor]]


@dataclass
class InstructImagenOutput(BaseOutput):
    """What a call returns.

    Attributes:
        images: A list of PIL images, or an (N, H, W, 3) float32 array in [0, 1] (``"np"``), or an
            (N, 3, H, W) tensor in [-1, 1] (``"pt"``).
    """

    images: list[Image.Image] | np.ndarray | Tensor


class InstructImagenPipeline(DiffusionPipeline):
    """Follows multi-modal instructions ([Hu24] §2, §3).

    Args:
        unet: The network.
        text_encoder: Frozen, with markers.
        scheduler: Any diffusers scheduler with the config of `diffusion.objective`.
        vae: Of a latent backbone; None for a pixel one.
        instruction: False for a network that was trained on raw inputs ([Hu24] §5, the multi-task
            baseline): it sees the payload text without its markers, and references without
            markers and texts.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components = ["vae"]  # noqa: RUF012 - diffusers reads a list

    def __init__(
        self,
        unet: InstructUNet,
        text_encoder: TextEncoder,
        scheduler: SchedulerMixin,
        vae: AutoencoderKL | None = None,
        instruction: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(unet, SuperResolutionUNet):
            raise ModelError(f"this network is an upscaler: use {UPSCALER}")
        self.register_modules(unet=unet, text_encoder=text_encoder, scheduler=scheduler, vae=vae)
        self.register_to_config(instruction=instruction)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **options: Any
    ) -> InstructImagenPipeline:
        """As in diffusers; ``"starter"`` is the model inside the installed package."""
        found = local_model(pretrained_model_name_or_path)
        return super().from_pretrained(str(found or pretrained_model_name_or_path), **options)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        side = int(self.unet.unet.config.sample_size) * self.unet.space_to_depth
        return side * self._vae_factor

    @property
    def instruction(self) -> bool:
        """Whether it follows instructions; False for a network of raw inputs."""
        return bool(self.config.instruction)

    @property
    def _channels(self) -> int:
        """Of what is sampled."""
        return int(self.unet.unet.config.in_channels) // self.unet.space_to_depth**2

    @property
    def _vae_factor(self) -> int:
        return 1 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)

    @torch.no_grad()
    def __call__(
        self,
        instruction: Instruction | Sequence[Instruction],
        *,
        num_inference_steps: int = 25,
        guidance_scale: float = 3.0,
        guidance: str = "constant",
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: str = "pil",
        callback_on_step_end: StepCallback | None = None,
        reencode_each_step: bool = False,
    ) -> InstructImagenOutput:
        """Generates one image for each instruction.

        Args:
            instruction: One, or several that are computed as one batch.
            num_inference_steps: Sampling steps.
            guidance_scale: Weight of classifier-free guidance; 1 is none.
            guidance: ``constant``, ``oscillating`` or ``interval``; see `diffusion.guidance`.
            generator: One for all, or one for each instruction (then the image of an instruction
                does not depend on the others).
            output_type: ``pil``, ``np`` or ``pt``.
            callback_on_step_end: Called as (pipeline, step, timestep, {"sample": …}) and may return
                a changed sample; setting ``pipeline._interrupt`` ends the sampling.
            reencode_each_step: Encodes the references anew at every step, as a baseline for what
                keeping their keys and values saves (`benchmarks/`).

        Raises:
            InstructionError: An instruction that this model cannot follow.
            ValueError: No instruction, something that is none, an unknown output type, or a number
                of generators that does not fit.

        Warns:
            UserWarning: A text is longer than the text encoder reads.
        """
        instructions = as_instructions(instruction)
        return self._generate(
            instructions,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            guidance=guidance,
            generators=as_generators(generator, len(instructions)),
            output_type=output_type,
            callback_on_step_end=callback_on_step_end,
            reencode_each_step=reencode_each_step,
        )

    def _generate(
        self,
        instructions: Sequence[Instruction],
        *,
        num_inference_steps: int,
        guidance_scale: float,
        guidance: str,
        generators: list[torch.Generator] | None,
        output_type: str,
        callback_on_step_end: StepCallback | None,
        reencode_each_step: bool = False,
        prepared: Callable[[ReferenceBatch], NetworkInputs] = lambda references: lambda copies: {},
    ) -> InstructImagenOutput:
        """See `__call__`.

        `prepared` makes what gives the inputs that the network takes besides, for so many copies of
        the batch.
        """
        if output_type not in ("pil", "np", "pt"):
            raise ValueError(f"output_type must be pil, np or pt, not '{output_type}'")
        if num_inference_steps < 1:
            raise ValueError(f"num_inference_steps must be at least 1, not {num_inference_steps}")
        weights = guidance_weights(guidance, guidance_scale, num_inference_steps)
        for one in instructions:
            one.check(max_marker=self.unet.max_markers)
            if (cut := self.text_encoder.tokens_cut(self._payload(one))) > 0:
                warnings.warn(
                    f"the text is {cut} tokens longer than the {self.text_encoder.max_length} that "
                    "this model reads; its end is not seen: shorten it",
                    stacklevel=2,
                )

        references = self._references(instructions)
        network_inputs = prepared(references)
        denoise, refresh = self._denoiser(
            instructions, references, any(w != 1 for w in weights), network_inputs
        )
        noise = self._initial_noise(len(instructions), generators)
        steps, sample = self._start(num_inference_steps, noise, network_inputs)
        accepts = inspect.signature(self.scheduler.step).parameters
        extra = {"generator": generators} if "generator" in accepts and generators else {}
        self._interrupt = False
        with self.progress_bar(total=num_inference_steps) as progress:
            for index, step in enumerate(steps):
                if reencode_each_step and index:
                    refresh()
                scaled = self.scheduler.scale_model_input(sample, step)
                weight = weights[min(index, num_inference_steps - 1)]
                predicted = denoise(scaled, step, weight)
                sample = self.scheduler.step(predicted, step, sample, **extra).prev_sample
                if callback_on_step_end is not None:
                    changed = callback_on_step_end(self, index, int(step), {"sample": sample})
                    sample = (changed or {}).get("sample", sample)
                progress.update()
                if self._interrupt:
                    break
        return InstructImagenOutput(images=self._finish(sample, output_type))

    def _references(self, instructions: Sequence[Instruction]) -> ReferenceBatch:
        """All references of the instructions, decoded, squared and packed."""
        images: list[Any] = []
        prompts: list[str] = []
        places: list[tuple[int, int, int, int]] = []
        for index, instruction in enumerate(instructions):
            for slot, reference in enumerate(instruction.references):
                images.append(self._shown(reference))
                prompts.append(reference_prompt(reference) if self.instruction else "")
                marker = reference.marker if self.instruction else 0
                places.append((index, slot, marker, reference.role not in LAYOUTS))
        device, dtype = self._execution_device, self.unet.dtype
        pixels = to_tensor(images, self.size).to(device, dtype)
        if self.vae is not None and images:
            encoded = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mode()
            pixels = (encoded * self.vae.config.scaling_factor).to(dtype)
        packed = torch.tensor(places, dtype=torch.int64).reshape(-1, 4).to(device)
        return ReferenceBatch(
            images=pixels,
            text=self._encode_text(prompts or [""]),
            markers=packed[:, 2],
            reference=torch.arange(len(places), device=device),
            sample=packed[:, 0],
            slot=packed[:, 1],
            batch_size=len(instructions),
            slots=max((place[1] + 1 for place in places), default=0),
            lends=packed[:, 3].bool(),
        )

    def _shown(self, reference: Reference) -> Any:
        """What of a reference is fitted to the network's size."""
        if reference.role != "edge":
            return reference.image
        return reduced_lines(load_image(reference.image), self.size)

    def _payload(self, instruction: Instruction) -> str:
        """The text that the network sees."""
        return instruction.text if self.instruction else without_markers(instruction.text)

    def _encode_text(self, texts: Sequence[str]) -> TextStates:
        return self.text_encoder(texts).to(self._execution_device, self.unet.dtype)

    def _denoiser(
        self,
        instructions: Sequence[Instruction],
        references: ReferenceBatch,
        with_guidance: bool,
        network_inputs: NetworkInputs,
    ) -> tuple[Callable[[Tensor, Tensor, float], Tensor], Callable[[], None]]:
        """The guided network, and what encodes the references anew."""
        side = self.size // self._vae_factor
        texts = [self._payload(instruction) for instruction in instructions]
        text = self._encode_text(texts)
        held: dict[str, ContextStates] = {}
        doubled: TextStates | None = None
        once, twice = network_inputs(1), network_inputs(2) if with_guidance else {}
        if with_guidance:
            rows = self.text_encoder(texts + [""] * len(texts))
            doubled = rows.to(self._execution_device, self.unet.dtype)

        def refresh() -> None:
            held["conditional"] = self.unet.encode_context(references, (side, side))
            if with_guidance:
                nothing = self.unet.encode_context(without_references(references), (side, side))
                held["both"] = held["conditional"].concatenated(nothing)

        def conditional(sample: Tensor, step: Tensor) -> Tensor:
            return self._predict(sample, step, text, held["conditional"], **once)

        def both(sample: Tensor, step: Tensor) -> Tensor:
            pair = torch.cat([sample, sample])
            return self._predict(pair, step, doubled, held["both"], **twice)

        refresh()
        return guided(both, conditional), refresh

    def _predict(self, sample: Tensor, step: Tensor, *inputs: Any, **named: Any) -> Tensor:
        """What the scheduler takes."""
        return self.unet(sample, step, *inputs, **named)

    def _initial_noise(self, count: int, generators: list[torch.Generator] | None) -> Tensor:
        """(count, C, H, W) noise; each row from its own generator where there are several."""
        side = self.size // self._vae_factor
        shape = (1, self._channels, side, side)
        rows = [
            randn_tensor(
                shape,
                generator=generators[index] if generators else None,
                device=self._execution_device,
                dtype=torch.float32,  # drawn alike for every precision of the network
            )
            for index in range(count)
        ]
        noise = torch.cat(rows).to(self.unet.dtype)
        return noise

    def _start(
        self, num_inference_steps: int, noise: Tensor, network_inputs: NetworkInputs
    ) -> tuple[Tensor, Tensor]:
        """The steps of the sampling, and the noisy sample that it begins with."""
        self.scheduler.set_timesteps(num_inference_steps, device=self._execution_device)
        return self.scheduler.timesteps, noise * self.scheduler.init_noise_sigma

    def _finish(self, sample: Tensor, output_type: str) -> list[Image.Image] | np.ndarray | Tensor:
        if self.vae is not None:
            latents = (sample / self.vae.config.scaling_factor).to(self.vae.dtype)
            sample = self.vae.decode(latents).sample
        sample = sample.float().clamp(-1, 1)
        if output_type == "pt":
            return sample
        if output_type == "np":
            return ((sample + 1) / 2).permute(0, 2, 3, 1).cpu().numpy()
        return to_pil(sample)


def without_references(references: ReferenceBatch) -> ReferenceBatch:
    """The same batch without any reference."""
    none = references.sample[:0]
    return ReferenceBatch(
        images=references.images[:0],
        text=references.text,
        markers=none,
        reference=none,
        sample=none,
        slot=none,
        batch_size=references.batch_size,
        slots=0,
    )


def as_instructions(given: Instruction | Sequence[Instruction]) -> list[Instruction]:
    """A list of instructions, at least one."""
    instructions = [given] if isinstance(given, (Instruction, str)) else list(given)
    for one in instructions:
        if not isinstance(one, Instruction):
            raise ValueError(f"{one!r} is no Instruction: write Instruction(text, references)")
    if not instructions:
        raise ValueError("there is no instruction in the list: give at least one")
    return instructions


def as_generators(
    generator: torch.Generator | Sequence[torch.Generator] | None, count: int
) -> list[torch.Generator] | None:
    """One generator a row."""
    if generator is None:
        return None
    if isinstance(generator, torch.Generator):
        return [generator] * count
    if len(generator) != count:
        raise ValueError(
            f"{len(generator)} generators for {count} instructions: give one, or one each"
        )
    return list(generator)
