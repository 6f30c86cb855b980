"""The trivial baseline: the first reference, as it is."""

from __future__ import annotations

from typing import ClassVar

from PIL import Image

from instruct_imagen.evaluation.peers.options import count, fingerprint_of
from instruct_imagen.images import load_image, to_square
from instruct_imagen.instruction import Instruction

GREY = (128, 128, 128)


class CopyReference:
    """Returns the first reference, and plain grey where there is none.

    Whatever it scores, a model has to beat.

    Args:
        size: Side of its images in pixels.
    """

    name: ClassVar[str] = "copy_reference"
    raw_inputs = False

    def __init__(self, *, size: str = "32") -> None:
        self.size = count("size", size, least=8, most=4096)
        self.fingerprint = fingerprint_of({"peer": self.name, "size": self.size})

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        """See `Generator`; the seed changes nothing."""
        if not instruction.references:
            return Image.new("RGB", (self.size, self.size), GREY)
        return to_square(load_image(instruction.references[0].image), self.size)


PEER = CopyReference
