"""All sprites of a world in memory: rendered once, cached, packed, halved for small pictures."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .artwork.base import Drawings
from .artwork.registry import read_styles
from .npm import cache_folder

SIDE = 64
RECIPE = 1
"""Counts up whenever `drawing` changes what it draws, so that no stale cache is used."""

_SMALLEST_LEVEL = 16
_FORMAT = "instruct-imagen atlas 1"

Pair = tuple[str, str]


class AtlasError(ValueError):
    """An atlas file that cannot be used, or a sprite that an atlas does not have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Atlas:
    """Sprites by (concept, style).

    Attributes:
        pairs: (concept, style) of each row.
        sprites: (rows, 4, side, side) uint8: red, green, blue (premultiplied), alpha. Planes come
            first because the renderer resamples each plane by two matrix products.
        sources: Per style: package, version, licence, hash of what was rendered.
    """

    pairs: tuple[Pair, ...]
    sprites: np.ndarray
    sources: Mapping[str, Mapping[str, str]]
    _rows: dict[Pair, int] = field(default_factory=dict, repr=False)
    _tensors: dict[tuple[int, str], torch.Tensor] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Check shapes and index the rows."""
        shape = self.sprites.shape
        if len(shape) != 4 or shape[1] != 4 or shape[2] != shape[3] or len(self.pairs) != shape[0]:
            raise AtlasError(f"{len(self.pairs)} names for sprites of shape {shape}")
        self._rows.update({pair: row for row, pair in enumerate(self.pairs)})

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tensors behind: a worker makes its own."""
        return {**self.__dict__, "_tensors": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what `__getstate__` kept."""
        self.__dict__.update(state)

    def __len__(self) -> int:
        """Count the sprites."""
        return len(self.pairs)

    @property
    def side(self) -> int:
        """Pixels of a sprite at the largest level."""
        return int(self.sprites.shape[-1])

    def row(self, concept: str, style: str) -> int:
        """The row of a sprite.

        Raises:
            AtlasError: It is not here.
        """
        try:
            return self._rows[concept, style]
        except KeyError:
            raise AtlasError(
                f"no sprite of {concept!r} in the style {style!r} in this atlas of {len(self)}: "
                "build or pack it with that concept and style"
            ) from None

    def sprite(self, concept: str, style: str) -> np.ndarray:
        """One sprite as (side, side, 4) uint8, premultiplied."""
        return self.sprites[self.row(concept, style)].transpose(1, 2, 0)

    def level(self, size: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """All sprites at the smallest level that has at least ``size`` pixels a side.

        Args:
            size: Side of the picture to be rendered, in pixels.
            device: Where the tensor lies; it is sent there once and kept.

        Returns:
            (rows, 4, side, side) uint8.
        """
        side = self.side
        while side % 2 == 0 and side // 2 >= max(size, _SMALLEST_LEVEL):
            side //= 2
        key = (side, str(torch.device(device)))
        if key not in self._tensors:
            small = self.sprites
            while small.shape[-1] > side:
                small = halve(small)
            self._tensors[key] = torch.from_numpy(np.ascontiguousarray(small)).to(device)
        return self._tensors[key]

    def pack(
        self,
        path: Path | str,
        *,
        side: int = 32,
    ) -> Path:
        """Write one compact file that `load` reads, on this machine or another.

        Args:
            path: The file to write (replaced only once the new one is whole).
            side: Pixels of a sprite in the file: the atlas's own side or a half, a quarter of it.

        Raises:
            AtlasError: ``side`` cannot be reached by halving.
        """
        sprites = self.sprites
        while sprites.shape[-1] > side:
            sprites = halve(sprites)
        if sprites.shape[-1] != side:
            raise AtlasError(f"a side of {self.side} cannot be halved to {side}")
        return _write(Path(path), self.pairs, sprites, self.sources, compress=True)

    @classmethod
    def load(cls, path: Path | str) -> Atlas:
        """Read a file that `pack` wrote.

        Raises:
            AtlasError: It is missing, not an atlas, or damaged.
        """
        return cls(**_read(Path(path)))

    @classmethod
    def build(
        cls,
        pairs: Sequence[Pair],
        *,
        sets: Mapping[str, Drawings] | None = None,
        side: int = SIDE,
        cache: Path | None = None,
    ) -> Atlas:
        """Render the sprites of some (concept, style) pairs; those rendered before are reused.

        Args:
            pairs: What is wanted, for example ``training_vocabulary().pairs``.
            sets: The artwork; None reads (and if need be installs) it.
            side: Pixels of a sprite.
            cache: Folder of rendered sprites; None for ``atlas`` in the cache folder.

        Raises:
            WorldUnavailable: The artwork cannot be installed.
            AtlasError: A pair has no drawing, or an empty one.
        """
        styles = sorted({style for _, style in pairs})
        folder = cache if cache is not None else cache_folder() / "atlas"
        drawings = sets if sets is not None else read_styles(styles)
        sprites = np.empty((len(pairs), 4, side, side), np.uint8)
        for style in styles:
            rows = [row for row, pair in enumerate(pairs) if pair[1] == style]
            names = [pairs[row][0] for row in rows]
            sprites[rows] = _style_sprites(drawings[style], names, side, folder)
        sources = {style: drawings[style].manifest() for style in styles}
        return cls(pairs=tuple(pairs), sprites=sprites, sources=sources)


def halve(sprites: np.ndarray) -> np.ndarray:
    """Average each 2x2 block: (..., side, side) uint8 -> (..., side / 2, side / 2) uint8."""
    wide = sprites.astype(np.uint16)
    rows = wide[..., 0::2, :] + wide[..., 1::2, :]
    return ((rows[..., 0::2] + rows[..., 1::2] + 2) >> 2).astype(np.uint8)


def _style_sprites(drawings: Drawings, names: Sequence[str], side: int, folder: Path) -> np.ndarray:
    """The sprites of one style, from the cache where they are there."""
    path = folder / f"{drawings.style}-{drawings.sha256[:12]}-{side}-{RECIPE}.npz"
    known = _read(path) if path.is_file() else None
    have = {pair[0]: row for row, pair in enumerate(known["pairs"])} if known else {}
    missing = sorted(set(names) - set(have))
    if missing:
        fresh = np.stack([_draw(drawings, name, side) for name in missing])
        old = known["sprites"] if known else fresh[:0]
        sprites = np.concatenate([old, fresh])
        have.update({name: len(old) + row for row, name in enumerate(missing)})
        pairs = tuple((name, drawings.style) for name in have)
        _write(path, pairs, sprites, {drawings.style: drawings.manifest()}, compress=False)
    else:
        sprites = known["sprites"] if known else np.empty((0, 4, side, side), np.uint8)
    return sprites[[have[name] for name in names]]


def _draw(drawings: Drawings, name: str, side: int) -> np.ndarray:
    try:
        sprite = drawings.draw(name, side)
    except KeyError:
        raise AtlasError(f"the style {drawings.style!r} has no drawing of {name!r}") from None
    if sprite is None:
        raise AtlasError(f"the drawing of {name!r} in the style {drawings.style!r} is empty")
    return sprite


def _write(
    path: Path,
    pairs: Sequence[Pair],
    sprites: np.ndarray,
    sources: Mapping[str, Mapping[str, str]],
    *,
    compress: bool,
) -> Path:
    """Write an atlas file whole or not at all."""
    about = {
        "format": _FORMAT,
        "recipe": RECIPE,
        "pairs": [list(pair) for pair in pairs],
        "sources": sources,
        "sha256": hashlib.sha256(np.ascontiguousarray(sprites)).hexdigest(),
    }
    text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            save = np.savez_compressed if compress else np.savez
            save(file, manifest=text, sprites=sprites)
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return path


def _read(path: Path) -> dict[str, Any]:
    """Read an atlas file into the arguments of `Atlas`."""
    if not path.is_file():
        raise AtlasError(f"there is no atlas file {path}")
    try:
        with np.load(path) as stored:
            about = json.loads(stored["manifest"].tobytes())
            sprites = stored["sprites"]
    except Exception as error:
        raise AtlasError(f"{path} is not an atlas: delete it and build it again") from error
    if about.get("format") != _FORMAT:
        raise AtlasError(f"{path} has the format {about.get('format')!r}, not {_FORMAT!r}")
    if hashlib.sha256(np.ascontiguousarray(sprites)).hexdigest() != about["sha256"]:
        raise AtlasError(f"{path} is damaged: delete it and build it again")
    pairs = tuple((concept, style) for concept, style in about["pairs"])
    return {"pairs": pairs, "sprites": sprites, "sources": about["sources"]}
