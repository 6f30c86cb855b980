"""How many planted pictures of a hold-out are found in a corpus, kind by kind.

Pictures are drawn by lot from the corpus to be the hold-out, and leave it; of each one changed copy
of every kind (`planted`) and the picture itself, as another file, are compared with all of them, as
the step `leaks` does. What is found of the rest of the corpus is counted, too: near-duplicates that
were there before, and mistakes, which a person has to tell apart.

python benchmarks/leakage.py CORPUS [--held 150] [--others 1000]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from instruct_imagen.data.clusters.encoders import Lite0
from instruct_imagen.data.clusters.hashes import perceptual_hashes, thumbnail
from instruct_imagen.data.clusters.leakage import Pictures, leaks_of
from instruct_imagen.data.clusters.near_duplicates import Thresholds
from instruct_imagen.data.clusters.picture_quality import VIEW
from instruct_imagen.data.clusters.planted import CHANGES, plant
from instruct_imagen.data.clusters.reading import loader, open_web_corpus, read_part
from instruct_imagen.data.corpora.base import EntryError
from instruct_imagen.data.corpora.records import StoredImage


def some_of(folder: Path, count: int, rng: np.random.Generator) -> list[tuple[str, Image.Image]]:
    """Keys and pictures of a corpus' rows, drawn by lot, none smaller than 128 pixels."""
    corpus = open_web_corpus(folder)
    rows = [row for part in range(corpus.parts) for row in read_part(corpus, part).rows]
    rows = list({row.sha256: row for row in rows if min(row.width, row.height) >= 128}.values())
    chosen = [rows[place] for place in rng.permutation(len(rows))[:count].tolist()]
    found = []
    for row, data in zip(chosen, loader(corpus)(chosen), strict=True):
        assert not isinstance(data, EntryError)
        found.append((row.key, StoredImage(data=data, name=row.key).load()))
    return found


def pictures(images: Sequence[Image.Image], names: Sequence[str], encoder: Lite0) -> Pictures:
    """What is compared, made as the steps make it."""
    thumbs = []
    for image in images:
        view = image.copy()
        view.thumbnail((VIEW, VIEW), Image.Resampling.BOX)
        thumbs.append(thumbnail(view))
    stacked = np.stack(thumbs)
    return Pictures(
        sha256=names, thumbs=stacked, hashes=perceptual_hashes(stacked), vectors=encoder(images)
    )


def main() -> None:
    """Prints the recall of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--held", type=int, default=150)
    parser.add_argument("--others", type=int, default=1000)
    chosen = parser.parse_args()
    rng, encoder = np.random.default_rng(0), Lite0()
    every = some_of(chosen.corpus, chosen.held + chosen.others, rng)
    held, others = every[: chosen.held], every[chosen.held :]
    known = pictures([image for _, image in held], [key for key, _ in held], encoder)
    right_of_all = 0
    for kind in ("unchanged", *CHANGES):
        changed = [plant(i, kind, rng) if kind in CHANGES else i for _, i in held]
        corpus = pictures(changed, [f"{kind} {key}" for key, _ in held], encoder)
        found = leaks_of(corpus, known, Thresholds())
        right = sum(leak.row == leak.held for leak in found)
        right_of_all += len(found)
        print(f"{kind:12} found {len(found)} of {len(held)}, {right} of them named right")
    print(f"all kinds    {right_of_all / (len(held) * (1 + len(CHANGES))):.3f}")
    rest = pictures([image for _, image in others], [key for key, _ in others], encoder)
    start = time.process_time()
    found = leaks_of(rest, known, Thresholds())
    print(
        f"of {len(others)} other pictures {len(found)} are taken for one of the hold-out "
        f"({time.process_time() - start:.1f} s)"
    )
    for leak in found:
        print(f"  {others[leak.row][0]}: {held[leak.held][0]}, {leak.why}")


if __name__ == "__main__":
    main()
