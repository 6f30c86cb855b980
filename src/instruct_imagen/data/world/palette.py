"""Colours of backgrounds and of tinted assets, and what captions call the styles."""

from __future__ import annotations

from functools import cache

PALETTE: dict[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "light grey": (205, 205, 205),
    "red": (214, 48, 49),
    "orange": (244, 144, 48),
    "yellow": (250, 212, 72),
    "green": (70, 164, 82),
    "light green": (178, 226, 146),
    "light blue": (156, 210, 246),
    "blue": (52, 112, 214),
    "dark blue": (30, 44, 110),
    "purple": (134, 78, 186),
    "pink": (250, 168, 200),
    "brown": (136, 88, 54),
    "black": (24, 24, 28),
}
"""Background colours: name → sRGB."""

DARK_COLOURS = frozenset({"black", "dark blue", "brown", "purple", "blue"})
DARK_INK_STYLES = frozenset({"fluent-emoji-high-contrast", "emojione-monotone"})
"""Styles whose sprites are almost black; they are not put on `DARK_COLOURS`."""

STYLE_NAMES: dict[str, str] = {
    "noto": "soft shaded noto style",
    "noto-v1": "rounded cartoon style",
    "twemoji": "flat twemoji style",
    "openmoji": "outlined openmoji style",
    "fluent-emoji-flat": "colourful fluent style",
    "fluent-emoji-high-contrast": "black silhouette style",
    "emojione": "flat emojione style",
    "emojione-v1": "glossy emojione style",
    "emojione-monotone": "black ink style",
    "fxemoji": "simple firefox style",
    "fluent-emoji": "glossy gradient fluent style",
    "photograph": "photographic style",
    "clip-art": "clip art style",
    "dicebear-adventurer": "dicebear adventurer style",
    "dicebear-micah": "dicebear micah style",
    "dicebear-open-peeps": "dicebear open peeps style",
    "dicebear-lorelei": "dicebear lorelei style",
    "flat": "plain flat style",
    "outline": "thin outline style",
}
"""How captions name the styles (the last two are our own drawings of `fallback`)."""

TINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
"""Colours of the palette that an asset can be drawn in shades of."""

UNTINTED_STYLES = DARK_INK_STYLES | {"outline"}
"""Styles without areas that could have a colour."""

NEAR = 130
"""Distance in sRGB from which colours are told apart."""


@cache
def tints_on(colours: tuple[str, ...]) -> tuple[str, ...]:
    """The tints that stand out from a background of these colours."""

    def far(first: str, second: str) -> bool:
        pairs = zip(PALETTE[first], PALETTE[second], strict=True)
        return sum((one - other) ** 2 for one, other in pairs) >= NEAR**2

    return tuple(tint for tint in TINTS if all(far(tint, colour) for colour in colours))
