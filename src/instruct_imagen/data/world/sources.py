"""The emoji of the world: eleven open sets, installed from npm, read as SVG.

Nothing is committed: `install_artwork` runs ``npm ci`` on the lock file beside this module, into
the cache folder, once. Everything after that is read from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from .drawing import draw_sprite
from .npm import CACHE_VARIABLE, WorldUnavailable, cache_folder, digest, install

__all__ = [
    "CACHE_VARIABLE", "FIRST_STYLES", "STYLES", "IconSet", "WorldUnavailable", "artwork_folder",
    "cache_folder", "install_artwork", "manifest", "read_set", "read_sets", "square_view",
    "svg_document",
]  # fmt: skip

FIRST_STYLES: tuple[str, ...] = (
    "noto",
    "noto-v1",
    "twemoji",
    "openmoji",
    "fluent-emoji-flat",
    "fluent-emoji-high-contrast",
    "emojione",
    "emojione-v1",
    "emojione-monotone",
    "fxemoji",
)
"""The ten sets that the hold-out was drawn from, and that the first weights were trained on."""

STYLES: tuple[str, ...] = (*FIRST_STYLES, "fluent-emoji")
"""The eleven sets, each drawn by one group of people in one manner: a style."""

_SCOPE = "@iconify-json"
_DEFAULT_SIDE = 16  # what the icon format prescribes where a set states no size


def _file(name: str) -> bytes:
    return resources.files("instruct_imagen.data.world").joinpath(name).read_bytes()


def artwork_folder() -> Path:
    """The folder that `install_artwork` fills: one per content of the lock file."""
    return cache_folder() / "artwork" / digest(_file("package-lock.json"))


def install_artwork() -> Path:
    """Install the eleven sets into the cache if they are not there yet; see `npm.install`.

    Returns:
        The folder that holds ``node_modules``.

    Raises:
        WorldUnavailable: No npm on the path, or npm failed; the message names the cure.
    """
    files = {name: _file(name) for name in ("package.json", "package-lock.json")}
    return install(artwork_folder(), files)


@dataclass(frozen=True, kw_only=True)
class IconSet:
    """One style: its drawings as SVG bodies.

    Attributes:
        style: Name, one of `STYLES`.
        version: Version of the npm package.
        licence: SPDX identifier.
        licence_url: Where the licence text is.
        author: Who drew it.
        author_url: Where the project lives.
        sha256: Of ``icons.json``.
        bodies: Drawing name -> (left, top, width, height, SVG body).
        aliases: Other name -> drawing name, plain renamings only.
        categories: Category -> names.
    """

    style: str
    version: str
    licence: str
    licence_url: str
    author: str
    author_url: str
    sha256: str
    bodies: Mapping[str, tuple[float, float, float, float, str]]
    aliases: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]]

    def names(self) -> set[str]:
        """All names that this set answers to."""
        return set(self.bodies) | set(self.aliases)

    def drawing(self, name: str) -> str | None:
        """The drawing that a name stands for, None if the set has none."""
        return name if name in self.bodies else self.aliases.get(name)

    def svg(self, name: str, box: tuple[float, float, float, float] | None = None) -> str:
        """The drawing as an SVG document.

        Args:
            name: A name of this set.
            box: left, top, width, height in fractions of the square around the drawing's frame;
                None for all.

        Raises:
            KeyError: The set has no such drawing.
        """
        drawing = self.drawing(name)
        if drawing is None:
            raise KeyError(f"{self.style} has no drawing named {name!r}")
        left, top, width, height, body = self.bodies[drawing]
        return svg_document(body, square_view((left, top, width, height), box))

    def draw(self, name: str, side: int) -> np.ndarray | None:
        """One drawing as a sprite; see `artwork.base.Drawings`."""
        return draw_sprite(lambda box: self.svg(name, box), side)

    def manifest(self) -> dict[str, str]:
        """Source, licence and hash, for files made from it and for attribution."""
        return {
            "package": f"{_SCOPE}/{self.style}",
            "version": self.version,
            "licence": self.licence,
            "licence_url": self.licence_url,
            "author": self.author,
            "author_url": self.author_url,
            "icons_sha256": self.sha256,
        }


def square_view(
    frame: tuple[float, float, float, float], box: tuple[float, float, float, float] | None = None
) -> tuple[float, float, float, float]:
    """The square around a frame (left, top, width, height), or a part of that square."""
    side = max(frame[2], frame[3])
    left, top = frame[0] - (side - frame[2]) / 2, frame[1] - (side - frame[3]) / 2
    if box is None:
        return left, top, side, side
    return left + box[0] * side, top + box[1] * side, box[2] * side, box[3] * side


def svg_document(body: str, box: tuple[float, float, float, float]) -> str:
    """An SVG body as a document that shows ``box`` (left, top, width, height)."""
    view = " ".join(f"{value:g}" for value in box)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">{body}</svg>'


def read_set(style: str, folder: Path) -> IconSet:
    """Read one set from an installed folder.

    Raises:
        WorldUnavailable: The folder does not hold the set.
    """
    package = folder / "node_modules" / _SCOPE / style
    try:
        raw = (package / "icons.json").read_bytes()
        info = json.loads((package / "info.json").read_bytes())
        version = json.loads((package / "package.json").read_bytes())["version"]
        metadata = json.loads((package / "metadata.json").read_bytes())
    except FileNotFoundError as error:
        raise WorldUnavailable(
            f"the artwork of {style} is not in {folder}: delete that folder and run again"
        ) from error
    icons = json.loads(raw)
    sides = (icons.get("width", _DEFAULT_SIDE), icons.get("height", _DEFAULT_SIDE))
    bodies = {
        name: (
            icon.get("left", icons.get("left", 0)),
            icon.get("top", icons.get("top", 0)),
            icon.get("width", sides[0]),
            icon.get("height", sides[1]),
            icon["body"],
        )
        for name, icon in icons["icons"].items()
        if not icon.get("hidden")
    }
    return IconSet(
        style=style,
        version=version,
        licence=info["license"]["spdx"],
        licence_url=info["license"].get("url", ""),
        author=info["author"]["name"],
        author_url=info["author"].get("url", ""),
        sha256=hashlib.sha256(raw).hexdigest(),
        bodies=bodies,
        aliases=_plain_aliases(icons.get("aliases", {}), bodies),
        categories={key: tuple(names) for key, names in metadata.get("categories", {}).items()},
    )


def _plain_aliases(
    aliases: Mapping[str, Mapping[str, object]], bodies: Mapping[str, object]
) -> dict[str, str]:
    """Follow chains of renamings; a name that also turns or mirrors its drawing is left out."""
    plain: dict[str, str] = {}
    for name in aliases:
        at, seen = name, set()
        while at in aliases and set(aliases[at]) <= {"parent"} and at not in seen:
            seen.add(at)
            at = str(aliases[at]["parent"])
        if at in bodies:
            plain[name] = at
    return plain


def read_sets(folder: Path | None = None, styles: Iterable[str] = STYLES) -> dict[str, IconSet]:
    """Read several sets; when no folder is given, installs the artwork and reads each set once."""
    if folder is None:
        return {style: _read_installed(style, install_artwork()) for style in styles}
    return {style: read_set(style, folder) for style in styles}


@lru_cache(maxsize=len(STYLES))
def _read_installed(style: str, folder: Path) -> IconSet:
    # What is installed never changes, and one set has a hundred megabytes.
    return read_set(style, folder)


def manifest(sets: Mapping[str, IconSet]) -> dict[str, dict[str, str]]:
    """Source, licence and hash of each set."""
    return {style: icons.manifest() for style, icons in sets.items()}
