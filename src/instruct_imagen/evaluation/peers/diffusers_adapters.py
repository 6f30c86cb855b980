"""A diffusers text-to-image pipeline whose references go to an IP-Adapter and to ControlNets.

How the strongest open parts of 2023 are put together for what an instruction asks: pictures of
subjects, faces and styles through an IP-Adapter (Ye et al., arXiv 2308.06721), layouts through
ControlNets (Zhang et al., ICCV 2023), the words as the prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.options import count, fingerprint_of, number
from instruct_imagen.images import load_image, to_square
from instruct_imagen.instruction import Instruction, without_markers

LAYOUTS = ("edge", "sketch", "depth", "mask")
"""Roles that go to a ControlNet, where one is named for them."""

PICTURES = ("subject", "face", "style", "content", "source")
"""Roles that go to the IP-Adapter."""

_GREY = (128, 128, 128)


class DiffusersAdapters:
    """Stable Diffusion (or XL) with IP-Adapter and ControlNets; models by name or path.

    References that no part is named for are not seen: give what the suite needs.

    Args:
        model: A text-to-image pipeline.
        ip_adapter: Repository or folder of an IP-Adapter; empty for none.
        ip_subfolder: Folder in it, e.g. ``models``.
        ip_weights: File in it, e.g. ``ip-adapter_sd15.safetensors``.
        ip_scale: Its weight.
        edge: ControlNet of edges; empty for none.
        sketch: Of sketches.
        depth: Of depth maps.
        mask: Of masks or segmentations.
        control_scale: Weight of the ControlNets.
        steps: Sampling steps.
        guidance: Weight of classifier-free guidance.
        size: Side of its images in pixels.
        device: E.g. ``cuda``.

    Raises:
        EvaluationError: A model cannot be loaded, or an option is wrong.
    """

    name: ClassVar[str] = "diffusers_adapters"
    raw_inputs = False

    def __init__(
        self,
        *,
        model: str,
        ip_adapter: str = "",
        ip_subfolder: str = "models",
        ip_weights: str = "ip-adapter_sd15.safetensors",
        ip_scale: str = "0.6",
        edge: str = "",
        sketch: str = "",
        depth: str = "",
        mask: str = "",
        control_scale: str = "1",
        steps: str = "30",
        guidance: str = "7.5",
        size: str = "512",
        device: str = "cpu",
    ) -> None:
        self.size = count("size", size, least=8, most=4096)
        self._steps = count("steps", steps, most=1000)
        self._guidance = number("guidance", guidance, least=1, whole=False)
        self._ip_scale = number("ip_scale", ip_scale, least=0, whole=False)
        self._control_scale = number("control_scale", control_scale, least=0, whole=False)
        nets = {"edge": edge, "sketch": sketch, "depth": depth, "mask": mask}
        self.controls = {role: name for role, name in nets.items() if name}
        settings = {
            "peer": self.name,
            "model": model,
            "ip_adapter": [ip_adapter, ip_subfolder, ip_weights, self._ip_scale],
            "controls": self.controls,
            "numbers": [self.size, self._steps, self._guidance, self._control_scale],
        }
        self._has_adapter = bool(ip_adapter)
        diffusers_logging.disable_progress_bar()
        try:
            pipeline = _pipeline(model, self.controls)
            if ip_adapter:
                pipeline.load_ip_adapter(ip_adapter, subfolder=ip_subfolder, weight_name=ip_weights)
            self.pipeline = pipeline.to(device)
        except (OSError, ValueError, RuntimeError) as error:
            raise EvaluationError(f"{self.name}: a model cannot be loaded: {error}") from error
        self.pipeline.set_progress_bar_config(disable=True)
        self.fingerprint = fingerprint_of({**settings, "weights": _weights(self.pipeline)})

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        """See `Generator`."""
        return self.pipeline(
            **self.inputs(instruction), generator=torch.Generator().manual_seed(seed)
        ).images[0]

    def inputs(self, instruction: Instruction) -> dict[str, Any]:
        """What the pipeline is called with, but for the noise."""
        given = {
            role: [
                to_square(load_image(one.image), self.size)
                for one in instruction.references
                if one.role == role
            ]
            for role in (*LAYOUTS, *PICTURES)
        }
        named = {
            "prompt": without_markers(instruction.text),
            "num_inference_steps": self._steps,
            "guidance_scale": self._guidance,
            "height": self.size,
            "width": self.size,
        }
        if self.controls:
            named |= self._control_inputs(given)
        if self._has_adapter:
            named |= self._adapter_inputs([one for role in PICTURES for one in given[role]])
        return named

    def _control_inputs(self, given: Mapping[str, Sequence[Image.Image]]) -> dict[str, Any]:
        """An image for each ControlNet; one without a reference has the weight 0."""
        empty = Image.new("RGB", (self.size, self.size))
        images = [given[role][0] if given[role] else empty for role in self.controls]
        scales = [self._control_scale if given[role] else 0.0 for role in self.controls]
        one = len(images) == 1
        return {
            "image": images[0] if one else images,
            "controlnet_conditioning_scale": scales[0] if one else scales,
        }

    def _adapter_inputs(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """All pictures for the one adapter, which has the weight 0 where there are none."""
        self.pipeline.set_ip_adapter_scale(self._ip_scale if images else 0.0)
        shown = list(images) or [Image.new("RGB", (self.size, self.size), _GREY)]
        return {"ip_adapter_image": [shown]}


def _pipeline(model: str, controls: Mapping[str, str]) -> DiffusionPipeline:
    """The text-to-image pipeline, with ControlNets if there are some."""
    # Here, as diffusers loads what all its pipelines need with them.
    from diffusers import (
        AutoPipelineForText2Image,
        ControlNetModel,
        StableDiffusionControlNetPipeline,
        StableDiffusionXLControlNetPipeline,
    )

    pipeline = AutoPipelineForText2Image.from_pretrained(model)
    if not controls:
        return pipeline
    nets = [ControlNetModel.from_pretrained(name) for name in controls.values()]
    xl = "text_encoder_2" in pipeline.components
    kind = StableDiffusionXLControlNetPipeline if xl else StableDiffusionControlNetPipeline
    taken = inspect.signature(kind.__init__).parameters
    parts = {name: part for name, part in pipeline.components.items() if name in taken}
    more = {} if xl else {"requires_safety_checker": False}
    return kind(**{**parts, "controlnet": nets[0] if len(nets) == 1 else nets, **more})


def _weights(pipeline: DiffusionPipeline) -> dict[str, str]:
    """A digest of each network: models by name may change behind it."""
    found = {}
    for name, part in sorted(pipeline.components.items()):
        if isinstance(part, torch.nn.Module):
            total = [float(value.double().sum()) for value in part.state_dict().values()]
            found[name] = fingerprint_of({"sums": total})
    return found


PEER = DiffusersAdapters
