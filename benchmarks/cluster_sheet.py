"""A sheet of clusters drawn by lot, to be judged by eye: five pictures a row, each row numbered.

python benchmarks/cluster_sheet.py out/clusters sheet.webp --count 100
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from instruct_imagen.data.clusters.by_concept import CLUSTER_SIZE
from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.pages.report import drawn_by_lot
from instruct_imagen.data.clusters.reading import loader
from instruct_imagen.images import load_image

NUMBER = 26  # pixels for the number of a row


def sheet(build: Path, count: int, columns: int, side: int, seed: int) -> Image.Image:
    """`count` clusters of a build, `columns` beside each other."""
    found = Finished(build)
    kinds = {domain: found.clusters(domain)[0] for domain in found.domains}
    drawn = drawn_by_lot(
        np.random.default_rng(seed), {name: len(ids) for name, ids in kinds.items()}, count
    )
    clusters = [kinds[domain][place].tolist() for domain, place in drawn]
    rows = found.rows({number for cluster in clusters for number in cluster})
    load = loader(found.corpus)
    wide, lines = NUMBER + CLUSTER_SIZE * side + 8, -(-len(clusters) // columns)
    whole = Image.new("RGB", (columns * wide, lines * (side + 4)), "white")
    pen = ImageDraw.Draw(whole)
    for place, cluster in enumerate(clusters):
        left, top = place // lines * wide, place % lines * (side + 4)
        pen.text((left + 2, top + side // 2 - 6), str(place + 1), fill="black")
        for number, data in enumerate(load([rows[one] for one in cluster])):
            if not isinstance(data, bytes):
                raise SystemExit(f"{data}: build again")
            image = load_image(io.BytesIO(data))
            image.thumbnail((side - 2, side - 2))
            whole.paste(image, (left + NUMBER + number * side, top))
        captions = " | ".join(rows[one].caption[:24] for one in cluster)
        print(f"{place + 1:3} {drawn[place][0]:10} {captions}")
    return whole


def main() -> None:
    """Parses and runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="folder of a whole build")
    parser.add_argument("out", type=Path, help="an image")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--side", type=int, default=40, help="pixels of a picture")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    found = sheet(chosen.build, chosen.count, chosen.columns, chosen.side, chosen.seed)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    found.save(chosen.out, quality=80)
    print(f"{chosen.out}: {chosen.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
