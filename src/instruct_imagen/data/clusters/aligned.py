"""How alike two small copies of pictures are once one is laid over a part of the other.

A crop shows a part of its original, so the copies are compared after the best window is found: on
a coarse grid of windows first, then by Gauss-Newton steps on the window and on brightness, on
copies of half the side and, where those are alike, on the copies themselves. What is left is
explained by colour: either picture's grey as a mixture of the other's red, green and blue, none of
them taken away, so that a tint, a grey copy or other brightness is no difference, and anything that
only one of the two shows is. Mirror images are tried as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .explained import FLAT, Explained, blurred, explained, solved
from .hashes import grey

_COARSE = 16  # pixels a side on the grid of windows
_SIDES = (1.0, 0.92, 0.84, 0.76, 0.68)  # of the windows, shares of the picture's
_STEPS = (3, 3)  # of Gauss-Newton on half the side, on blurred copies and on those themselves
_FINE_STEPS = (2, 2)  # the same on the whole side
_REFINED = 3  # of the four ways of laying one over the other, on half the side …
_FINE = 2  # … and on the whole one, if the second leaves …
_RIVAL = 1.5  # … no more than so many times what the first does
_PAIRS = 64  # compared at a time: what they need stays in a core's cache
_SMALLEST = 0.5  # side of a window that steps may reach
_LARGEST_STEP = 0.08
_SHORTER = 0.3  # share of a step that is tried again where it led to a worse window
_PROMISING = 0.5  # coarse correlation below which no window is refined
_ALIKE = 0.6  # share left on half the side, from which on the whole one is not looked at


@dataclass(frozen=True, kw_only=True, eq=False)
class Alikeness:
    """Of P pairs.

    Attributes:
        correlation: (P,) float32 in [0, 1], of the slopes of grey over the window, colour
            explained away: do the edges lie on each other?
        difference: (P,) float32 ≥ 0: what 99 of 100 spots of 3 × 3 pixels do not exceed in
            difference, in standard deviations of the picture; infinite where the two have nothing
            in common.
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
    flat = np.stack([grey(one).std(axis=(1, 2)) < FLAT for one in (first, second)])
    correlation[flat.all(axis=0)], difference[flat.all(axis=0)] = 1, 0
    rows = np.flatnonzero(~flat.any(axis=0))
    if not len(rows):
        return correlation, difference
    whole = _ways(first[rows], second[rows])
    half = _ways(_halved(first[rows]), _halved(second[rows]))
    coarse = [_coarse(*way) for way in half]
    scores, windows = (np.stack([one[part] for one in coarse]) for part in (0, 1))
    left = np.full(scores.shape, np.inf, np.float32)
    for ways in np.argsort(-scores, axis=0, kind="stable")[:_REFINED]:
        good = np.flatnonzero(_of(scores, ways) > _PROMISING)
        if not len(good):
            continue
        both = _taken(half, ways, good)
        window = _refined(*both, windows[ways[good], good], _STEPS)
        found = _laid(*both, window)
        windows[ways[good], good], left[ways[good], good] = window, found.left
        _keep(found, rows[good], correlation, difference)
    least = left.min(axis=0)
    alike = least < _ALIKE
    # what was found on half the side is forgotten where the whole one tells more
    correlation[rows[alike]], difference[rows[alike]] = 0, np.inf
    for ways in np.argsort(left, axis=0, kind="stable")[:_FINE]:
        good = np.flatnonzero(alike & (_of(left, ways) <= _RIVAL * least))
        if not len(good):
            continue
        both = _taken(whole, ways, good)
        window = _refined(*both, windows[ways[good], good], _FINE_STEPS)
        _keep(_laid(*both, window), rows[good], correlation, difference)
    return correlation, difference


