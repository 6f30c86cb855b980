"""A few drawings of our own, for machines where the artwork cannot be installed.

Eight things in two styles, flat colour and outline: enough for a demo to have references, not for
training.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .atlas import SIDE, Atlas
from .drawing import Box, draw_sprite
from .sources import square_view, svg_document
from .vocabulary import Vocabulary

FALLBACK_STYLES = ("flat", "outline")
_FRAME = (0.0, 0.0, 100.0, 100.0)
_INK = "#1d1d22"
_RAYS = " ".join(
    f'<rect x="46" y="2" width="8" height="18" rx="4" transform="rotate({angle} 50 50)"/>'
    for angle in range(0, 360, 45)
)

# Name -> shapes from back to front, each with its flat colour.
_DRAWINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "house": (
        ('<rect x="18" y="46" width="64" height="48"/>', "#f0d9a8"),
        ('<path d="M50 8 94 50H6z"/>', "#c0392b"),
        ('<rect x="43" y="64" width="16" height="30"/>', "#7b4a2d"),
        ('<rect x="63" y="58" width="13" height="13"/>', "#8ec9ee"),
    ),
    "tree": (
        ('<rect x="42" y="60" width="16" height="36"/>', "#7b4a2d"),
        ('<circle cx="32" cy="48" r="22"/><circle cx="68" cy="48" r="22"/>', "#3c8d40"),
        ('<circle cx="50" cy="32" r="26"/>', "#4aa84f"),
    ),
    "sun": ((_RAYS, "#f39c12"), ('<circle cx="50" cy="50" r="24"/>', "#f7c948")),
    "fish": (
        ('<path d="M66 50 96 26v48z"/>', "#e0762d"),
        ('<ellipse cx="42" cy="50" rx="36" ry="24"/>', "#f39c4a"),
        ('<path d="M40 54q14 2 16 14-14 0-20-6z"/>', "#e0762d"),
        ('<circle cx="22" cy="44" r="5"/>', _INK),
    ),
    "ball": (
        ('<circle cx="50" cy="50" r="44"/>', "#d63031"),
        ('<path d="M8 38Q50 58 92 38q4 12 0 24Q50 82 8 62q-4-12 0-24z"/>', "#fdf6e3"),
    ),
    "cup": (
        (
            '<path d="M68 38h12a14 14 0 0 1 0 30H66v-9h13a6 6 0 0 0 0-12H68z"/>',
            "#2a6fb0",
        ),
        ('<path d="M14 30h58v38q0 22-20 22H34q-20 0-20-22z"/>', "#3b8edb"),
        ('<ellipse cx="43" cy="30" rx="29" ry="7"/>', "#6b4226"),
    ),
    "star": (
        ('<path d="M50 5 63 37 97 40 71 62 79 96 50 78 21 96 29 62 3 40 37 37z"/>', "#f7c948"),
    ),
    "car": (
        ('<path d="M24 48 34 26h34l12 22z"/>', "#8ec9ee"),
        ('<path d="M4 72V54q0-8 8-8h76q8 0 8 8v18z"/>', "#2f9e6e"),
        ('<circle cx="26" cy="72" r="12"/><circle cx="74" cy="72" r="12"/>', "#33333a"),
        ('<circle cx="26" cy="72" r="5"/><circle cx="74" cy="72" r="5"/>', "#d5d8dc"),
    ),
}


def fallback_svg(concept: str, style: str, box: Box | None = None) -> str:
    """One of our own drawings as an SVG document.

    Args:
        concept: One of `fallback_vocabulary().concepts`.
        style: ``flat`` or ``outline``.
        box: The part to show, in fractions of the drawing; None for all.

    Raises:
        KeyError: There is no such drawing.
    """
    if style not in FALLBACK_STYLES:
        raise KeyError(f"our own drawings have the styles {FALLBACK_STYLES}, not {style!r}")
    shapes = _DRAWINGS[concept]
    if style == "flat":
        body = "".join(f'<g fill="{colour}">{shape}</g>' for shape, colour in shapes)
    else:
        ink = "".join(shape for shape, _ in shapes)
        body = f'<g fill="#fff" stroke="{_INK}" stroke-width="5" stroke-linejoin="round">{ink}</g>'
    return svg_document(body, square_view(_FRAME, box))


@cache
def fallback_vocabulary() -> Vocabulary:
    """All our own drawings: every concept in both styles."""
    return Vocabulary(
        tuple((concept, style) for concept in sorted(_DRAWINGS) for style in FALLBACK_STYLES)
    )


@cache
def fallback_atlas(side: int = SIDE) -> Atlas:
    """Their sprites, under the same interface as the installed artwork."""
    pairs = fallback_vocabulary().pairs
    sprites = [
        draw_sprite(lambda box, c=concept, s=style: fallback_svg(c, s, box), side)
        for concept, style in pairs
    ]
    own = {"package": "instruct-imagen", "licence": "Apache-2.0"}
    return Atlas(
        pairs=pairs,
        sprites=np.stack([sprite for sprite in sprites if sprite is not None]),
        sources={style: own for style in FALLBACK_STYLES},
    )
