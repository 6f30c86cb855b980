"""What an asset may be: vectors of real renders of all drawings, made once and cached."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from instruct_imagen.data.example import Background, Picture, Placement, Scene
from instruct_imagen.data.world.atlas import Pair
from instruct_imagen.data.world.fallback import FALLBACK_STYLES
from instruct_imagen.data.world.npm import cache_folder
from instruct_imagen.data.world.render import render_pictures

from .crops import asset_square, crop
from .network import WIDTHS, embed, probes_sha256
from .sprites import concepts, small_atlas

GALLERY = 1
"""Counts up whenever what is drawn here changes, so that no stale cache is used."""

_VIEWS = (("white", 0.55), ("light blue", 0.8))  # background and scale of the renders, at 48 px
_SIDE = 48
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Gallery:
    """Vectors of drawings.

    Attributes:
        pairs: N of them.
        vectors: Head → (N, width) of length 1.
        concepts: Sorted.
        concept_of: (N,) the number of each one's concept.
        styles: Names.
        style_of: (N,) the number of each one's style.
    """

    pairs: tuple[Pair, ...]
    vectors: dict[str, Tensor]
    concepts: tuple[str, ...]
    concept_of: Tensor
    styles: tuple[str, ...]
    style_of: Tensor

    def by_concept(self, found: Tensor, head: str = "concept") -> Tensor:
        """Likeness of vectors (M, width) to each concept in its nearest style: (M, concepts)."""
        likeness = found @ self.vectors[head].T
        out = torch.full((len(found), len(self.concepts)), -1.0)
        return out.scatter_reduce(1, self.concept_of.expand(len(found), -1), likeness, "amax")

    @cached_property
    def style_centres(self) -> Tensor:
        """(styles, width) of length 1: the mean of each style's drawings."""
        total = torch.zeros(len(self.styles), WIDTHS["style"])
        total.index_add_(0, self.style_of, self.vectors["style"])
        return torch.nn.functional.normalize(total, dim=1)


def gallery_of(style: str) -> Gallery:
    """What a drawing of some style may be mistaken for: every emoji in every style."""
    return _own() if style in FALLBACK_STYLES else _emoji()


@lru_cache(maxsize=1)
def _emoji() -> Gallery:
    return _gallery(concepts("noto"))


@lru_cache(maxsize=1)
def _own() -> Gallery:
    return _gallery(concepts(FALLBACK_STYLES[0]))


def _gallery(drawn: Mapping[str, tuple[str, ...]]) -> Gallery:
    pairs = [(concept, style) for concept, styles in drawn.items() for style in styles]
    styles = tuple(dict.fromkeys(style for _, style in pairs))
    known = tuple(sorted(drawn))
    numbers = {name: number for number, name in enumerate(known)}
    return Gallery(
        pairs=tuple(pairs),
        vectors=_vectors(tuple(pairs)),
        concepts=known,
        concept_of=torch.tensor([numbers[concept] for concept, _ in pairs], dtype=torch.int64),
        styles=styles,
        style_of=torch.tensor([styles.index(style) for _, style in pairs], dtype=torch.int64),
    )


def _vectors(pairs: tuple[Pair, ...]) -> dict[str, Tensor]:
    text = repr((GALLERY, probes_sha256(), pairs))
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = cache_folder() / "judge" / f"{name}.safetensors"
    if path.is_file():
        return {head: vectors.float() for head, vectors in load_file(path).items()}
    starts = tqdm(range(0, len(pairs), _CHUNK), "the judge's gallery, made once", disable=None)
    parts = [drawn_vectors(pairs[start : start + _CHUNK]) for start in starts]
    found = {
        head: torch.cat([part[head] for part in parts]) if parts else torch.empty(0, width)
        for head, width in WIDTHS.items()
    }
    _write(path, found)
    return {head: vectors.half().float() for head, vectors in found.items()}


def drawn_vectors(pairs: Sequence[Pair]) -> dict[str, Tensor]:
    """Of real renders of drawings, each alone: the mean of two views."""
    atlas = small_atlas(pairs)
    total: dict[str, Tensor] = {}
    for colour, scale in _VIEWS:
        placed = [
            Placement(concept=concept, style=style, x=0.5, y=0.5, scale=scale)
            for concept, style in pairs
        ]
        background = Background(kind="plain", colours=(colour,))
        pictures = [Picture(scene=Scene(background=background, placements=(p,))) for p in placed]
        images = render_pictures(pictures, atlas, _SIDE)
        found = embed(crop(images, [asset_square(one) for one in placed]))
        total = {head: total[head] + found[head] if total else found[head] for head in found}
    return {head: torch.nn.functional.normalize(one, dim=1) for head, one in total.items()}


def _write(path: Path, vectors: dict[str, Tensor]) -> None:
    """Whole or not at all: others may make the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        save_file({head: one.half().contiguous() for head, one in vectors.items()}, unfinished)
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