def _ways(first: np.ndarray, second: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """A whole and what is laid on a part of it: either of the two, the other as it is or mirrored.

    Args:
        first: (P, S, S, 3).
        second: The same.
    """
    both = (first, second), (second, first)
    return [(one, other[:, :, ::-step]) for one, other in both for step in (-1, 1)]


def _of(values: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """(4, P) of all ways -> (P,) of each pair's."""
    return np.take_along_axis(values, ways[None], axis=0)[0]


def _taken(
    pictures: list[tuple[np.ndarray, np.ndarray]], ways: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Wholes and parts of some rows, each of its own way."""
    whole, part = (
        np.stack([pictures[ways[row]][side][row] for row in rows.tolist()]) for side in (0, 1)
    )
    return whole, part


def _keep(
    found: Explained, places: np.ndarray, correlation: np.ndarray, difference: np.ndarray
) -> None:
    """Of two ways the one that leaves less difference."""
    better = found.difference < difference[places]
    correlation[places[better]] = found.correlation[better]
    difference[places[better]] = found.difference[better]


def _halved(pictures: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels: (P, S, S, 3) -> (P, S / 2, S / 2, 3)."""
    rows = pictures[:, ::2] + pictures[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]) * np.float32(0.25)


def _windows() -> np.ndarray:
    """(K, 2): start and side of intervals, in shares of the picture."""
    found = []
    for index, side in enumerate(_SIDES):
        places = np.linspace(0, 1 - side, index + 1) if index else [0.0]
        found += [(place, side) for place in places]
    return np.array(found, np.float32)


def _sampling(start: np.ndarray, side: np.ndarray, size: int, pixels: int) -> np.ndarray:
    """(P,) windows -> (P, size, pixels): what each of `size` points takes from the pixels."""
    points = start[:, None] + side[:, None] * ((np.arange(size, dtype=np.float32) + 0.5) / size)
    place = np.clip(points * pixels - 0.5, 0, pixels - 1)
    width = np.maximum(1, side * (pixels / size))[:, None, None]
    distance = np.abs(place[..., None] - np.arange(pixels, dtype=np.float32))
    weights = np.maximum(0, 1 - distance / width)
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def _coarse(whole: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best window on the grid: correlation (P,) and (P, 4) left, top, width, height.

    A window is down · picture · across, and its product with the part is taken without making any
    window: the part is carried back along `down`, the picture along `across`.
    """
    windows = _windows()
    count, pairs, size = len(windows), *whole.shape[:2]
    down = _sampling(windows[:, 0], windows[:, 1], _COARSE, size)
    across = down.reshape(-1, size).T
    columns = (grey(whole) @ across).reshape(pairs, size, count, _COARSE).transpose(0, 2, 1, 3)
    columns = np.ascontiguousarray(columns)
    all_of = _sampling(np.zeros(1, np.float32), np.ones(1, np.float32), _COARSE, size)[0]
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


def _refined(
    whole: np.ndarray, part: np.ndarray, window: np.ndarray, steps: tuple[int, int]
) -> np.ndarray:
    """Gauss-Newton on the window, with gain and offset of brightness fitted along.

    Args:
        whole: (P, S, S, 3).
        part: The same, what the window is to show.
        window: (P, 4) left, top, width, height.
        steps: On blurred copies, and on the copies.
    """
    for count, soft in zip(steps, (True, False), strict=True):
        source, target = (blurred(grey(one)) if soft else grey(one) for one in (whole, part))
        slopes = np.gradient(source, axis=(1, 2))
        best, least = window, np.full(len(window), np.inf, np.float32)
        for _ in range(count + 1):
            ahead, left = _step(source, slopes, target, window)
            better = left < least
            best = np.where(better[:, None], window, best)
            least = np.where(better, left, least)
            # a step that leads to a worse window was too long
            window = np.where(better[:, None], ahead, best + (window - best) * _SHORTER)
        window = best
    return window


def _step(
    source: np.ndarray, slopes: tuple[np.ndarray, ...], target: np.ndarray, window: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The next window, and what share of the target this one leaves."""
    count, size = target.shape[:2]
    span = (np.arange(size, dtype=np.float32) + 0.5) / size
    seen, by_y, by_x = _seen((source, *slopes), window)
    table = np.empty((count, 6, size, size), np.float32)
    table[:, 4], table[:, 5] = seen, 1
    flat = table.reshape(count, 6, -1)
    gain = solved(flat[:, 4:], target.reshape(count, -1))[:, 0, None, None]
    table[:, 0] = by_x * (gain * size)
    table[:, 1] = by_y * (gain * size)
    table[:, 2] = table[:, 0] * span
    table[:, 3] = table[:, 1] * span[:, None]
    left = (target - seen * gain).reshape(count, -1)
    window = window + np.clip(solved(flat, left)[:, :4], -_LARGEST_STEP, _LARGEST_STEP)
    window[:, 2:] = np.clip(window[:, 2:], _SMALLEST, 1)
    window[:, :2] = np.clip(window[:, :2], 0, 1 - window[:, 2:])
    return window, left.std(axis=1) / np.maximum(target.std(axis=(1, 2)), FLAT / 2)


def _seen(pictures: Sequence[np.ndarray], window: np.ndarray) -> list[np.ndarray]:
    """What windows show of planes: (P, S, S) each and (P, 4) -> (P, S, S) each."""
    size = pictures[0].shape[1]
    down = _sampling(window[:, 1], window[:, 3], size, size)
    across = _sampling(window[:, 0], window[:, 2], size, size).mT
    return [down @ plane @ across for plane in pictures]


def _laid(whole: np.ndarray, part: np.ndarray, window: np.ndarray) -> Explained:
    """What is left where the window in the whole shows the part."""
    seen = np.stack(_seen([whole[..., c] for c in range(3)], window), axis=-1)
    return explained(seen, part)
