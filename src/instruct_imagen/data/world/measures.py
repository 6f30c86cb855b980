"""How much of its square each drawing fills, and what can be done with it: measured once, kept.

Captions and layouts are made before anything is rendered, so they cannot look at sprites. The table
``measures.json`` is written by ``python -m instruct_imagen.data.world.measures`` from the artwork.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from .atlas import Atlas

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_STEPS = 32  # shares are kept in so many steps
_FILE = "measures.json"
_SOLID = 128  # alpha of what counts
_MIDDLE = 0.15  # half of the columns that carry, of the side
_FLAT = 0.1  # how uneven what carries may be, of the side
_WIDE_TOP = 0.35  # least width of what carries, of the side
_COLOURED = 0.55  # least share of a drawing that takes on a colour
_STANDS, _CARRIES, _COLOURS = 1, 2, 4


@dataclass(frozen=True)
class Measure:
    """Of one drawing, which stands in the middle of its square.

    Attributes:
        width: Of what it fills, of the square's side, in (0, 1].
        height: The same.
        top: How high above the square's centre its middle columns reach, of half the side.
        stands: Its foot is under its middle.
        carries: Its upper side is wide and even enough for something to stand on.
        colours: Most of it changes when it is tinted; ink and white do not.
    """

    width: float = 1.0
    height: float = 1.0
    top: float = 1.0
    stands: bool = False
    carries: bool = False
    colours: bool = False


UNKNOWN = Measure()
"""Of a drawing that is not in the table: it may fill its square, and nothing else is known."""


@cache
def measure(concept: str, style: str) -> Measure:
    """What is known of a drawing; `UNKNOWN` for one that is not in the table."""
    styles, rows = _table()
    if concept not in rows or style not in styles:
        return UNKNOWN
    start = 4 * styles.index(style)
    code = rows[concept][start : start + 4]
    if code == "----":
        return UNKNOWN
    width, height, top, flags = (_DIGITS.index(digit) for digit in code)
    return Measure(
        width=width / _STEPS,
        height=height / _STEPS,
        top=2 * top / _STEPS - 1,
        stands=bool(flags & _STANDS),
        carries=bool(flags & _CARRIES),
        colours=bool(flags & _COLOURS),
    )


@lru_cache(maxsize=1)
def _table() -> tuple[list[str], Mapping[str, str]]:
    stored = json.loads(resources.files(__package__).joinpath(_FILE).read_text())
    return stored["styles"], stored["drawings"]


def code_of(sprite: np.ndarray) -> str:
    """The four digits of a sprite in the table: width, height, top, and what it can do.

    Args:
        sprite: (4, side, side) uint8, premultiplied.
    """
    side = sprite.shape[-1]
    solid = sprite[3] >= _SOLID
    rows, columns = np.nonzero(solid.any(1))[0], np.nonzero(solid.any(0))[0]
    if not len(rows):
        return "----"
    width, height = (
        2 * max(side / 2 - found[0], found[-1] + 1 - side / 2) / side for found in (columns, rows)
    )
    middle = slice(int(side * (0.5 - _MIDDLE)), int(side * (0.5 + _MIDDLE)))
    first = np.where(solid[:, middle].any(0), solid[:, middle].argmax(0), side)
    top = float(np.median(first))
    level = slice(max(int(top - _FLAT * side), 0), int(top + _FLAT * side) + 1)
    carries = (
        first.max() - first.min() <= _FLAT * side
        and solid[level].any(0).sum() >= _WIDE_TOP * side
        and rows[0] >= top - _FLAT * side
    )
    foot = solid[rows[-1] + 1 - max(side // 12, 1) : rows[-1] + 1]
    under = np.nonzero(foot.any(0))[0]
    stands = abs((under[0] + under[-1] + 1) / 2 - side / 2) <= 0.12 * side
    flags = _STANDS * stands + _CARRIES * carries + _COLOURS * (_coloured(sprite) >= _COLOURED)
    digits = (
        round(width * _STEPS), round(height * _STEPS), round((1 - top * 2 / side + 1) / 2 * _STEPS)
    )  # fmt: skip
    return "".join(_DIGITS[min(max(value, 0), _STEPS)] for value in digits) + _DIGITS[int(flags)]


def _coloured(sprite: np.ndarray) -> float:
    """Share of a drawing that is neither ink nor white: its luminance is between 0.16 and 0.86.

    Only that shows the colour of a tint.
    """
    red, green, blue, alpha = sprite.astype(int)
    light = (54 * red + 183 * green + 19 * blue) // 256
    solid = alpha >= _SOLID
    share = light[solid] / alpha[solid]
    return float(((share > 0.16) & (share < 0.86)).mean())


def table_of(atlas: Atlas) -> dict[str, object]:
    """The table of all sprites of an atlas, as it is stored."""
    styles = sorted({style for _, style in atlas.pairs})
    drawings: dict[str, list[str]] = {}
    for row, (concept, style) in enumerate(atlas.pairs):
        codes = drawings.setdefault(concept, ["----"] * len(styles))
        codes[styles.index(style)] = code_of(atlas.sprites[row])
    return {
        "styles": styles,
        "drawings": {concept: "".join(codes) for concept, codes in sorted(drawings.items())},
    }


def _write() -> None:
    """Measure every drawing of the world and our own; needs the artwork."""
    from .fallback import fallback_atlas
    from .vocabulary import world_concepts

    pairs = [(concept, style) for concept, styles in world_concepts().items() for style in styles]
    atlas, own = Atlas.build(pairs), fallback_atlas()
    every = Atlas(
        pairs=(*atlas.pairs, *own.pairs),
        sprites=np.concatenate([atlas.sprites, own.sprites]),
        sources={},
    )
    lines = json.dumps(table_of(every), separators=(",", ":")).replace('","', '",\n"')
    Path(__file__).with_name(_FILE).write_text(lines + "\n")


if __name__ == "__main__":
    _write()
