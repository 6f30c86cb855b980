"""What is kept of a picture to compare it by eye's measure: a small copy, and hashes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.fft import dctn

THUMB = 48
"""Side of the small copy, pixels, an even number: 7 KB a picture."""

_LOW = 8  # lowest frequencies of the hash, a side
_BANDS = 4  # of 16 bits: two hashes that differ in at most 3 bits agree in one band at least
_LARGEST = 3 * 10**9  # whose square an int64 holds
_CROWD = 64  # of one band: its hashes are only compared with the next ones in order


def thumbnail(image: Image.Image) -> np.ndarray:
    """A small copy: RGB of any size -> (THUMB, THUMB, 3) uint8, stretched to a square.

    The aspect is let go, so that a picture and the same one squeezed are alike.
    """
    small = image.convert("RGB").resize((THUMB, THUMB), Image.Resampling.BOX)
    return np.asarray(small)


def grey(thumbnails: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 -> (…) float32 in [0, 255]: the luma of ITU-R BT.601."""
    return thumbnails.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def perceptual_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """64 bits of each picture, and of its mirror image: which low frequencies are strong.

    Bit by bit: is the coefficient of the discrete cosine transform above the median of the 64
    lowest ones but the mean?

    Args:
        thumbnails: (N, THUMB, THUMB, 3) uint8.

    Returns:
        (N, 2) uint64.
    """
    low = dctn(grey(thumbnails), axes=(1, 2), norm="ortho")[:, : _LOW + 1, : _LOW + 1]
    # Mirrored, the waves of odd frequency along x change their sign.
    mirrored = low * (1 - 2 * (np.arange(_LOW + 1) % 2))
    # the mean (frequency 0, 0) tells nothing; the first wave beyond takes its place
    return np.stack([_bits(low), _bits(mirrored)], axis=1)


def _bits(low: np.ndarray) -> np.ndarray:
    block = low[:, :_LOW, :_LOW].copy()
    block[:, 0, 0] = low[:, _LOW, 0]
    flat = block.reshape(len(low), _LOW * _LOW)
    above = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(">u8")[:, 0].astype(np.uint64)


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Bits that differ between hashes: (N,) and (N,) uint64 -> (N,) int64."""
    return np.bitwise_count(one ^ other).astype(np.int64)


def mirrored_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The same, of (N, 2) pairs of hashes: the smaller one of as it is, and mirrored."""
    return np.minimum(distance(one[:, 0], other[:, 0]), distance(one[:, 0], other[:, 1]))


def hash_pairs(hashes: np.ndarray, radius: int) -> np.ndarray:
    """Pairs of pictures of similar hash, as they are or one of them mirrored.

    All pairs that differ in at most 3 bits are found unless more than `_CROWD` pictures share a
    band, and most that differ in a few more; time grows with N and the pairs looked at.

    Args:
        hashes: (N, 2), from `perceptual_hashes`.
        radius: Bits that may differ.

    Returns:
        (M, 2) int64, the lower number first, ascending, each pair once.
    """
    found = [np.empty((0, 2), np.int64)]
    numbers = np.tile(np.arange(len(hashes)), 2)
    both = np.concatenate([hashes[:, 0], hashes[:, 1]])
    width = 64 // _BANDS
    for band in range(_BANDS):
        bits = (both >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        order = np.lexsort((numbers, both, bits))
        for step in range(1, min(_CROWD, len(order))):
            first, second = order[:-step], order[step:]
            same = bits[first] == bits[second]
            if not same.any():
                break
            pairs = np.stack([numbers[first[same]], numbers[second[same]]], axis=1)
            pairs = pairs[pairs[:, 0] != pairs[:, 1]]
            near = mirrored_distance(hashes[pairs[:, 0]], hashes[pairs[:, 1]]) <= radius
            found.append(np.sort(pairs[near], axis=1))
    return unique_pairs(found)


def unique_pairs(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Lists of pairs, (M, 2) each -> all of them, lower number first, ascending, each once."""
    base = 1 + max((int(part.max()) for part in parts if len(part)), default=0)
    if base > _LARGEST:
        raise ValueError(f"pairs of numbers up to {base - 1}: they must be below {_LARGEST}")
    codes = [np.empty(0, np.int64)]
    for part in parts:  # one number a pair: half the memory, and a far faster sort
        low, high = part.min(axis=1, initial=base), part.max(axis=1, initial=0)
        codes.append((low.astype(np.int64) * base + high)[low != high])
    found = np.concatenate(codes)
    del codes
    found.sort()
    first = np.ones(len(found), bool)
    first[1:] = found[1:] != found[:-1]
    found = found[first]
    pairs = np.empty((len(found), 2), np.int64)
    np.floor_divide(found, base, out=pairs[:, 0])
    np.remainder(found, base, out=pairs[:, 1])
    return pairs
