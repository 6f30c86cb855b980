"""Small pictures as a base model draws them, so that an upscaler learns to mend what it gets.

A picture that a base model draws from pure noise has no true large version. So the model draws the
true one on: noise is put on its small version, from where the model goes on by itself. What comes
out has the true layout and the model's own faults, more of them the more noise there was. Nothing
like it is in [Hu24]; adding noise to the small picture, as there, stands for all faults alike.
"""

from __future__ import annotations

import json
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from instruct_imagen.diffusion.guidance import guided
from instruct_imagen.diffusion.objective import TIMESTEPS, training_scheduler
from instruct_imagen.model.super_resolution import shrunk
from instruct_imagen.model.text import TextEncoder, TextStates
from instruct_imagen.model.unet import InstructUNet, ReferenceBatch
from instruct_imagen.pipeline import saved_pipeline, without_references
from instruct_imagen.recipes.config import RecipeError
from instruct_imagen.training.draws import Draws
from instruct_imagen.training.step import Encoded

STEPS, GUIDANCE = 4, 3.0
LOWEST, HIGHEST = 0.2, 0.5
"""Shares of the noise levels from which the model draws on.

From more of it, the true picture could not be told any more from what is drawn, and an upscaler
would learn to be vague."""


class Drafts:
    """Replaces some small pictures of a batch by a base model's.

    Args:
        name: A saved pipeline, by folder or packaged name.
        share: Of the examples, above 0 to 1.
        low_size: Side of the small pictures, which the model must draw.
        encoder: Of the texts, which is the base model's too.
        device: Of the model.

    Raises:
        ModelError: There is no such pipeline.
        RecipeError: It draws another size, or reads texts of another width.
    """

    def __init__(
        self, name: str, share: float, low_size: int, encoder: TextEncoder, device: torch.device
    ) -> None:
        folder = saved_pipeline(name)
        index = json.loads((folder / "model_index.json").read_text())
        if not index.get("instruction", True) or index.get("vae", [None])[0] is not None:
            raise RecipeError(
                f"draft={name} follows no instructions, or draws latents: name a base model of "
                "pixels that does"
            )
        network = InstructUNet.from_pretrained(folder / "unet")
        size = int(network.unet.config.sample_size) * network.space_to_depth
        width = encoder([""]).states.shape[-1]
        if size != low_size or network.text_dim != width:
            raise RecipeError(
                f"draft={name} draws {size} pixels from texts of width {network.text_dim}, and "
                f"this upscaler enlarges {low_size} and reads width {width}: name its base model"
            )
        self.network = network.to(device).eval().requires_grad_(False)
        self.share = share
        self.encoder = encoder
        self.alphas = training_scheduler().alphas_cumprod.to(device)

    @torch.no_grad()
    def __call__(self, encoded: Encoded, draws: Draws) -> Encoded:
        """The batch with small pictures, some of which are drafts.

        Args:
            encoded: B examples.
            draws: Of the B examples: noise (B, 3, low, low), and levels that decide which are
                drawn on, and from where.
        """
        small = shrunk(encoded.images, draws.noise.shape[-1])
        share = draws.timesteps.float() / TIMESTEPS / self.share
        rows = torch.nonzero(share < 1).flatten()
        if len(rows):
            first = (LOWEST + (HIGHEST - LOWEST) * share[rows]) * (TIMESTEPS - 1)
            small = small.clone()
            small[rows] = self._drawn_on(
                small[rows],
                draws.noise[rows],
                first.long(),
                _texts_of(encoded.text, rows),
                _references_of(encoded.references, rows, small.shape[-1]),
            )
        return replace(encoded, small=small)

    def _drawn_on(
        self, images: Tensor, noise: Tensor, first: Tensor, text: TextStates, seen: ReferenceBatch
    ) -> Tensor:
        """DDIM (Song et al. 2021, §4.1) from level `first`, (R,) int64, to none."""
        network, side = self.network, images.shape[-1]
        text = text.to(images.device)
        nothing = _padded(self.encoder([""]).to(images.device), text.states.shape[1], len(images))
        twice = TextStates(
            states=torch.cat([text.states, nothing.states]),
            mask=torch.cat([text.mask, nothing.mask]),
            markers=torch.cat([text.markers, nothing.markers]),
        )
        context = network.encode_context(seen, (side, side))
        none = network.encode_context(without_references(seen), (side, side))
        both = context.concatenated(none)
        denoise = guided(
            lambda sample, step: network(sample.repeat(2, 1, 1, 1), step.repeat(2), twice, both),
            lambda sample, step: network(sample, step, text, context),
        )
        sample, levels = images, first
        kept, lost = self._factors(levels)
        sample = kept * images + lost * noise
        for step in range(STEPS):
            v = denoise(sample, levels, GUIDANCE).float()
            clean = (kept * sample - lost * v).clamp(-1, 1)
            beyond = (sample - kept * clean) / lost
            levels = first * (STEPS - 1 - step) // STEPS
            kept, lost = self._factors(levels)
            sample = kept * clean + lost * beyond
        return clean

    def _factors(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas[levels][:, None, None, None]
        return alphas.sqrt(), (1 - alphas).sqrt()


def _texts_of(text: TextStates, rows: Tensor) -> TextStates:
    return TextStates(states=text.states[rows], mask=text.mask[rows], markers=text.markers[rows])


def _padded(text: TextStates, length: int, times: int) -> TextStates:
    """One text, `times` times, with `length` tokens of which the last are masked."""
    more = length - text.states.shape[1]
    return TextStates(
        states=pad(text.states, (0, 0, 0, more)).repeat(times, 1, 1),
        mask=pad(text.mask, (0, more)).repeat(times, 1),
        markers=pad(text.markers, (0, more)).repeat(times, 1),
    )


def _references_of(references: ReferenceBatch, rows: Tensor, size: int) -> ReferenceBatch:
    """Those of some samples, as small as the base model sees them."""
    kept = torch.isin(references.sample, rows)
    used, numbers = torch.unique(references.reference[kept], return_inverse=True)
    slots = references.slot[kept]
    return ReferenceBatch(
        images=shrunk(references.images[used], size) if len(used) else references.images[:0],
        text=_texts_of(references.text, used) if len(used) else references.text,
        markers=references.markers[used],
        reference=numbers,
        sample=torch.searchsorted(rows, references.sample[kept]),
        slot=slots,
        batch_size=len(rows),
        slots=int(slots.max()) + 1 if len(slots) else 0,
    )
