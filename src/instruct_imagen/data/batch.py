"""Examples to one batch of pixels and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from instruct_imagen.data.corpora.records import StoredImage
from instruct_imagen.data.example import Example, Photograph, Picture
from instruct_imagen.data.photographs import Photographs
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.devices import indices, sent
from instruct_imagen.images import ImageError
from instruct_imagen.instruction import LAYOUTS, marker_prompt


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B examples; their references are packed, only those that exist.

    One that several examples share (the same picture with the same prompt) is kept once: R
    references stand at P ≥ R places.

    Attributes:
        tasks: B names.
        texts: B payload texts; empty where the text was dropped.
        targets: (B, 3, H, W) uint8.
        reference_images: (R, 3, H, W) uint8.
        reference_prompts: R texts "[ref#k] short text"; the short text alone without marker.
        markers: (R,) int64, k of its marker; 0 for none.
        reference: (P,) int64, which reference stands at a place.
        sample: (P,) int64, which example the place belongs to.
        slot: (P,) int64, its number among the references of that example.
        slots: The largest number of references of an example.
        lends: (P,) bool, see `ReferenceBatch`.
    """

    tasks: tuple[str, ...]
    texts: tuple[str, ...]
    targets: Tensor
    reference_images: Tensor
    reference_prompts: tuple[str, ...]
    markers: Tensor
    reference: Tensor
    sample: Tensor
    slot: Tensor
    slots: int
    lends: Tensor


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
        ImageError: A stored picture is broken, or of another size.
    """
    count = len(examples)
    for name, flags in (("drop_text", drop_text), ("drop_context", drop_context)):
        if flags is not None and len(flags) != count:
            raise ValueError(f"{name} has {len(flags)} flags for {count} examples; give one each")
    without_text = drop_text if drop_text is not None else [False] * count
    without_context = drop_context if drop_context is not None else [False] * count
    # To their number and marker.
    distinct: dict[tuple[Picture | Photograph | StoredImage, str], tuple[int, int]] = {}
    places: list[tuple[int, int, int, int]] = []
    for index, example in enumerate(examples):
        if without_context[index]:
            continue
        for slot, reference in enumerate(example.references):
            content = (reference.picture, marker_prompt(reference.marker, reference.text))
            number, _ = distinct.setdefault(content, (len(distinct), reference.marker))
            places.append((number, index, slot, reference.role not in LAYOUTS))
    pictures = [example.target for example in examples] + [picture for picture, _ in distinct]
    pixels = _pixels(pictures, atlas, size, device, photographs)
    markers = torch.tensor([marker for _, marker in distinct.values()], dtype=torch.int64)
    packed = sent(torch.tensor(places, dtype=torch.int64).reshape(-1, 4), device)
    return Batch(
        tasks=tuple(example.task for example in examples),
        texts=tuple(
            "" if gone else example.text
            for example, gone in zip(examples, without_text, strict=True)
        ),
        targets=pixels[:count],
        reference_images=pixels[count:],
        reference_prompts=tuple(prompt for _, prompt in distinct),
        markers=sent(markers, device),
        reference=packed[:, 0],
        sample=packed[:, 1],
        slot=packed[:, 2],
        slots=max((place[2] + 1 for place in places), default=0),
        lends=packed[:, 3].bool(),
    )


def _pixels(
    pictures: Sequence[Picture | Photograph | StoredImage],
    atlas: Atlas,
    size: int,
    device: torch.device | str,
    photographs: Photographs | None,
) -> Tensor:
    """Stored pictures are decoded, all others rendered: (N, 3, size, size) uint8."""
    stored = {row: one for row, one in enumerate(pictures) if isinstance(one, StoredImage)}
    drawn = [row for row in range(len(pictures)) if row not in stored]
    if not stored:
        return render_pictures(pictures, atlas, size, device, photographs=photographs)
    out = torch.empty(len(pictures), 3, size, size, dtype=torch.uint8, device=device)
    decoded = torch.from_numpy(np.stack([_decoded(one, size) for one in stored.values()]))
    out[indices(list(stored), device)] = sent(decoded.permute(0, 3, 1, 2).contiguous(), device)
    if drawn:
        chosen = [pictures[row] for row in drawn]
        rendered = render_pictures(chosen, atlas, size, device, photographs=photographs)
        out[indices(drawn, device)] = rendered
    return out


def _decoded(picture: StoredImage, size: int) -> np.ndarray:
    """(size, size, 3) uint8."""
    image = picture.load()
    if image.size != (size, size):
        raise ImageError(
            f"{picture.name}: {image.width} × {image.height} pixels, and {size} are trained on: "
            "build the shards at that size"
        )
    return np.asarray(image)
