"""What can be evaluated: anything with ``generate(instruction) -> image``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from PIL import Image

from instruct_imagen.instruction import Instruction


class Generator(Protocol):
    """A model, a rival or a baseline.

    A module of this folder that defines ``PEER`` (the class) is found by `peers.registry`; keyword
    arguments of the class are its options (``nearest:size=32``), texts each.

    Attributes:
        name: Of the kind.
        size: Side of its images in pixels; references are rendered at it. Edits may have the size
            of their source instead.
        fingerprint: Changes when its images may (weights, settings): kept beside them.
        raw_inputs: It is asked for captions without instruction, as the paper's multi-task
            baseline.
    """

    name: ClassVar[str]
    size: int
    fingerprint: str
    raw_inputs: bool

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        """The image of an instruction; the same for the same seed."""
        ...


@runtime_checkable
class BatchGenerator(Generator, Protocol):
    """One that is faster with several instructions at once.

    Attributes:
        batch_size: So many at once.
    """

    batch_size: int

    def generate_batch(
        self, instructions: Sequence[Instruction], *, seeds: Sequence[int]
    ) -> list[Image.Image]:
        """The image of each instruction, which depends on its own seed alone."""
        ...
