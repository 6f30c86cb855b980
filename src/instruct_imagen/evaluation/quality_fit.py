"""Makes a file of perceptual quality: both networks and their scale.

Trained on renders of the training split, and on the same with faults; thresholds are fixed on
further ones. Nothing of the hold-out and no generated image is seen. The shipped file joins the
networks of two earlier runs (docs/judges.md).

    python -m instruct_imagen.evaluation.quality_fit
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.vocabulary import Vocabulary, training_vocabulary
from instruct_imagen.evaluation.judges.quality import (
    FILE,
    Scale,
    both_sides,
    metadata,
    networks_of,
    read,
)
from instruct_imagen.evaluation.judges.quality_networks import (
    SIZES,
    Features,
    PixelNetwork,
    QualityHead,
)
from instruct_imagen.evaluation.quality_lessons import (
    disturbed,
    real_scenes,
    rendered,
    rendered_with_things,
    worsened,
    worsened_things,
)

SEED = 20261125

PASSED = 0.975
"""Share of held-back renders that are below the first threshold."""

BATCH = 64
HEAD_RATE, PIXEL_RATE = 2e-3, 4e-3


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is made use of.

    Attributes:
        clean: Renders that the head learns from.
        worse: Pictures with faults that it learns from.
        head_epochs: Passes over both.
        pictures: Renders that the pixel network learns from, each as it is and made worse.
        pixel_epochs: Passes over them.
        held_back: With faults, to fix thresholds on; of renders, twice as many.
    """

    clean: int = 9_000
    worse: int = 16_000
    head_epochs: int = 8
    pictures: int = 30_000
    pixel_epochs: int = 5
    held_back: int = 2_000


def maps_of(features: Features, images: Tensor) -> list[Tensor]:
    """The features' maps as halves.

    Args:
        features: Of EfficientNet-Lite0.
        images: (N, 3, side, side) uint8.
    """
    parts = [[one.half() for one in features(part)] for part in images.split(BATCH)]
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def grade_loss(fault: Tensor, steps: Tensor, grades: Tensor) -> Tensor:
    """Of three questions at once: is there a fault, is it more than light, is it strong.

    Args:
        fault: (N,), of a network.
        steps: (3,): how far apart the answers are; learned, too.
        grades: (N,) of 0, a render, to 3, a strong fault.
    """
    limits = torch.cumsum(nn.functional.softplus(steps), 0) - 1
    asked = (grades[:, None] > torch.arange(3)).float()
    return nn.functional.binary_cross_entropy_with_logits(fault[:, None] - limits, asked)


