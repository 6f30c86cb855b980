"""How alike two small copies of pictures are once one is laid over a part of the other.

A crop shows a part of its original, so the copies are compared after the best window is found: on
a coarse grid of windows first, then by Gauss-Newton steps on the window and on brightness. What is
left is explained by colour: either picture's grey as a mixture of the other's red, green and blue,
so that a tint, a grey copy or other brightness is no difference, and anything that only one of the
two shows is. Mirror images are tried as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .hashes import THUMB, grey

_COARSE = 16  # pixels a side on the grid of windows
_SIDES = (1.0, 0.92, 0.84, 0.76, 0.68)  # of the windows, shares of the picture's
_STEPS = (3, 3)  # of Gauss-Newton, on blurred copies and on the copies themselves
_REFINED = 3  # of the four ways of laying one over the other
_PAIRS = 64  # compared at a time: what they need stays in a core's cache
_SMALLEST = 0.5  # side of a window that steps may reach
_LARGEST_STEP = 0.08
_FLAT = 1.0  # standard deviation, of 255, below which there is nothing to compare
_PROMISING = 0.5  # coarse correlation below which no window is refined


@dataclass(frozen=True, kw_only=True, eq=False)
class Alikeness:
    """Of P pairs.

    Attributes:
        correlation: (P,) float32 in [0, 1], over the window, colour explained away.
        difference: (P,) float32 ≥ 0: the worst difference of a spot of 3 × 3 pixels, in standard
            deviations of the picture; infinite where the two have nothing in common.
    """

    correlation: np.ndarray
    difference: np.ndarray


def compare(first: np.ndarray, second: np.ndarray) -> Alikeness:
    """Compare pairs of small copies; the order within a pair does not matter.

    Args:
        first: (P, THUMB, THUMB, 3) uint8, from `hashes.thumbnail`.
        second: The same, of the other picture of each pair.
    """
    correlation = np.zeros(len(first), np.float32)
    difference = np.full(len(first), np.inf, np.float32)
    for start in range(0, len(first), _PAIRS):
        part = slice(start, start + _PAIRS)
        correlation[part], difference[part] = _compare(
            first[part].astype(np.float32), second[part].astype(np.float32)
        )
    return Alikeness(correlation=correlation, difference=difference)


def _compare(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    correlation = np.zeros(len(first), np.float32)
    difference = np.full(len(first), np.inf, np.float32)
    flat = np.stack([grey(one).std(axis=(1, 2)) < _FLAT for one in (first, second)])
    correlation[flat.all(axis=0)], difference[flat.all(axis=0)] = 1, 0
    rows = np.flatnonzero(~flat.any(axis=0))
    if not len(rows):
        return correlation, difference
    first, second = first[rows], second[rows]
    # The window is in either of the two; the other is laid on it as it is, and mirrored.
    ways = [(w, p[:, :, ::-s]) for w, p in ((first, second), (second, first)) for s in (-1, 1)]
    coarse = [_coarse(*way) for way in ways]
    scores, windows = (np.stack([one[part] for one in coarse]) for part in (0, 1))
    order = np.argsort(-scores, axis=0, kind="stable")
    for choice in order[:_REFINED]:
        good = np.flatnonzero(np.take_along_axis(scores, choice[None], 0)[0] > _PROMISING)
        if not len(good):
            continue
        whole = np.stack([ways[way][0][row] for row, way in zip(good, choice[good], strict=True)])
        part = np.stack([ways[way][1][row] for row, way in zip(good, choice[good], strict=True)])
        window = _refined(grey(whole), grey(part), windows[choice[good], good])
        found = _explained(whole, part, window)
        place = rows[good]
        better = found[1] < difference[place]
        correlation[place[better]] = found[0][better]
        difference[place[better]] = found[1][better]
    return correlation, difference


def _windows() -> np.ndarray:
    """(K, 2): start and side of intervals, in shares of the picture."""
    found = []
    for index, side in enumerate(_SIDES):
        places = np.linspace(0, 1 - side, index + 1) if index else [0.0]
        found += [(place, side) for place in places]
    return np.array(found, np.float32)


def _sampling(start: np.ndarray, side: np.ndarray, size: int) -> np.ndarray:
    """(P,) windows -> (P, size, THUMB): what each of `size` points takes from the pixels."""
    points = start[:, None] + side[:, None] * ((np.arange(size, dtype=np.float32) + 0.5) / size)
    place = np.clip(points * THUMB - 0.5, 0, THUMB - 1)
    width = np.maximum(1, side * (THUMB / size))[:, None, None]
    pixels = np.arange(THUMB, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(place[..., None] - pixels) / width)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def _coarse(whole: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best window on the grid: correlation (P,) and (P, 4) left, top, width, height.

    A window is down · picture · across, and its product with the part is taken without making any
    window: the part is carried back along `down`, the picture along `across`.
    """
    windows = _windows()
    count, pairs = len(windows), len(whole)
    down = _sampling(windows[:, 0], windows[:, 1], _COARSE)
    across = down.reshape(-1, THUMB).T
    columns = (grey(whole) @ across).reshape(pairs, THUMB, count, _COARSE).transpose(0, 2, 1, 3)
    columns = np.ascontiguousarray(columns)
    all_of = _sampling(np.zeros(1, np.float32), np.ones(1, np.float32), _COARSE)[0]
    wanted = all_of @ grey(part) @ all_of.T
    wanted -= wanted.mean(axis=(1, 2), keepdims=True)
    wanted /= np.maximum(np.linalg.norm(wanted, axis=(1, 2), keepdims=True), 1e-6)
    back = down.mT @ wanted[:, None]
    # wanted has no mean, so that of the windows need not be taken away before the product
    product = _products(back, columns)
    squares = _products((down.mT @ down)[None], columns @ columns.mT)
    sums = down.sum(axis=1) @ columns.sum(axis=3).mT
    spread = squares - sums**2 / _COARSE**2
    scores = (product / np.sqrt(np.maximum(spread, 1))).reshape(pairs, -1)
    best = scores.argmax(axis=1)
    y, x = np.divmod(best, count)
    window = np.stack([windows[x, 0], windows[y, 0], windows[x, 1], windows[y, 1]], axis=1)
    return scores[np.arange(pairs), best], window


