"""Examples to one batch of pixels and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from instruct_imagen.data.example import Example
from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.instruction import marker_prompt


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B examples; their R references are packed, only those that exist.

    Attributes:
        tasks: B names.
        texts: B payload texts; empty where the text was dropped.
        targets: (B, 3, H, W) uint8.
        reference_images: (R, 3, H, W) uint8.
        reference_prompts: R texts "[ref#k] short text".
        sample: (R,) int64, which example a reference belongs to.
        slot: (R,) int64, its place among the references of that example.
        markers: (R,) int64, k of its marker.
        slots: The largest number of references of an example.
    """

    tasks: tuple[str, ...]
    texts: tuple[str, ...]
    targets: Tensor
    reference_images: Tensor
    reference_prompts: tuple[str, ...]
    sample: Tensor
    slot: Tensor
    markers: Tensor
    slots: int


def make_batch(
    examples: Sequence[Example],
    atlas: Atlas,
    size: int,
    *,
    device: torch.device | str = "cpu",
    drop_text: Sequence[bool] | None = None,
    drop_context: Sequence[bool] | None = None,
    photographs: Photographs | None = None,
) -> Batch:
    """Renders and packs examples.

    Args:
        examples: B of them.
        atlas: Has all their sprites.
        size: Side of the pictures in pixels.
        device: Where the pixels are made.
        drop_text: B flags: the text becomes empty.
        drop_context: B flags: the references are left out, and so cost nothing.
        photographs: The user's own, where the examples show some; decoded at `size`.

    Raises:
        ValueError: There are fewer or more flags than examples.
        AtlasError: A sprite is missing.
    """
    count = len(examples)
    for name, flags in (("drop_text", drop_text), ("drop_context", drop_context)):
        if flags is not None and len(flags) != count:
            raise ValueError(f"{name} has {len(flags)} flags for {count} examples; give one each")
    without_text = drop_text if drop_text is not None else [False] * count
    without_context = drop_context if drop_context is not None else [False] * count
    pictures = [example.target for example in examples]
    prompts: list[str] = []
    places: list[tuple[int, int, int]] = []
    for index, example in enumerate(examples):
        if without_context[index]:
            continue
        for slot, reference in enumerate(example.references):
            pictures.append(reference.picture)
            prompts.append(marker_prompt(reference.marker, reference.text))
            places.append((index, slot, reference.marker))
    pixels = render_pictures(pictures, atlas, size, device, photographs=photographs)
    packed = torch.tensor(places, dtype=torch.int64).reshape(-1, 3).to(device)
    return Batch(
        tasks=tuple(example.task for example in examples),
        texts=tuple(
            "" if gone else example.text
            for example, gone in zip(examples, without_text, strict=True)
        ),
        targets=pixels[:count],
        reference_images=pixels[count:],
        reference_prompts=tuple(prompts),
        sample=packed[:, 0],
        slot=packed[:, 1],
        markers=packed[:, 2],
        slots=max((slot + 1 for _, slot, _ in places), default=0),
    )
