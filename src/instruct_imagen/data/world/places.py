"""Backgrounds that are places: a beach, a street, a table, all drawn by us from flat shapes.

A place has a fixed number of variants, which differ in colours and in what stands where. Nothing is
stored: a variant is drawn from a generator that its name and number seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from instruct_imagen.data.example import Background

from . import place_buildings, place_depths, place_landscapes
from .place_shapes import Shape, Shapes, rasterised

VARIANTS = 12
"""Drawings of each place."""

_KEPT_BYTES = 32 * 2**20  # of drawings of one size
_KEPT_SIZES = 4


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place that scenes can be in.

    Attributes:
        name: E.g. ``"beach"``.
        phrases: Wordings that follow what is there, e.g. ``"at the beach"``.
        ground: Height at which the ground begins, as a fraction of the frame's from its top: what
            is above is far away; 1 where there is no ground.
        stands: What is there stands on the ground; it may as well swim, or be in the sky, where
            not.
        dark: Almost black drawings would not be seen on it.
        tints: Of `palette.TINTS`, those that stand out from it: at most half of any of its drawings
            has a colour near to one of them.
        draw: Its shapes, from a generator and the number of the variant.
    """

    name: str
    phrases: tuple[str, ...]
    ground: float
    tints: tuple[str, ...]
    draw: Callable[[np.random.Generator, int], Shapes]
    stands: bool = True
    dark: bool = False


_ALL = (
    Place(
        name="beach",
        phrases=("at the beach", "on a beach", "on the sand by the sea"),
        ground=0.4,
        tints=("red", "orange", "green", "blue", "purple", "brown"),
        draw=place_landscapes.beach,
    ),
    Place(
        name="sea",
        phrases=("at sea", "out on the open sea", "on the ocean with a sailing boat far away"),
        ground=0.36,
        stands=False,
        tints=("red", "orange", "yellow", "brown"),
        draw=place_landscapes.sea,
    ),
    Place(
        name="pier",
        phrases=("on a pier", "on a wooden pier by the water", "at the harbour on a pier"),
        ground=0.53,
        tints=("red", "blue"),
        draw=place_landscapes.pier,
    ),
    Place(
        name="snow",
        phrases=("in the snow", "in a snowy landscape", "on a winter day with falling snow"),
        ground=0.5,
        tints=("red", "orange", "yellow", "green", "blue", "purple", "brown"),
        draw=place_landscapes.snow,
    ),
    Place(
        name="meadow",
        phrases=("in a meadow", "on a green meadow", "in a meadow before green hills"),
        ground=0.54,
        tints=("red", "blue", "brown"),
        draw=place_landscapes.meadow,
    ),
    Place(
        name="farm",
        phrases=("on a farm", "in a field on a farm", "in a field with a barn"),
        ground=0.46,
        tints=("red", "blue", "purple", "brown"),
        draw=place_landscapes.farm,
    ),
    Place(
        name="forest",
        phrases=("in a forest", "in the woods", "among the trees of a forest"),
        ground=0.68,
        tints=("red", "blue"),
        draw=place_landscapes.forest,
    ),
    Place(
        name="mountains",
        phrases=("in the mountains", "before snowy mountains", "in front of high mountains"),
        ground=0.7,
        tints=("red", "orange", "yellow", "green", "blue", "purple", "brown"),
        draw=place_landscapes.mountains,
    ),
    Place(
        name="underwater",
        phrases=("under water", "at the bottom of the sea", "underwater among seaweed"),
        ground=0.84,
        stands=False,
        tints=("red", "orange", "yellow", "green", "blue", "brown"),
        draw=place_depths.underwater,
    ),
    Place(
        name="night sky",
        phrases=(
            "under a night sky",
            "under the stars at night",
            "beneath stars at night",
        ),
        ground=0.84,
        stands=False,
        tints=("red", "orange", "yellow", "pink"),
        draw=place_landscapes.night_sky,
        dark=True,
    ),
    Place(
        name="space",
        phrases=("in space", "in outer space", "in space between two planets"),
        ground=1.0,
        stands=False,
        tints=("red", "orange", "yellow", "blue", "purple", "pink"),
        draw=place_depths.space,
        dark=True,
    ),
    Place(
        name="street",
        phrases=("in a street", "on a street with shops", "on a road between buildings"),
        ground=0.6,
        tints=("red", "orange", "yellow", "green", "blue", "brown"),
        draw=place_buildings.street,
    ),
    Place(
        name="city at night",
        phrases=("in a city at night", "before a city at night", "before towers with lit windows"),
        ground=0.9,
        tints=("red", "orange", "yellow", "blue", "pink"),
        draw=place_buildings.city,
        dark=True,
    ),
    Place(
        name="stage",
        phrases=("on a stage", "on the stage of a theatre", "on a stage with curtains"),
        ground=0.74,
        tints=("orange", "yellow", "pink"),
        draw=place_buildings.stage,
        dark=True,
    ),
    Place(
        name="room",
        phrases=("in a room", "in a living room", "in a room with a window"),
        ground=0.7,
        tints=("red", "orange", "green", "blue", "purple", "brown"),
        draw=place_buildings.room,
    ),
    Place(
        name="table",
        phrases=("on a table", "on a wooden table", "on a table in a room"),
        ground=0.5,
        tints=("red", "blue"),
        draw=place_buildings.table,
    ),
    Place(
        name="kitchen",
        phrases=("in a kitchen", "in the kitchen", "in a kitchen with a shelf of jars"),
        ground=0.7,
        tints=("red", "orange", "green", "blue", "purple", "brown"),
        draw=place_buildings.kitchen,
    ),
)

