"""Makes the file of perceptual quality again: head, bank and thresholds.

Trained on renders of the training split, and on others of them with one or two faults; thresholds
are fixed on further ones. Nothing of the hold-out and no generated image is seen. The same machine
and library versions give the same file.

    python -m instruct_imagen.evaluation.quality_fit
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from instruct_imagen.data.example import Picture, Scene
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import sample_scene, scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupted, is_seen
from instruct_imagen.evaluation.judges.quality import (
    FILE,
    NEIGHBOURS,
    SIZES,
    Features,
    QualityHead,
    both_sides,
    head_and_bank,
    read,
)

SEED = 20261125
FACES = 0.08
"""Share of pictures that are faces; of the others, half have up to four assets, half up to two."""

TWO_FAULTS = 0.15
PASSED: Mapping[str, float] = MappingProxyType({"fault": 0.99, "distance": 0.995})
"""Share of held-back renders that are below the first threshold of each measure."""

BATCH, RATE = 64, 2e-3


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is made use of.

    Attributes:
        clean: Renders to learn from.
        worse: Pictures with faults to learn from.
        held_back: With faults, to fix thresholds on; of renders, twice as many.
        bank: Renders that the distance is measured to.
        epochs: Passes over what is learned from.
    """

    clean: int = 9_000
    worse: int = 16_000
    held_back: int = 2_000
    bank: int = 1_500
    epochs: int = 8


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
    parts = [
        render_pictures([Picture(scene=one) for one in scenes[start : start + 256]], atlas, size)
        for start in range(0, len(scenes), 256)
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


def maps_of(features: Features, images: np.ndarray) -> list[Tensor]:
    """The network's maps as halves."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    parts = [[one.half() for one in features(part)] for part in pixels.split(BATCH)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def fitted(maps: list[Tensor], grades: Tensor, epochs: int) -> QualityHead:
    """A head that tells renders from worse ones, and how much worse they are.

    It learns three questions at once: is there a fault, is it more than light, is it strong.
    """
    torch.manual_seed(SEED)
    head = QualityHead()
    for index, level in enumerate(maps):
        some = level[::8].float()
        getattr(head, f"mean{index}").copy_(some.mean((0, 2, 3)))
        getattr(head, f"std{index}").copy_(some.std((0, 2, 3)) + 1e-3)
    steps = nn.Parameter(torch.tensor([0.0, 1.0, 1.0]))
    optimizer = torch.optim.AdamW([*head.parameters(), steps], RATE, weight_decay=0.02)
    total = epochs * (len(grades) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=total)
    for epoch in range(epochs):
        order, losses = torch.randperm(len(grades)), []
        for rows in order[: len(grades) // BATCH * BATCH].split(BATCH):
            fault, _ = head([level[rows].float() for level in maps])
            limits = torch.cumsum(nn.functional.softplus(steps), 0) - 1
            asked = (grades[rows, None] > torch.arange(3)).float()
            loss = nn.functional.binary_cross_entropy_with_logits(fault[:, None] - limits, asked)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", file=sys.stderr, flush=True)
    return head.eval().requires_grad_(False)


def embedded(head: QualityHead, maps: list[Tensor]) -> Tensor:
    """What the head sees of pictures."""
    parts = [
        head([level[start : start + 256].float() for level in maps])[1]
        for start in range(0, len(maps[0]), 256)
    ]
    return torch.cat(parts)


def spread_out(embedding: Tensor, count: int) -> Tensor:
    """Rows that cover all: each next one is the farthest from those before it."""
    chosen = [0]
    away = torch.cdist(embedding, embedding[:1])[:, 0]
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = torch.minimum(away, torch.cdist(embedding, embedding[chosen[-1:]])[:, 0])
    return torch.tensor(chosen)


def second_limit(first: float, light: Tensor, strong: Tensor) -> float:
    """From where a fault is strong: where light and strong ones are told apart best."""
    tried = torch.linspace(first, max(float(strong.median()), first + 1e-3), 200)
    wrong = [(light >= one).float().mean() + (strong < one).float().mean() for one in tried]
    return float(tried[int(torch.stack(wrong).argmin())])


def taught(
    size: int, features: Features, vocabulary: Vocabulary, atlas: Atlas, amounts: Amounts
) -> dict[str, Tensor]:
    """Head and bank of one size, as halves."""
    first = SEED + 10 * size
    clean = rendered(real_scenes(vocabulary, amounts.clean, first), atlas, size)
    renders = rendered(real_scenes(vocabulary, amounts.worse, first + 1), atlas, size)
    worse, grades = worsened(renders, first + 2)
    maps = maps_of(features, np.concatenate([clean, worse]))
    grades = np.concatenate([np.zeros(len(clean), np.int64), grades])
    head = fitted(maps, torch.from_numpy(grades), amounts.epochs)
    embedding = embedded(head, [level[: len(clean)] for level in maps])
    bank = embedding[spread_out(embedding, amounts.bank)]
    # Itself is the first of its neighbours.
    radius = torch.cdist(bank, embedding).kthvalue(NEIGHBOURS + 1, dim=1).values
    tensors = {**head.state_dict(), "bank": bank, "radius": radius}
    return {f"{size}.{name}": one.half().contiguous() for name, one in tensors.items()}


def limits_of(
    size: int,
    features: Features,
    tensors: Mapping[str, Tensor],
    vocabulary: Vocabulary,
    atlas: Atlas,
    amounts: Amounts,
) -> dict[str, list[float]]:
    """Thresholds of one size: where renders end and where strong faults begin, of each measure."""
    first = SEED + 10 * size
    head, bank = head_and_bank(tensors, size)

    def measured(images: np.ndarray) -> dict[str, Tensor]:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        parts = [both_sides(features, head, bank, part) for part in pixels.split(BATCH)]
        fault, distance = (torch.cat(column) for column in zip(*parts, strict=True))
        return {"fault": fault, "distance": distance}

    renders = rendered(real_scenes(vocabulary, 2 * amounts.held_back, first + 3), atlas, size)
    others = rendered(real_scenes(vocabulary, amounts.held_back, first + 4), atlas, size)
    spoiled, grades = worsened(others, first + 5)
    real, worse = measured(renders), measured(spoiled)
    found = {}
    for name, passed in PASSED.items():
        limit = float(real[name].quantile(passed))
        light, strong = (worse[name][torch.from_numpy(grades == grade)] for grade in (1, 3))
        found[name] = [limit, second_limit(limit, light, strong)]
    # No fault is strong by distance alone before it is twice as far as any render.
    found["distance"][1] = max(found["distance"][1], 2 * found["distance"][0])
    return found


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parent / "judges" / FILE
    parser.add_argument("--out", type=Path, default=default, help="the file to write")
    parser.add_argument(
        "--limits", action="store_true", help="keep head and bank of the file, fix thresholds anew"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # sums have one order
    vocabulary = training_vocabulary(sources=("emoji", "faces"), people=100)
    pairs = (*vocabulary.pairs, *(face.pair for face in vocabulary.faces))
    atlas, features, amounts = Atlas.build(pairs), Features(), Amounts()
    tensors: dict[str, Tensor] = read(chosen.out)[0] if chosen.limits else {}
    limits = {}
    for size in SIZES:
        if not chosen.limits:
            tensors |= taught(size, features, vocabulary, atlas, amounts)
        limits[size] = limits_of(size, features, tensors, vocabulary, atlas, amounts)
        print(f"{size} pixels: limits {limits[size]}", file=sys.stderr, flush=True)
    unfinished = chosen.out.with_suffix(".unfinished")
    save_file(tensors, unfinished, {"limits": json.dumps(limits, sort_keys=True)})
    unfinished.replace(chosen.out)


if __name__ == "__main__":
    main()
