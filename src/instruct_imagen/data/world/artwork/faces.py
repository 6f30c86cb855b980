"""DiceBear's faces: people drawn by rule, each in several expressions, in four styles."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np

from ..drawing import Box, draw_sprite
from ..npm import WorldUnavailable, cache_folder, digest, install, program, run
from ..sources import square_view
from .base import BY_NPM

FACE_STYLES = ("dicebear-adventurer", "dicebear-micah", "dicebear-open-peeps", "dicebear-lorelei")
"""Three in colour, one in black ink. The two tasks of faces take them in turn."""

PEOPLE = range(0, 400)
"""Numbers of the people that training may see."""

HELD_OUT_PEOPLE = range(1000, 1100)
"""Numbers of the people that training never sees, for evaluation; never to be changed."""

_FILES = ("package.json", "package-lock.json", "people.json", "people.mjs")
_DRAWN = "drawn.json"
_FRAME = re.compile(r'viewBox="0 0 (\d+) (\d+)"')


def _file(name: str) -> bytes:
    return resources.files("instruct_imagen.data.world").joinpath("people", name).read_bytes()


def person_name(number: int) -> str:
    """The name of the person of a number: 42 → ``"person-0042"``."""
    return f"person-{number:04d}"


def person_number(name: str) -> int:
    """The number of a person.

    Raises:
        ValueError: It is no such name.
    """
    first, sign, digits = name.rpartition("-")
    if first != "person" or not sign or not digits.isdecimal():
        raise ValueError(f"{name!r} is no name of a person")
    return int(digits)


def expressions() -> dict[str, tuple[str, ...]]:
    """Style → the expressions that its people have."""
    stored = json.loads(_file("people.json"))
    return {style: tuple(stored[style]["expressions"]) for style in FACE_STYLES}


def faces_folder() -> Path:
    """The folder that `install_faces` fills: one per content of the files that make the faces."""
    return cache_folder() / "faces" / digest(*(_file(name) for name in _FILES))


def install_faces() -> Path:
    """Install DiceBear and draw all people, once; see `npm.install`.

    Raises:
        WorldUnavailable: No Node.js, or it failed; the message names the cure.
    """
    spans = ",".join(f"{span[0]}-{span[-1]}" for span in (PEOPLE, HELD_OUT_PEOPLE))

    def draw(folder: Path) -> None:
        run(
            [program("node"), "people.mjs", spans],
            folder,
            "node people.mjs",
            "check that `node --version` is at least 18",
        )

    return install(faces_folder(), {name: _file(name) for name in _FILES}, draw)


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """All people of one style.

    Attributes:
        style: One of `FACE_STYLES`.
        folder: Where its drawings are.
        about: What the style's package says of itself.
    """

    style: str
    folder: Path
    about: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """Of all drawings."""
        return self.about["sha256"]

    @cached_property
    def _drawings(self) -> Mapping[str, str]:
        """Name → SVG document."""
        with gzip.open(self.folder / f"{self.style}.json.gz") as file:
            return json.load(file)

    def names(self) -> set[str]:
        """E.g. ``"person-0042-smiling"``."""
        return set(self._drawings)

    def manifest(self) -> dict[str, str]:
        """Whose they are."""
        kept = ("package", "version", "licence", "licence_url", "author", "author_url")
        return {**{key: self.about[key] for key in kept}, "icons_sha256": self.sha256}

    def draw(self, name: str, side: int) -> np.ndarray | None:
        """See `base.Drawings`."""
        svg = self._drawings[name]
        return draw_sprite(lambda box: _part(svg, box), side)


def _part(svg: str, box: Box) -> str:
    """An SVG document that shows a part of another, in fractions of its frame."""
    frame = _FRAME.search(svg)
    if frame is None:
        raise ValueError("the drawing has no view box: another version of DiceBear?")
    view = square_view((0.0, 0.0, float(frame[1]), float(frame[2])), box)
    shown = " ".join(f"{value:g}" for value in view)
    return f'{svg[: frame.start()]}viewBox="{shown}"{svg[frame.end() :]}'


def read_faces(folder: Path) -> dict[str, Faces]:
    """All styles of a folder that `install_faces` filled.

    Raises:
        WorldUnavailable: It is not whole.
    """
    try:
        about = json.loads((folder / _DRAWN).read_text())
        return {
            style: Faces(style=style, folder=folder, about=about[style]) for style in FACE_STYLES
        }
    except (OSError, ValueError, KeyError) as error:
        raise WorldUnavailable(
            f"the faces are not whole in {folder}: delete that folder and run again"
        ) from error


class DiceBear:
    """See `base.Source`."""

    name = "faces"
    content = "people's faces in several expressions"
    get = BY_NPM
    styles = FACE_STYLES

    def find(self) -> Path | None:
        """See `base.Source`."""
        folder = faces_folder()
        return folder if folder.is_dir() else None

    def read(self) -> Mapping[str, Faces]:
        """See `base.Source`."""
        return read_faces(install_faces())


SOURCE = DiceBear()
