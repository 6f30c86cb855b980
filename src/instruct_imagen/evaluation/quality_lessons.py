"""What perceptual quality is taught with: real renders, and the same made worse.

Renders are of the training split. The head's lessons are faults of whole pictures in three named
strengths; the pixel network's are more faults, of any strength, of things alone too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from instruct_imagen.data.example import Picture, Scene
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted, is_seen
from instruct_imagen.evaluation.faults.registry import FAULTS, spoiled
from instruct_imagen.evaluation.faults.tools import Given

FACES = 0.08
"""Share of pictures that are faces; of the others, half have up to four assets, half up to two."""

TWO_FAULTS = 0.15
"""Share of the head's worse pictures with two faults."""

WHERE = (0.35, 0.4, 0.25)
"""Shares of pictures that are spoiled as a whole, in all of their things, in one of them."""

COUNTS = (0.5, 0.3, 0.2)
"""Shares of pictures with one fault, with two, with three."""

WEAKEST, STRONGEST = -0.6, 2.4
"""Strengths are drawn between: some way about each of `STRENGTHS`."""

UNSEEN = 1.0
"""Root of the mean square, of 255, of what is spread over a whole picture and yet not seen."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Renders:
    """Real renders and where their things are.

    Attributes:
        images: uint8 (N, side, side, 3).
        things: uint8 (N, side, side), 255 where anything is drawn.
        one: The same of one thing of each.
    """

    images: np.ndarray
    things: np.ndarray
    one: np.ndarray


def real_scenes(vocabulary: Vocabulary, count: int, seed: int) -> list[Scene]:
    """Scenes of the world as training sees them; faces where the vocabulary has some."""
    found = []
    faces = [all_tasks()[name]() for name in ("face", "face_hq")] if vocabulary.faces else []
    for number in range(count):
        rng = scene_rng(seed, number)
        if faces and rng.random() < FACES:
            found.append(faces[number % 2].example(rng, vocabulary).target.scene)
        else:
            rich = Variety(most_assets=4 if number % 2 else 2, places=0.3)
            found.append(sample_scene(rng, replace(vocabulary, variety=rich)))
    return found


def rendered(scenes: list[Scene], atlas: Atlas, size: int) -> np.ndarray:
    """(N, size, size, 3) uint8."""
    return _drawn([Picture(scene=one) for one in scenes], atlas, size)


def rendered_with_things(scenes: list[Scene], atlas: Atlas, size: int) -> Renders:
    """Pictures of scenes; the one thing is the first, then the second, and so on in turn."""
    singles = [
        replace(scene, placements=(scene.placements[number % len(scene.placements)],))
        for number, scene in enumerate(scenes)
    ]
    things, one = (
        _drawn([Picture(scene=each, kind="mask") for each in some], atlas, size)[..., 0]
        for some in (scenes, singles)
    )
    return Renders(images=rendered(scenes, atlas, size), things=things, one=one)


def _drawn(pictures: list[Picture], atlas: Atlas, size: int) -> np.ndarray:
    """(N, size, size, 3) uint8."""
    parts = [
        render_pictures(pictures[start : start + 256], atlas, size)
        for start in range(0, len(pictures), 256)
    ]
    return torch.cat(parts).permute(0, 2, 3, 1).contiguous().numpy()


def worsened(images: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each picture with a fault, and how strong it is: 1 to 3, or 0 where it cannot be seen."""
    found, grades = np.empty_like(images), np.zeros(len(images), np.int64)
    for number, image in enumerate(images):
        rng = scene_rng(seed, number)
        for _ in range(8):
            worse, grade = image, 0
            for _ in range(1 + (rng.random() < TWO_FAULTS)):
                name = tuple(CORRUPTIONS)[int(rng.integers(len(CORRUPTIONS)))]
                index = int(rng.integers(len(STRENGTHS)))
                other = images[int(rng.integers(len(images)))]
                worse = corrupted(worse, name, STRENGTHS[index], rng, other)
                grade = max(grade, index + 1)
            if is_seen(image, worse, STRENGTHS[grade - 1]):
                break
            grade = 0
        found[number], grades[number] = (worse, grade) if grade else (image, 0)
    return found, grades


def worsened_things(renders: Renders, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each picture with one to three faults, and how strong they are: 1 to 3, or 0 as above."""
    images = renders.images
    found, grades = images.copy(), np.zeros(len(images), np.int64)
    for number, image in enumerate(images):
        rng = scene_rng(seed, number)
        for _ in range(8):
            worse, grade = image, 0
            where = rng.choice(len(WHERE), p=WHERE)
            things = (renders.one if where == 2 else renders.things)[number]
            for _ in range(1 + rng.choice(len(COUNTS), p=COUNTS)):
                name = tuple(FAULTS)[int(rng.integers(len(FAULTS)))]
                strength = rng.uniform(WEAKEST, STRONGEST)
                other = images[int(rng.integers(len(images)))]
                given = Given(
                    image=worse, things=things / 255, other=other, strength=strength, rng=rng
                )
                worse = spoiled(given, name, alone=where > 0)
                grade = max(grade, 1 + min(max(round(strength), 0), len(STRENGTHS) - 1))
            if is_seen(image, worse, STRENGTHS[grade - 1]):
                found[number], grades[number] = worse, grade
                break
    return found, grades


def disturbed(images: Tensor) -> Tensor:
    """What nobody sees, grain, a pattern of two by two pixels and waves, on each picture.

    Renders have plain grounds: without this a network calls a picture spoiled for a difference of
    one in them.

    Args:
        images: (N, 3, side, side) uint8.

    Returns:
        The same, by up to `UNSEEN` changed.
    """
    count, side = len(images), images.shape[-1]
    grain = torch.randn(count, 3, side, side)
    pattern = torch.randn(count, 3, 2, 2).repeat(1, 1, side // 2, side // 2)
    coarse = torch.randn(count, 3, 6, 6)
    waves = nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    parts = torch.stack([grain, pattern, waves], 1) * torch.rand(count, 3, 1, 1, 1)
    field = parts.sum(1)
    field *= UNSEEN * torch.rand(count, 1, 1, 1) / field.square().mean((1, 2, 3), True).sqrt()
    return (images + field).round().clamp(0, 255).to(torch.uint8)
