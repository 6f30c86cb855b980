"""The emoji sets: the one source that must be there, and that is always enough."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..sources import STYLES, IconSet, artwork_folder, read_sets
from .base import BY_NPM


class Emoji:
    """See `base.Source`."""

    name = "emoji"
    content = "things in eleven styles of drawing"
    get = BY_NPM
    styles = STYLES

    def find(self) -> Path | None:
        """See `base.Source`."""
        folder = artwork_folder()
        return folder if folder.is_dir() else None

    def read(self) -> Mapping[str, IconSet]:
        """See `base.Source`."""
        return read_sets()


SOURCE = Emoji()
