"""Microseconds of a scene, of its caption and of its picture, by how rich scenes are.

One thread, the best of several rounds; the starter's 400 concepts; batches of 64 pictures.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.atlas import Atlas
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import caption, sample_scene, scene_rng
from instruct_imagen.data.world.variety import PLAIN, Variety
from instruct_imagen.data.world.vocabulary import training_vocabulary

SCENES, PICTURES, BATCH, ROUNDS = 3000, 512, 64, 5
VARIETIES = {
    "plain": PLAIN,
    "up to four assets": Variety(places=0, turned=0, tinted=0),
    "and places": Variety(turned=0, tinted=0),
    "and turns": Variety(tinted=0),
    "and tints": Variety(),
    "starter": Variety(most_assets=2),
}


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest round."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def main() -> None:
    """Prints a line for each variety."""
    torch.set_num_threads(1)
    words = training_vocabulary(min_styles=8, limit=400)
    atlas = Atlas.build(words.pairs)
    for name, variety in VARIETIES.items():
        rich = replace(words, variety=variety)
        # Seeding a generator takes as long as a scene, and has no part in it.
        rng = scene_rng(0, 0)
        scenes = [sample_scene(rng, rich) for _ in range(SCENES)]
        drawn = best(lambda rng=rng, rich=rich: [sample_scene(rng, rich) for _ in range(SCENES)])
        said = best(lambda rng=rng, scenes=scenes: [caption(scene, rng) for scene in scenes])
        line = f"{name}: scene {drawn / SCENES * 1e6:.0f} µs, caption {said / SCENES * 1e6:.0f} µs"
        for size in (32, 64):
            pictures = [Picture(scene=scene) for scene in scenes[:PICTURES]]
            parts = [pictures[at : at + BATCH] for at in range(0, PICTURES, BATCH)]
            took = best(
                lambda parts=parts, size=size: [
                    render_pictures(part, atlas, size) for part in parts
                ]
            )
            line += f", picture of {size} {took / PICTURES * 1e6:.0f} µs"
        print(line, flush=True)


if __name__ == "__main__":
    main()