def _products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sums of the products of all with all: (P or 1, K, …) and (P, K, …) -> (P, K, K)."""
    count = second.shape[1]
    return first.reshape(len(first), count, -1) @ second.reshape(len(second), count, -1).mT


def _refined(whole: np.ndarray, part: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Gauss-Newton on the window, with gain and offset of brightness fitted along."""
    for steps, blurred in zip(_STEPS, (True, False), strict=True):
        source, target = (_blurred(one) if blurred else one for one in (whole, part))
        slopes = np.gradient(source, axis=(1, 2))
        for _ in range(steps):
            window = _step(source, slopes, target, window)
    return window


def _step(
    source: np.ndarray, slopes: tuple[np.ndarray, ...], target: np.ndarray, window: np.ndarray
) -> np.ndarray:
    count = len(target)
    span = (np.arange(THUMB, dtype=np.float32) + 0.5) / THUMB
    seen, by_y, by_x = _seen((source, *slopes), window)
    table = np.empty((count, 6, THUMB, THUMB), np.float32)
    table[:, 4], table[:, 5] = seen, 1
    flat = table.reshape(count, 6, -1)
    gain = _solved(flat[:, 4:], target.reshape(count, -1))[:, 0, None, None]
    table[:, 0] = by_x * (gain * THUMB)
    table[:, 1] = by_y * (gain * THUMB)
    table[:, 2] = table[:, 0] * span
    table[:, 3] = table[:, 1] * span[:, None]
    left = (target - seen * gain).reshape(count, -1)
    window = window + np.clip(_solved(flat, left)[:, :4], -_LARGEST_STEP, _LARGEST_STEP)
    window[:, 2:] = np.clip(window[:, 2:], _SMALLEST, 1)
    window[:, :2] = np.clip(window[:, :2], 0, 1 - window[:, 2:])
    return window


def _seen(pictures: Sequence[np.ndarray], window: np.ndarray) -> list[np.ndarray]:
    """What windows show of planes: (P, THUMB, THUMB) each and (P, 4) -> (P, THUMB, THUMB) each."""
    down = _sampling(window[:, 1], window[:, 3], THUMB)
    across = _sampling(window[:, 0], window[:, 2], THUMB).mT
    return [down @ plane @ across for plane in pictures]


def _solved(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Least squares of many small systems: (P, k, n) and (P, n) -> (P, k)."""
    normal = (table @ table.mT).astype(np.float64)
    scale = np.trace(normal, axis1=1, axis2=2)[:, None, None]
    normal += np.eye(table.shape[1]) * (1e-6 * scale / table.shape[1] + 1e-9)
    right = (table @ wanted[..., None]).astype(np.float64)
    return np.linalg.solve(normal, right)[..., 0].astype(np.float32)


def _explained(
    whole: np.ndarray, part: np.ndarray, window: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and worst difference, by the worse of the two directions."""
    planes = _seen([whole[..., c] for c in range(3)], window)
    seen = np.stack([_blurred(plane) for plane in planes], axis=-1)
    part = np.stack([_blurred(part[..., c]) for c in range(3)], axis=-1)
    first, second = _unexplained(seen, grey(part)), _unexplained(part, grey(seen))
    return np.minimum(first[0], second[0]), np.maximum(first[1], second[1])


def _unexplained(colours: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of a grey picture with the best mixture of colours, and the worst difference."""
    count = len(wanted)
    flat = wanted.reshape(count, -1)
    table = np.ones((count, 4, flat.shape[1]), np.float32)
    table[:, :3] = colours.reshape(count, -1, 3).mT / 255
    left = flat - (_solved(table, flat)[:, None] @ table)[:, 0]
    deviation = np.maximum(flat.std(axis=1), _FLAT / 2)
    share = 1 - np.minimum(1, left.var(axis=1) / deviation**2)
    worst = np.abs(_blurred(left.reshape(wanted.shape))).max(axis=(1, 2))
    return np.sqrt(share), worst / deviation


def _blurred(pictures: np.ndarray) -> np.ndarray:
    """Mean of 3 × 3 pixels, those of the border repeated: (P, H, W) -> the same."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) * np.float32(1 / 9)
