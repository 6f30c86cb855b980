"""Images per second of a saved pipeline as the evaluation draws them, by batch and precision.

    python benchmarks/evaluation.py [MODEL]

Cases of our own drawings; one thread. CPU time leaves out what else the machine does.
"""

from __future__ import annotations

import sys
import time

import torch

from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.evaluation.cases import fixed_examples
from instruct_imagen.evaluation.peers.registry import open_model
from instruct_imagen.evaluation.suites.world_cases import world_case

IMAGES = 32


def main(model: str) -> None:
    """Prints a line for each precision and batch."""
    torch.set_num_threads(1)
    rows = fixed_examples(fallback_vocabulary(), each=4)
    examples = [example for _, row in rows for example in row][:IMAGES]
    for precision in ("float32", "bfloat16"):
        for batch in (1, 8, 32):
            peer = open_model(f"{model}:batch={batch},precision={precision}")
            cases = [
                world_case(example, fallback_atlas(), peer.size, id=str(n), group="", seed=n)
                for n, example in enumerate(examples)
            ]
            # Not the first call, which also sets up what later ones share.
            peer.generate_batch([case.instruction for case in cases[:1]], seeds=[0])
            wall, own = time.perf_counter(), time.process_time()
            for start in range(0, len(cases), batch):
                part = cases[start : start + batch]
                asked = [case.instruction for case in part]
                peer.generate_batch(asked, seeds=[case.seed for case in part])
            wall, own = time.perf_counter() - wall, time.process_time() - own
            print(
                f"{precision:8s} batch {batch:2d}: {len(cases) / own:.2f} images a second of CPU "
                f"time, {len(cases) / wall:.2f} a second",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "starter")
