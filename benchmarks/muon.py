"""What Muon's orthogonalization takes and how exact it is, as published and in our two forms.

Trains the starter's warm-up for a few steps and orthogonalizes its momenta in turns, all matrices
of a shape at once; prints ratios of the time to the published form's (medians with quartiles over
the turns), quantiles of the singular values that come out, and the coefficients as derived anew.
Writes out/bench-muon.json. Time is the processor's: of one thread, it bears other work beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from run import spread
from torch import Tensor

from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.card import code_commit, machine_name
from instruct_imagen.training.loop import Trainer
from instruct_imagen.training.muon import (
    COEFFICIENTS,
    as_matrix,
    gram_form,
    orthogonalized,
    plain_form,
)

QUANTILES = (0.01, 0.1, 0.5, 0.9, 1.0)


def published(matrices: Tensor) -> Tensor:
    """Jordan et al. 2024: five times one polynomial, scaled by the Frobenius norm."""
    found = matrices.bfloat16()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = found @ found.mT
        factor = torch.baddbmm(gram, gram, gram, beta=-4.775, alpha=2.0315)
        found = torch.baddbmm(found, factor, found, beta=3.4445)
    return found


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "published": published,
    "plain": plain_form,
    "Gram": gram_form,
    "chosen": orthogonalized,
}


def momenta(steps: int) -> list[Tensor]:
    """Of the starter after so many steps of its `layouts`, in bf16: (N, rows, columns) each."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"out={folder}", "checkpoint_every=0", "sheet_every=0", "trackers="]
        trainer = Trainer(override(recipe("starter"), settings))
        trainer.stage = [stage.name for stage in trainer.config.stages].index("layouts")
        trainer.begin_stage()
        for _ in range(steps):
            trainer.step()
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for state in trainer.optimizer.state.values():
        if "momentum" in state:
            matrix = as_matrix(state["momentum"]).bfloat16()
            by_shape.setdefault(matrix.shape, []).append(matrix)
    return [torch.stack(matrices) for matrices in by_shape.values()]


def times(stacks: list[Tensor], turns: int) -> dict[str, Any]:
    """By shape and in all: the published form's ms, and each form's ratio to it, turn by turn."""
    taken: dict[str, dict[str, list[float]]] = {}
    for turn in range(turns + 1):
        for stack in stacks:
            rows = taken.setdefault(" × ".join(map(str, stack.shape)), {name: [] for name in FORMS})
            for name, form in FORMS.items():
                start = time.process_time()
                form(stack)
                if turn:  # the first warms up
                    rows[name].append(time.process_time() - start)
    taken["all"] = {
        name: [sum(turn) for turn in zip(*(rows[name] for rows in taken.values()), strict=True)]
        for name in FORMS
    }
    return {
        shape: {"ms": statistics.median(rows["published"]) * 1e3}
        | {
            name: spread([a / b for a, b in zip(rows[name], rows["published"], strict=True)])
            for name in list(FORMS)[1:]
        }
        for shape, rows in taken.items()
    }


def exactness(stacks: list[Tensor]) -> dict[str, list[float]]:
    """Of each form: quantiles of its singular values, their root mean square, and a cosine.

    The cosine is between what comes out and the polar factors.
    """
    found = {}
    for name, form in FORMS.items():
        values, along, size = [], 0.0, 0.0
        for stack in stacks:
            left, _, right = torch.linalg.svd(stack.double(), full_matrices=False)
            result = form(stack).double()
            values.append(torch.linalg.svdvals(result).flatten())
            along += float((left @ right * result).sum())
            size += left.shape[0] * left.shape[1]
        every = torch.cat(values)
        rms = float(every.square().mean().sqrt())
        quantiles = torch.quantile(every, torch.tensor(QUANTILES, dtype=every.dtype)).tolist()
        found[name] = [*quantiles, rms, along / size / rms]
    return found