PLACES: Mapping[str, Place] = MappingProxyType({place.name: place for place in _ALL})
"""Every place by its name."""

_LIGHT = tuple(place for place in _ALL if not place.dark)


def sample_place(rng: np.random.Generator, *, dark_ink: bool = False) -> Background:
    """A place and a variant, all equally frequent.

    Args:
        rng: The only source of randomness; two numbers are taken.
        dark_ink: What stands there is almost black: no dark places.
    """
    places = _LIGHT if dark_ink else _ALL
    place = places[int(rng.random() * len(places))]
    return Background(kind="place", place=place.name, variant=int(rng.random() * VARIANTS))


def place_of(name: str) -> Place:
    """The place of a name.

    Raises:
        ValueError: There is none.
    """
    try:
        return PLACES[name]
    except KeyError:
        raise ValueError(f"no place {name!r}: use one of {', '.join(PLACES)}") from None


def place_phrases(name: str) -> tuple[str, ...]:
    """Wordings that say where something is, e.g. ``"at the beach"``.

    Raises:
        ValueError: There is no such place.
    """
    return place_of(name).phrases


def place_shapes(place: str, variant: int) -> tuple[Shape, ...]:
    """What a variant of a place consists of, from back to front.

    Raises:
        ValueError: There is no such place, or no such variant of it.
    """
    found = place_of(place)
    if not 0 <= variant < VARIANTS:
        raise ValueError(f"variant={variant} of the place {place!r}: use 0 to {VARIANTS - 1}")
    # A name's bytes are its seed: a place is drawn the same whatever others there are.
    seed = np.random.SeedSequence((int.from_bytes(place.encode(), "big"), variant))
    return tuple(found.draw(np.random.Generator(np.random.PCG64(seed)), variant))


def draw_place(place: str, variant: int, size: int) -> np.ndarray:
    """A place as pixels, the same for the same arguments; recent drawings are kept.

    Args:
        place: Its name.
        variant: Which drawing of it, from 0.
        size: Side in pixels.

    Returns:
        (size, size, 3) uint8 sRGB, read-only.

    Raises:
        ValueError: There is no such place, or no such variant of it.
    """
    return _kept(size)(place, variant)


@lru_cache(maxsize=_KEPT_SIZES)
def _kept(size: int) -> Callable[[str, int], np.ndarray]:
    """Draws at one size, and keeps as many drawings as `_KEPT_BYTES` hold."""

    @lru_cache(maxsize=max(_KEPT_BYTES // (3 * size * size), 1))
    def drawn(place: str, variant: int) -> np.ndarray:
        pixels = rasterised(place_shapes(place, variant), size)
        pixels.setflags(write=False)
        return pixels

    return drawn
