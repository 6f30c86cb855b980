"""Train the probes: ``python -m instruct_imagen.evaluation.judges.probes.train``.

Nothing but real renders of the training split is shown: no held-out concept, style or person, and
no generated image. Deterministic by seed on one machine.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.vocabulary import training_vocabulary

from .network import FROZEN, WEIGHTS, WIDTHS, Probes, new_probes
from .samples import Samples

SEED = 20_261_125
BATCH = 128
STEPS = 800
TRUNK_RATE, HEAD_RATE = 6e-4, 3e-3
SHARPNESS = 24.0
HEADS = {"concept": 128, "instance": 96, "style": 48, "expression": 32}
"""Those that are trained: which drawing or person it is, and which expression, are asked so that
the trunk keeps such details; the file has only the heads that judge."""

SHARES = {"concept": 1.0, "instance": 0.5, "style": 0.4, "expression": 0.1}


class Classes(nn.Module):
    """A unit vector for each label of a head: what training compares vectors with."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(count, width))

    def loss(self, found: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy of cosines; labels of -1 are left out."""
        known = labels >= 0
        if not known.any():
            return found.sum() * 0
        vectors = nn.functional.normalize(self.vectors, dim=1)
        cosines = found[known] @ vectors.T
        return nn.functional.cross_entropy(SHARPNESS * cosines, labels[known])


def train(samples: Samples, steps: int, out: Path, *, batch: int = BATCH) -> None:
    """Train and write the file.

    Args:
        samples: What is shown; their seed is that of the heads too.
        steps: How many.
        out: The file, written now and then and at the end.
        batch: Crops a step, a multiple of four.
    """
    torch.manual_seed(samples.seed)
    probes = new_probes(HEADS).to(memory_format=torch.channels_last)
    probes.eval()  # the statistics of ImageNet stay
    names = {"concept": "concepts", "instance": "instances", "style": "styles"}
    counts = {head: len(getattr(samples.labels, names.get(head, "expressions"))) for head in HEADS}
    classes = nn.ModuleDict({head: Classes(counts[head], HEADS[head]) for head in HEADS})
    trunk = list(probes.blocks[FROZEN:].parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": trunk, "lr": TRUNK_RATE},
            {"params": [*probes.heads.parameters(), *classes.parameters()], "lr": HEAD_RATE},
        ],
        weight_decay=1e-4,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    print(f"{counts} labels, {steps} steps of {batch} crops", flush=True)
    started = time.monotonic()
    for step in range(steps):
        crops, labels = samples.batch(step, batch)
        found = _found(probes, crops)
        losses = {head: classes[head].loss(found[head], labels[head]) for head in HEADS}
        optimizer.zero_grad(set_to_none=True)
        sum(SHARES[head] * loss for head, loss in losses.items()).backward()
        nn.utils.clip_grad_norm_(probes.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % 20 == 0 or step == steps - 1:
            told = ", ".join(f"{head} {loss.item():.3f}" for head, loss in losses.items())
            print(f"step {step}: {told} ({time.monotonic() - started:.0f} s)", flush=True)
        if step and step % 100 == 0:
            _save(probes, out)
    _save(probes, out)


def _found(probes: Probes, crops: Tensor) -> dict[str, Tensor]:
    return probes(crops.contiguous(memory_format=torch.channels_last))


def _rate(step: int, steps: int) -> float:
    """Rises for the first 3%, then falls as a cosine."""
    rise = max(steps * 3 // 100, 1)
    return min((step + 1) / rise, 1.0) * (0.5 + 0.5 * math.cos(math.pi * step / steps))


def _save(probes: Probes, out: Path) -> None:
    dropped = tuple(f"heads.{head}." for head in HEADS if head not in WIDTHS)
    state = {
        key: value.half().contiguous()
        for key, value in probes.state_dict().items()
        if not key.endswith("num_batches_tracked") and not key.startswith(dropped)
    }
    unfinished = out.with_suffix(".part")
    save_file(state, unfinished)
    unfinished.replace(out)


def main() -> None:
    """Read the settings and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / WEIGHTS)
    settings = parser.parse_args()
    vocabulary = training_vocabulary(sources=("emoji", "faces"))
    pairs = (*vocabulary.pairs, *(face.pair for face in vocabulary.faces))
    train(Samples(vocabulary, Atlas.build(pairs), settings.seed), settings.steps, settings.out)


if __name__ == "__main__":
    main()
