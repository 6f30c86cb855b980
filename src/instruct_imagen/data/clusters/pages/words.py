"""What was measured of pairs, in words."""

from __future__ import annotations

import numpy as np

from instruct_imagen.data.clusters.near_duplicates import Measured, Thresholds

MEASURES = ("similarity", "correlation", "difference")


def limits(thresholds: Thresholds) -> str:
    """Thresholds in words."""
    return (
        f"similarity at least {thresholds.similarity:g}; or correlation at least "
        f"{thresholds.correlation:g} and difference at most {thresholds.difference:g}"
    )


def measures(measured: Measured, place: int) -> str:
    """What was measured of one pair, in words."""
    return words_of(*(float(getattr(measured, name)[place]) for name in MEASURES))


def words_of(similarity: float | None, correlation: float | None, difference: float | None) -> str:
    """Measures as a reader sees them."""
    spot = "–" if difference is None or not np.isfinite(difference) else f"{difference:.2f}"
    near = "–" if similarity is None or not np.isfinite(similarity) else f"{similarity:.3f}"
    return f"similarity {near}, correlation {correlation or 0:.3f}, difference {spot}"
