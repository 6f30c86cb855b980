"""Instruct-Imagen: one model that follows multi-modal instructions (text with references).

What a user needs is imported from here. Names are looked up when they are first used, so that
`instruct_imagen.instruction` and the command line's help do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from instruct_imagen.cascade import Cascade
    from instruct_imagen.instruction import Instruction, InstructionError, Reference
    from instruct_imagen.model.text import TextEncoder
    from instruct_imagen.model.unet import InstructUNet
    from instruct_imagen.pipeline import InstructImagenOutput, InstructImagenPipeline

_HOMES = {
    "Cascade": "cascade",
    "Instruction": "instruction",
    "InstructionError": "instruction",
    "Reference": "instruction",
    "TextEncoder": "model.text",
    "InstructUNet": "model.unet",
    "InstructImagenOutput": "pipeline",
    "InstructImagenPipeline": "pipeline",
    "SuperResolutionPipeline": "super_resolution",
}

__all__ = [
    "Cascade",
    "InstructImagenOutput",
    "InstructImagenPipeline",
    "InstructUNet",
    "Instruction",
    "InstructionError",
    "Reference",
    "SuperResolutionPipeline",
    "TextEncoder",
]


def __getattr__(name: str) -> object:
    """A public name, from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
