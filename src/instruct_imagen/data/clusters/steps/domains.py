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
from instruct_imagen.data.clusters.steps.leaks import Leaks
from instruct_imagen.data.clusters.steps.titles import Titles

NONE = -1
"""Instead of the number of a domain: the row is of a hold-out, or has the caption of a collection,
and goes no further."""


@dataclass(frozen=True, kw_only=True)
class Domains(Step):
    """``<part>.npy``: (N,) int16, which of `names` each embedded row is of, or `NONE`.

    Attributes:
        embed: The vectors.
        sorting: The list, and what is sure enough.
        leaks: Rows of hold-outs, where there are some.
        titles: Rows with captions of collections, where those are looked for.
    """

    name: ClassVar[str] = "domains"

    embed: Embed
    sorting: DomainSettings
    leaks: Leaks | None = None
    titles: Titles | None = None

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
        """The vectors of the part, and which of its rows go no further."""
        held = {} if self.leaks is None else self.leaks.record(part).hashes()
        titles = {} if self.titles is None else self.titles.share(part)
        return {**self.embed.record(part).hashes(), **held, **titles}

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
        numbers = np.array([places[name] for name in found.names], np.int16)
        for step in (self.leaks, self.titles):
            if step is not None:
                ids = np.load(self.embed.path(f"{part}.ids.npy"))
                numbers[np.isin(ids, step.ids(part))] = NONE
        write_array(numbers, draft.path(f"{part}.npy"))
        for name, place in places.items():
            draft.count(name, int((numbers == place).sum()))
