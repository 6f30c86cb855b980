"""All sources by name, and which of those that somebody wants are here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from ..npm import WorldUnavailable
from . import clip_art, emoji, faces, stamps
from .base import Drawings, Source

SOURCES: Mapping[str, Source] = {
    module.SOURCE.name: module.SOURCE for module in (emoji, faces, stamps, clip_art)
}


def read_source(name: str) -> Mapping[str, Drawings]:
    """The drawings of a source by style; empty, with a line on stderr, where it is not here.

    Args:
        name: One of `SOURCES`; ``emoji`` must be here.

    Raises:
        WorldUnavailable: The emoji are not here and cannot be installed.
    """
    source = SOURCES[name]
    try:
        return source.read()
    except WorldUnavailable as error:
        if name == emoji.SOURCE.name:
            raise
        print(f"source {name} is left out: {error}", file=sys.stderr)
        return {}


def read_styles(styles: Iterable[str]) -> dict[str, Drawings]:
    """The drawings of some styles, from whichever source has them.

    Raises:
        WorldUnavailable: A source that has one of them is not here, or none has it.
    """
    wanted = set(styles)
    found: dict[str, Drawings] = {}
    for name, source in SOURCES.items():
        if name != emoji.SOURCE.name and wanted & set(source.styles):
            found.update(source.read())
    drawn = wanted - set(found)
    if drawn:  # only those: all of them take seconds to read
        found.update(emoji.read_sets(styles=sorted(drawn)))
    return {style: found[style] for style in sorted(wanted)}
