"""Numbers drawn from a generator, for places and layouts alike."""

from __future__ import annotations

import numpy as np


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number from `low` to `high`, drawn evenly."""
    return low + (high - low) * rng.random()
