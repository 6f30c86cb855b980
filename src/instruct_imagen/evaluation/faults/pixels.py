"""Faults of pixels: grain, blocks, lost detail."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image, ImageFilter

from instruct_imagen.evaluation.faults.tools import Given, as_bytes, smooth, waves

_BLUR = (0.55, 0.9, 1.6)  # pixels, at 32 of them a side
_NOISE = (9.0, 20.0, 45.0)  # of 255
_JPEG = (45, 20, 6)  # quality
_SPECKLE = (0.06, 0.16, 0.42)  # share of pixels
_SPECK = 75.0  # of 255
_CHECKER = (6.0, 16.0, 42.0)  # of 255
_CUT = (0.55, 0.36, 0.22)  # of all frequencies of an axis
_RANK = (0.3, 0.19, 0.09)  # of the rows
_DIRT = (18.0, 38.0, 85.0)  # of 255
_BLOCK = 8


def blurred(given: Given) -> np.ndarray:
    """Out of focus."""
    return smooth(given.pixels, given.level(_BLUR) * given.unit)


def noised(given: Given) -> np.ndarray:
    """Grain on every pixel and colour."""
    return given.image + given.rng.normal(0.0, given.level(_NOISE), given.image.shape)


def compressed(given: Given) -> np.ndarray:
    """Blocks and ringing."""
    stream = io.BytesIO()
    Image.fromarray(given.image).save(stream, "JPEG", quality=max(round(given.level(_JPEG)), 1))
    return np.asarray(Image.open(stream).convert("RGB"))


def speckled(given: Given) -> np.ndarray:
    """Some pixels have any colour, single ones or small clumps."""
    sigma = 0.4 if given.rng.random() < 0.5 else 0.7 * given.unit
    colours = waves(given, 3, sigma)
    clumps = waves(given, 1, sigma)
    hit = clumps > np.quantile(clumps, 1 - min(given.level(_SPECKLE), 1))
    return given.image + hit * colours * _SPECK


def checkered(given: Given) -> np.ndarray:
    """A pattern of two by two pixels, as networks leave it that fold pixels into channels."""
    cell = given.rng.normal(size=(2, 2, 3)) + given.rng.normal(size=(2, 2, 1))
    cell -= cell.mean((0, 1))
    cell /= np.sqrt((cell**2).mean())
    pattern = np.tile(cell, (given.side // 2 + 1, given.side // 2 + 1, 1))
    where = np.abs(waves(given, 1, 2.5 * given.unit))  # stronger here, weaker there
    return given.image + pattern[: given.side, : given.side] * where * given.level(_CHECKER)


def reduced(given: Given) -> np.ndarray:
    """Only its lowest frequencies, or only its first few principal patterns, are left."""
    side = given.side
    if given.rng.random() < 0.5:
        waveforms = _cosines(side)
        found = np.einsum("ai,ijc,bj->abc", waveforms, given.pixels, waveforms, optimize=True)
        down, across = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
        kept = np.hypot(down, across) < given.level(_CUT) * side
        found *= kept[..., None]
        return np.einsum("ai,abc,bj->ijc", waveforms, found, waveforms, optimize=True)
    rows = given.pixels.reshape(side, -1)
    left, weights, right = np.linalg.svd(rows, full_matrices=False)
    rank = max(round(given.level(_RANK) * side), 1)
    return (left[:, :rank] * weights[:rank] @ right[:rank]).reshape(given.image.shape)


def restored(given: Given) -> np.ndarray:
    """Deep in noise, and cleaned again as well as a simple filter can."""
    dirt = given.level(_DIRT)
    dirty = given.image + given.rng.normal(0.0, dirt, given.image.shape)
    if given.rng.random() < 0.5:
        clean = Image.fromarray(as_bytes(dirty))
        for _ in range(2):
            clean = clean.filter(ImageFilter.MedianFilter(3))
        return np.asarray(clean)
    return _thresholded(dirty, given.rng.uniform(1.7, 2.7) * dirt)


def _thresholded(dirty: np.ndarray, limit: float) -> np.ndarray:
    """Mean over shifted grids of blocks, whose weak frequencies are left out."""
    side, waveforms = dirty.shape[0], _cosines(_BLOCK)
    count = -(-side // _BLOCK) + 1
    total = np.zeros_like(dirty)
    shifts = [(down, across) for down in range(0, _BLOCK, 3) for across in range(0, _BLOCK, 3)]
    for down, across in shifts:
        ends = [(one, count * _BLOCK - side - one) for one in (down, across)]
        wide = np.pad(dirty, (*ends, (0, 0)), mode="symmetric")
        blocks = wide.reshape(count, _BLOCK, count, _BLOCK, 3)
        found = np.einsum("ai,piqjc,bj->paqbc", waveforms, blocks, waveforms, optimize=True)
        strong = np.abs(found) >= limit
        strong[:, 0, :, 0] = True
        found *= strong
        back = np.einsum("ai,paqbc,bj->piqjc", waveforms, found, waveforms, optimize=True)
        total += back.reshape(wide.shape)[down : down + side, across : across + side]
    return total / len(shifts)


@cache
def _cosines(count: int) -> np.ndarray:
    """(count, count): orthonormal cosines, a row each, lowest first."""
    place = (np.arange(count) + 0.5) * np.pi / count
    found = np.cos(np.arange(count)[:, None] * place) * np.sqrt(2 / count)
    found[0] /= np.sqrt(2)
    return found
