"""Which domain each row is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from instruct_imagen.data.clusters.domains import (
    CAPTION_SCALE,
    OTHER,
    DomainSettings,
    Prompts,
    prompts_of,
    sort_part,
)
from instruct_imagen.data.clusters.ledger import Draft
from instruct_imagen.data.clusters.pretrained_encoders import PretrainedEncoder
from instruct_imagen.data.clusters.steps.base import Step, gpus_of, write_array
from instruct_imagen.data.clusters.steps.embed import Embed


@dataclass(frozen=True, kw_only=True)
class Domains(Step):
    """``<part>.npy``: (N,) int16, which of `names` each embedded row is of.

    Attributes:
        embed: The vectors.
        sorting: The list, and what is sure enough.
    """

    name: ClassVar[str] = "domains"

    embed: Embed
    sorting: DomainSettings

    @property
    def names(self) -> tuple[str, ...]:
        """All domains, "other" last."""
        return (*(one.name for one in self.sorting.domains), OTHER)

    @property
    def gpus(self) -> int:
        """One if a network runs on it."""
        return gpus_of(self.embed.images, self.embed.words)

    def parts(self) -> Sequence[str]:
        """Those of the corpus."""
        return self.embed.parts()

    def settings(self) -> Mapping[str, Any]:
        """The list and its thresholds."""
        return asdict(self.sorting)

    def inputs(self, part: str) -> Mapping[str, str]:
        """The vectors of the part."""
        return self.embed.record(part).hashes()

    def tools(self) -> Prompts:
        """Vectors of the domains' texts."""
        texts = (
            self.embed.images.texts if isinstance(self.embed.images, PretrainedEncoder) else None
        )
        if texts is not None:
            return prompts_of(self.sorting, texts, texts.scale)
        return prompts_of(self.sorting, self.embed.words, CAPTION_SCALE)

    def make(self, part: str, draft: Draft, tools: Prompts) -> None:
        """Compares images with the texts where their encoder can, else captions."""
        images = np.load(self.embed.path(f"{part}.images.npy"))
        texts = np.load(self.embed.path(f"{part}.texts.npy"))
        has_texts = isinstance(self.embed.images, PretrainedEncoder) and self.embed.images.texts
        found = sort_part(images if has_texts else texts, tools, self.sorting)
        places = {name: place for place, name in enumerate(self.names)}
        write_array(
            np.array([places[name] for name in found.names], np.int16), draft.path(f"{part}.npy")
        )
        for name, number in found.counts.items():
            draft.count(name, number)
