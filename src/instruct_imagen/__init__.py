"""Instruct-Imagen: one model that follows multi-modal instructions (text with references).

The component modules are imported here, eagerly: `DiffusionPipeline.from_pretrained` looks for the
classes that a saved pipeline names among the attributes of this package.
"""

from instruct_imagen.instruction import Instruction, InstructionError, Reference
from instruct_imagen.model.text import TextEncoder
from instruct_imagen.model.unet import InstructUNet
from instruct_imagen.pipeline import InstructImagenOutput, InstructImagenPipeline

__all__ = [
    "InstructImagenOutput",
    "InstructImagenPipeline",
    "InstructUNet",
    "Instruction",
    "InstructionError",
    "Reference",
    "TextEncoder",
]