def conditioned(least: float) -> Tensor:
    """(8, 192, 1728) of singular values from 1 down to `least`, evenly spaced logarithms."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, 192, 1728, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(noise, full_matrices=False)
    exponents = torch.linspace(0, 1, 192, dtype=torch.float64)
    return (left * least**exponents @ right).bfloat16()


def best_quintic(low: float, high: float) -> tuple[list[float], float]:
    """a, b, c of the a·x + b·x³ + c·x⁵ nearest to 1 on [low, high], and how far it is: Remez."""
    grid = torch.linspace(low, high, 20_001, dtype=torch.float64)
    powers = torch.stack([grid, grid**3, grid**5], dim=1)
    inner = [low + (high - low) * place for place in (0.3, 0.75)]
    for _ in range(50):
        points = torch.tensor([low, *inner, high], dtype=torch.float64)
        signs = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
        matrix = torch.stack([points, points**3, points**5, signs], dim=1)
        *found, error = torch.linalg.solve(matrix, torch.ones(4, dtype=torch.float64)).tolist()
        values = powers @ torch.tensor(found, dtype=torch.float64)
        top = int(values[: len(grid) // 2].argmax())
        inner = [float(grid[top]), float(grid[top + int(values[top:-1].argmin())])]
    return found, abs(error)


def derived(least: float, *, margin: float = 1.04, largest: float = 1.2) -> list[list[float]]:
    """As many polynomials as `COEFFICIENTS` for singular values in [least, 1]; see there."""
    low, high, found = least, 1.0, []
    for _ in COEFFICIENTS:
        polynomial, error = best_quintic(low, margin * high)
        found.append(polynomial)
        low, high = 1 - error, 1 + error
    found[-1] = [one * largest / high for one in found[-1]]
    return found


def main() -> None:
    """Measures everything, then the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--turns", type=int, default=12)
    arguments.add_argument("--steps", type=int, default=100, help="of training before")
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--out", type=Path, default=Path("out/bench-muon.json"))
    chosen = arguments.parse_args()
    if min(chosen.turns, chosen.steps) < 2 or chosen.threads < 1:
        arguments.error("--turns and --steps must be at least 2, --threads 1")
    torch.set_num_threads(chosen.threads)
    stacks = momenta(chosen.steps)
    random = torch.randn(8, 192, 1728, generator=torch.Generator().manual_seed(0)).bfloat16()
    figures = {
        "commit": code_commit(),
        "machine": machine_name("cpu"),
        "times": times(stacks, chosen.turns),
        "exactness": {
            "momenta": exactness(stacks),
            "Gaussian": exactness([random]),
            "condition 1e3": exactness([conditioned(1e-3)]),
        },
        "derived": derived(2.95e-3),
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


def show(figures: dict[str, Any]) -> None:
    """Prints the tables."""
    print(f"{'matrices':18s}{'published ms':>13s}" + "".join(f"{n:>22s}" for n in list(FORMS)[1:]))
    for shape, row in figures["times"].items():
        cells = [row[name] for name in list(FORMS)[1:]]
        ratios = [f"{cell['median']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]" for cell in cells]
        print(f"{shape:18s}{row['ms']:13.2f}" + "".join(f"{ratio:>22s}" for ratio in ratios))
    names = [*(f"{quantile:.0%}" for quantile in QUANTILES), "rms", "cosine"]
    print(f"\n{'singular values of':28s}" + "".join(f"{name:>8s}" for name in names))
    for kind, forms in figures["exactness"].items():
        for name, row in forms.items():
            print(f"{f'{kind}, {name}':28s}" + "".join(f"{value:8.3f}" for value in row))
    print("\nderived  in use")
    for found, used in zip(figures["derived"], COEFFICIENTS, strict=True):
        print([round(one, 4) for one in found], list(used))
    print(f"{figures['machine']}, commit {figures['commit']}")


if __name__ == "__main__":
    main()
