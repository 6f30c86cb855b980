"""Real captioned images for the benchmarks of the cluster builder: stamps, clip art, emoji."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from instruct_imagen.data.world.artwork.clip_art import FOLDER as CLIP_ART
from instruct_imagen.data.world.artwork.clip_art import described
from instruct_imagen.data.world.artwork.stamps import FOLDER as STAMPS
from instruct_imagen.data.world.drawing import rasterise
from instruct_imagen.data.world.sources import read_sets
from instruct_imagen.data.world.vocabulary import training_vocabulary

TAR_SAMPLES = 200
_NO_KEYWORDS = {"", "clip art", "clipart", "image", "media", "public domain", "png", "svg"}


def stamps() -> Iterator[tuple[str, bytes, str]]:
    """(path below the stamps' folder, PNG, first line of the caption) of all with a caption."""
    for path in sorted(STAMPS.rglob("*.png")):
        words = path.with_suffix(".txt")
        if words.is_file():
            lines = words.read_text(encoding="utf-8", errors="replace").splitlines()
            yield str(path.relative_to(STAMPS)), path.read_bytes(), lines[0] if lines else ""


def write_tars(folder: Path, samples: Iterable[tuple[str, bytes, str]]) -> int:
    """Writes (path, image, caption) as img2dataset would; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    archive, count = None, 0
    for count, (name, data, caption) in enumerate(samples, 1):
        if archive is None or count % TAR_SAMPLES == 1:
            if archive is not None:
                archive.close()
            archive = tarfile.open(folder / f"{count // TAR_SAMPLES:05d}.tar", "w")  # noqa: SIM115
        about = json.dumps({"key": f"{count:09d}", "url": name, "caption": caption}).encode()
        files = {Path(name).suffix[1:]: data, "txt": caption.encode(), "json": about}
        for extension, content in files.items():
            member = tarfile.TarInfo(f"{count:09d}.{extension}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    if archive is not None:
        archive.close()
    return count


def on_white(premultiplied: np.ndarray) -> Image.Image:
    """(H, W, 4) uint8, alpha premultiplied -> RGB."""
    rest = 255 - premultiplied[..., 3:].astype(np.int16)
    return Image.fromarray((premultiplied[..., :3] + rest).clip(0, 255).astype(np.uint8))


def emoji(concepts: int | None, side: int) -> Iterator[tuple[str, str, Image.Image]]:
    """(concept, style, picture) of the training vocabulary; of some concepts, drawn by lot."""
    words = training_vocabulary()
    chosen = set(words.concepts)
    if concepts is not None:
        lot = np.random.default_rng(0)
        chosen = set(lot.choice(words.concepts, concepts, replace=False).tolist())
    sets = read_sets()
    for concept, style in words.pairs:
        if concept not in chosen:
            continue
        sprite = sets[style].draw(concept, side)
        if sprite is not None:
            yield concept, style, on_white(sprite.transpose(1, 2, 0))


def clip_art(count: int, side: int) -> Iterator[tuple[str, frozenset[str], Image.Image]]:
    """(title, keywords, picture) of `count` drawings with both, drawn by lot."""
    paths = sorted(CLIP_ART.rglob("*.svg"))
    given = 0
    for index in np.random.default_rng(0).permutation(len(paths)):
        svg = paths[index].read_bytes()
        found = described(svg) if len(svg) < 150_000 else None
        if found is None or not found.title:
            continue
        keywords = found.keywords - _NO_KEYWORDS
        if not keywords:
            continue
        try:
            picture = rasterise(svg.decode("utf-8", "replace"), side)
        except ValueError:
            continue
        if picture.shape == (side, side, 4) and picture[..., 3].any():
            yield found.title, keywords, on_white(picture)
            given += 1
            if given == count:
                return
