"""How rich the scenes of a world are: a small model needs simpler ones."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ASSETS = 4


@dataclass(frozen=True, kw_only=True)
class Variety:
    """What scenes may have beyond one asset on a plain background.

    Attributes:
        most_assets: Assets of a scene at most, 1 to `MOST_ASSETS`.
        places: Share of scenes whose background is a place, in [0, 1].
        turned: Share of assets that are turned, in [0, 1], of those that can be: see
            `data.world.scenes.sample_look`.
        tinted: Share of assets that are coloured anew, in [0, 1], of those that can be.

    Raises:
        ValueError: A number is out of its range.
    """

    most_assets: int = MOST_ASSETS
    places: float = 0.25
    turned: float = 0.1
    tinted: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.most_assets <= MOST_ASSETS:
            raise ValueError(f"most_assets={self.most_assets} must be 1 to {MOST_ASSETS}")
        for name in ("places", "turned", "tinted"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 to 1")


PLAIN = Variety(most_assets=2, places=0, turned=0, tinted=0)
"""One or two assets as they were drawn, on colours."""
