"""What the probes are trained on: crops of real renders of the training split, and their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from instruct_imagen.data.example import Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import (
    TURNS,
    can_be_tinted,
    sample_background,
    scene_rng,
    takes_flip,
    tints_against,
)
from instruct_imagen.data.world.vocabulary import Face, Vocabulary

from .crops import Square, asset_square, crop

SIZES = (32, 32, 48, 64)
"""Sides of the pictures, equally frequent: half of them as small as the starter's."""

FACES = 0.15
PLACES, TURNED, TINTED, FLIPPED, CROWDED = 0.3, 0.1, 0.12, 0.25, 0.3
"""Shares of what a crop may have; a crowded one has another asset in its scene."""

SMALLEST, LARGEST = 0.35, 0.95
LOOSE, OFF = (1.0, 1.35), 0.06
BLURRED, NOISY, NOISE = 0.3, 0.3, 14.0
"""Shares of crops that are blurred and noisy, and the highest noise, of 255."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What crops can be told apart by, in a fixed order each.

    Attributes:
        concepts: Of things.
        styles: Of things and faces.
        instances: Drawings of things by (concept, style), and people by (person, style).
        expressions: Of faces, by (expression, style).
    """

    concepts: tuple[str, ...]
    styles: tuple[str, ...]
    instances: tuple[tuple[str, str], ...]
    expressions: tuple[tuple[str, str], ...]


def labels_of(vocabulary: Vocabulary) -> Labels:
    """All labels of a vocabulary."""
    people = dict.fromkeys((face.person, face.style) for face in vocabulary.faces)
    shown = sorted({(face.expression, face.style) for face in vocabulary.faces})
    return Labels(
        concepts=vocabulary.concepts,
        styles=(*vocabulary.styles, *vocabulary.face_styles),
        instances=(*vocabulary.pairs, *people),
        expressions=tuple(shown),
    )


class Samples:
    """Batches of crops with labels, the same for the same seed and number.

    Args:
        vocabulary: Of training.
        atlas: Has its sprites.
        seed: Of all batches.
    """

    def __init__(self, vocabulary: Vocabulary, atlas: Atlas, seed: int) -> None:
        self.vocabulary, self.atlas, self.seed = vocabulary, atlas, seed
        self.labels = labels_of(vocabulary)
        self._numbers = {
            name: {value: number for number, value in enumerate(getattr(self.labels, name))}
            for name in ("concepts", "styles", "instances", "expressions")
        }

    def batch(self, number: int, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Crops (count, 3, SIDE, SIDE) float32, and labels by head, (count,); -1 is none."""
        rng = scene_rng(self.seed, number)
        crops, labels = [], []
        for size in SIZES:
            scenes, squares = [], []
            for _ in range(count // len(SIZES)):
                scene, asset, face = self._scene(rng)
                scenes.append(Picture(scene=scene))
                squares.append(_shaken(rng, asset_square(asset)))
                labels.append(self._label(asset, face))
            images = render_pictures(scenes, self.atlas, size)
            crops.append(worsened(rng, crop(worn(rng, images), squares, margin=1.0)))
        table = torch.tensor(labels)
        heads = ("concept", "instance", "style", "expression")
        return torch.cat(crops), {name: table[:, i] for i, name in enumerate(heads)}

    def _label(self, asset: Placement, face: Face | None) -> tuple[int, int, int, int]:
        style = self._numbers["styles"][asset.style]
        if face is not None:
            person = self._numbers["instances"][face.person, face.style]
            return -1, person, style, self._numbers["expressions"][face.expression, face.style]
        concept = self._numbers["concepts"][asset.concept]
        instance = self._numbers["instances"][asset.concept, asset.style]
        return concept, -1 if asset.tint else instance, style, -1

    def _scene(self, rng: np.random.Generator) -> tuple[Scene, Placement, Face | None]:
        faces = self.vocabulary.faces
        face = faces[int(rng.random() * len(faces))] if faces and rng.random() < FACES else None
        pairs = self.vocabulary.pairs
        concept, style = face.pair if face else pairs[int(rng.random() * len(pairs))]
        background = sample_background(rng, (style,), places=PLACES)
        turn, tint, flip = 0, "", rng.random() < FLIPPED
        if face is None and rng.random() < TURNED:
            turn = TURNS[int(rng.random() * len(TURNS))]
        if face is None and rng.random() < TINTED and can_be_tinted(concept, style):
            tints = tints_against(background)
            tint = tints[int(rng.random() * len(tints))] if tints else ""
        low = 0.7 if face else SMALLEST
        scale = low + (LARGEST - low) * rng.random()
        asset = Placement(
            concept=concept, style=style, scale=scale, turn=turn, tint=tint,
            x=0.5 + (1 - scale) * (rng.random() - 0.5),
            y=0.5 + (1 - scale) * (rng.random() - 0.5),
            flip=flip and face is None and takes_flip(concept),
        )  # fmt: skip
        placements = [asset]
        if face is None and rng.random() < CROWDED:
            own = self.vocabulary.concepts_of(style)
            other = Placement(
                concept=own[int(rng.random() * len(own))], style=style,
                x=rng.random(), y=rng.random(), scale=0.25 + 0.2 * rng.random(),
            )  # fmt: skip
            apart = max(abs(other.x - asset.x), abs(other.y - asset.y))
            if apart > 0.4 * (asset.scale + other.scale):
                placements.insert(int(rng.random() * 2), other)
        return Scene(background=background, placements=tuple(placements)), asset, face


def _shaken(rng: np.random.Generator, square: Square) -> Square:
    x, y, side = square
    side *= LOOSE[0] + (LOOSE[1] - LOOSE[0]) * rng.random()
    off = OFF * side
    return x + off * (2 * rng.random() - 1), y + off * (2 * rng.random() - 1), side


def worn(rng: np.random.Generator, images: Tensor) -> Tensor:
    """Images of which some are a little blurred: as a small model's are."""
    images = images.float()
    rows = [row for row in range(len(images)) if rng.random() < BLURRED]
    if rows:
        size = images.shape[-1]
        small = interpolate(images[rows], scale_factor=0.6 + 0.3 * rng.random(), mode="area")
        images[rows] = interpolate(small, (size, size), mode="bilinear")
    return images


def worsened(rng: np.random.Generator, crops: Tensor) -> Tensor:
    """Crops of which some are noisy, a little brighter or darker."""
    generator = torch.Generator().manual_seed(int(rng.random() * 2**31))
    count = len(crops)
    level = torch.rand(count, 1, 1, 1, generator=generator) * NOISE
    level *= torch.rand(count, 1, 1, 1, generator=generator) < NOISY
    crops = crops + level * torch.randn(crops.shape, generator=generator)
    gain = 1 + 0.06 * torch.randn(count, 3, 1, 1, generator=generator)
    return (crops * gain).clamp(0, 255)
