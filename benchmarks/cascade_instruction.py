"""An instruction with any number of references, for measurements of time and memory."""

from __future__ import annotations

import torch

from instruct_imagen import Instruction, Reference


def instruction(count: int, size: int) -> Instruction:
    """An instruction with `count` references of `size` pixels, as many as there are markers."""
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
    names = [f"the [ref#{k + 1}] dog" for k in range(count)]
    return Instruction(
        "A picture of " + (", ".join(names) or "a dog") + " on a beach.",
        tuple(Reference(k + 1, one.numpy(), "dog", "subject") for k, one in enumerate(pixels)),
    )