def _learned(
    network: nn.Module,
    grades: Tensor,
    said: Callable[[Tensor], Tensor],
    batches: Callable[[], Iterator[Tensor]],
    rate: float,
    epochs: int,
) -> None:
    """Passes over batches of rows of `grades`, of which `said` is the network's fault."""
    steps = nn.Parameter(torch.tensor([0.0, 1.0, 1.0]))
    optimizer = torch.optim.AdamW([*network.parameters(), steps], rate, weight_decay=0.02)
    total = epochs * (len(grades) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total)
    for epoch in range(epochs):
        losses = []
        for rows in batches():
            loss = grade_loss(said(rows), steps, grades[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", file=sys.stderr, flush=True)


def fitted_head(maps: list[Tensor], grades: Tensor, epochs: int) -> QualityHead:
    """A head that tells renders from worse ones, and how much worse they are."""
    torch.manual_seed(SEED)
    head = QualityHead()
    for index, level in enumerate(maps):
        some = level[::8].float()
        getattr(head, f"mean{index}").copy_(some.mean((0, 2, 3)))
        getattr(head, f"std{index}").copy_(some.std((0, 2, 3)) + 1e-3)

    def said(rows: Tensor) -> Tensor:
        return head([level[rows].float() for level in maps])

    def batches() -> Iterator[Tensor]:
        order = torch.randperm(len(grades))
        yield from order[: len(grades) // BATCH * BATCH].split(BATCH)

    _learned(head, grades, said, batches, HEAD_RATE, epochs)
    return head.eval().requires_grad_(False)


def fitted_pixels(
    images: Tensor, maps: list[Tensor], grades: Tensor, size: int, epochs: int
) -> PixelNetwork:
    """A pixel network that tells the same.

    A picture and the same made worse are always in one batch, which differ in nothing else.

    Args:
        images: (2 N, 3, size, size) uint8: N renders, and the same made worse.
        maps: Of `maps_of`.
        grades: (2 N,) of 0, a render, to 3, a strong fault.
        size: One of `SIZES`.
        epochs: Passes.
    """
    torch.manual_seed(SEED)
    network, pairs = PixelNetwork(size).to(memory_format=torch.channels_last), len(grades) // 2

    def said(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            fault = network(images[rows], [level[rows].float() for level in maps])
        return fault.float()

    def batches() -> Iterator[Tensor]:
        order = torch.randperm(pairs)
        for chosen in order[: 2 * pairs // BATCH * BATCH // 2].split(BATCH // 2):
            yield torch.cat([chosen, chosen + pairs])

    _learned(network, grades, said, batches, PIXEL_RATE, epochs)
    return network.folded()


def second_limit(first: float, light: Tensor, more: Tensor) -> float:
    """From where faults spoil a picture: where light and stronger ones are told apart best."""
    tried = torch.linspace(first, max(float(more.median()), first + 1e-3), 200)
    wrong = [(light >= one).float().mean() + (more < one).float().mean() for one in tried]
    return float(tried[int(torch.stack(wrong).argmin())])


def taught(
    size: int, features: Features, vocabulary: Vocabulary, atlas: Atlas, amounts: Amounts
) -> dict[str, Tensor]:
    """Both networks of one size, as halves."""
    first = SEED + 10 * size
    clean = rendered(real_scenes(vocabulary, amounts.clean, first), atlas, size)
    others = rendered(real_scenes(vocabulary, amounts.worse, first + 1), atlas, size)
    worse, grades = worsened(others, first + 2)
    maps = maps_of(features, _pixels(np.concatenate([clean, worse])))
    grades = np.concatenate([np.zeros(len(clean), np.int64), grades])
    head = fitted_head(maps, torch.from_numpy(grades), amounts.head_epochs)

    renders = rendered_with_things(real_scenes(vocabulary, amounts.pictures, first), atlas, size)
    worse, grades = worsened_things(renders, first + 1)
    torch.manual_seed(SEED)
    both = _pixels(np.concatenate([renders.images, worse]))
    images = torch.cat([disturbed(part) for part in both.split(BATCH)])
    maps = maps_of(features, images)
    all_grades = torch.from_numpy(np.concatenate([np.zeros_like(grades), grades]))
    pixels = fitted_pixels(images, maps, all_grades, size, amounts.pixel_epochs)
    return {
        f"{size}.{part}.{name}": one.half().contiguous()
        for part, network in (("head", head), ("pixels", pixels))
        for name, one in network.state_dict().items()
    }


def scale_of(
    size: int,
    features: Features,
    tensors: dict[str, Tensor],
    vocabulary: Vocabulary,
    atlas: Atlas,
    amounts: Amounts,
) -> Scale:
    """Units and thresholds of one size: where renders end, and where light faults do."""
    first = SEED + 10 * size
    networks = networks_of(tensors, size)

    def said(images: np.ndarray) -> tuple[Tensor, Tensor]:
        parts = [both_sides(features, *networks, part) for part in _pixels(images).split(BATCH)]
        head, pixels = (torch.cat(column) for column in zip(*parts, strict=True))
        return head, pixels

    renders = rendered(real_scenes(vocabulary, 2 * amounts.held_back, first + 3), atlas, size)
    others = rendered(real_scenes(vocabulary, amounts.held_back, first + 4), atlas, size)
    spoiled, grades = worsened(others, first + 5)
    real, worse = said(renders), said(spoiled)
    head, pixels = ((float(one.median()), float(one.std())) for one in real)
    units = Scale(head=head, pixels=pixels, limits=(0.0, 0.0))
    shows = float(units.summed(*real).quantile(PASSED))
    faults = units.summed(*worse)
    light, more = (faults[torch.from_numpy(chosen)] for chosen in (grades == 1, grades > 1))
    return replace(units, limits=(shows, second_limit(shows, light, more)))


def _pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parent / "judges" / FILE
    parser.add_argument("--out", type=Path, default=default, help="the file to write")
    parser.add_argument(
        "--limits", action="store_true", help="keep networks of the file, fix thresholds anew"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # sums have one order
    vocabulary = training_vocabulary(sources=("emoji", "faces"), people=100)
    pairs = (*vocabulary.pairs, *(face.pair for face in vocabulary.faces))
    atlas, features, amounts = Atlas.build(pairs), Features(), Amounts()
    tensors: dict[str, Tensor] = read(chosen.out)[0] if chosen.limits else {}
    scales = {}
    for size in SIZES:
        if not chosen.limits:
            tensors |= taught(size, features, vocabulary, atlas, amounts)
        scales[size] = scale_of(size, features, tensors, vocabulary, atlas, amounts)
        print(f"{size} pixels: {scales[size]}", file=sys.stderr, flush=True)
    unfinished = chosen.out.with_suffix(".unfinished")
    save_file(tensors, unfinished, metadata(scales))
    unfinished.replace(chosen.out)


if __name__ == "__main__":
    main()
