"""The emoji sets: the one source that must be there, and that is always enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..sources import STYLES, IconSet, artwork_folder, read_sets


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """See `base.Source`."""

    name: str = field(default="emoji", init=False)
    content: str = field(default="things in eleven styles of drawing", init=False)
    get: str = field(
        default="installed by npm when first needed (apt install nodejs npm)", init=False
    )
    styles: tuple[str, ...] = field(default=STYLES, init=False)

    def find(self) -> Path | None:
        """See `base.Source`."""
        folder = artwork_folder()
        return folder if folder.is_dir() else None

    def read(self) -> Mapping[str, IconSet]:
        """See `base.Source`."""
        return read_sets()


SOURCE = Emoji()
