"""The baseline that only remembers: the target of the training example with the nearest caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar, cast

import numpy as np
import torch
from PIL import Image

from instruct_imagen.data.example import Picture
from instruct_imagen.data.mixture import Mixture
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.peers.options import count, fingerprint_of
from instruct_imagen.evaluation.peers.pipeline import loaded
from instruct_imagen.instruction import Instruction, without_markers
from instruct_imagen.pipeline import saved_pipeline
from instruct_imagen.recipes import recipe

WORLDS = ("emoji", "drawings")
_CHUNK = 256


class NearestTraining:
    """Answers with a picture of the training, chosen by words alone.

    Its bank are the first examples of the stream that the recipe `starter` trains on in its last
    stage; an instruction, without its markers, is compared with their captions (cosine of the
    mean of the starter text encoder's states). It sees no reference: what it scores is what
    captions and memory give.

    Args:
        bank: How many examples it remembers; more than a few ten thousand need much memory.
        size: Side of its images in pixels.
        world: ``emoji`` for the recipe's world, ``drawings`` for our own few drawings, where no
            artwork is installed.

    Raises:
        EvaluationError: An option is none of these.
        WorldUnavailable: The artwork is not installed.
    """

    name: ClassVar[str] = "nearest"
    raw_inputs = False

    def __init__(self, *, bank: str = "2000", size: str = "32", world: str = "emoji") -> None:
        self.size = count("size", size, least=8, most=1024)
        self.bank = count("bank", bank, most=100_000)
        if world not in WORLDS:
            raise EvaluationError(f"world={world}: use one of {', '.join(WORLDS)}")
        self._world = world
        config = recipe("starter")
        mixture = Mixture(
            all_tasks(), config.stages[-1].ratios, _vocabulary(world), seed=config.seed
        )
        examples = mixture.examples(0, self.bank)
        # Style transfer has no caption: nothing in words leads to it.
        kept = [one for one in examples if one.caption and isinstance(one.target, Picture)]
        self.captions = [one.caption for one in kept]
        self.targets = [cast(Picture, one.target) for one in kept]
        self.fingerprint = fingerprint_of(
            {"peer": self.name, "size": self.size, "world": world, "captions": self.captions}
        )

    @cached_property
    def _encoder(self) -> torch.nn.Module:
        """The text encoder of the packaged pipeline."""
        return loaded(saved_pipeline("starter")).base.text_encoder

    @cached_property
    def _bank(self) -> torch.Tensor:
        """(captions, D), each of length 1."""
        return self._features(self.captions)

    def _features(self, texts: Sequence[str]) -> torch.Tensor:
        """(texts, D): mean over tokens, of length 1."""
        rows = []
        for start in range(0, len(texts), _CHUNK):
            with torch.no_grad():
                encoded = self._encoder(list(texts[start : start + _CHUNK]))
            weight = encoded.mask[..., None].to(encoded.states.dtype)
            rows.append((encoded.states * weight).sum(1) / weight.sum(1))
        return torch.nn.functional.normalize(torch.cat(rows), dim=1)

    def nearest(self, text: str) -> int:
        """Index in the bank of the caption that is nearest to a text."""
        return int((self._bank @ self._features([text])[0]).argmax())

    def generate(self, instruction: Instruction, *, seed: int) -> Image.Image:
        """See `Generator`; the seed changes nothing."""
        words = without_markers(instruction.text)
        target = self.targets[self.nearest(words)]
        pixels = render_pictures([target], self._atlas, self.size)[0].permute(1, 2, 0).numpy()
        return Image.fromarray(np.ascontiguousarray(pixels))

    @cached_property
    def _atlas(self) -> Atlas:
        """What the bank shows."""
        if self._world == "drawings":
            return fallback_atlas()
        scenes = (target.scene for target in self.targets)
        return Atlas.build(sorted({(p.concept, p.style) for s in scenes for p in s.placements}))


def _vocabulary(world: str) -> Vocabulary:
    """What the recipe's training may draw."""
    if world == "drawings":
        return fallback_vocabulary()
    config = recipe("starter")
    vocabulary = training_vocabulary(
        min_styles=config.min_styles,
        categories=config.categories or None,
        limit=config.concepts or None,
        sources=config.sources,
        people=config.people,
    )
    variety = Variety(
        most_assets=config.most_assets,
        places=config.places,
        turned=config.turned,
        tinted=config.tinted,
    )
    return replace(vocabulary, variety=variety)


PEER = NearestTraining
