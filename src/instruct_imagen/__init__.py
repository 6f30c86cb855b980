"""Instruct-Imagen: one model that follows multi-modal instructions (text with references).

What a user needs is imported here.
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
