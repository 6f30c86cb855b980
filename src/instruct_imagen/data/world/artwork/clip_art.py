"""Open Clip Art: drawings by many hands, of 2004, those of one thing with a title that names it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..drawing import fill_square, rasterise
from ..npm import WorldUnavailable, digest
from ..sources import artwork_folder, read_sets
from .base import DebianFiles, KeptFiles, debian_version, noun_phrase, singular

STYLE = "clip-art"
FOLDER = Path("/usr/share/openclipart/svg")
PACKAGE = "openclipart-svg"
RULES = 1
"""Counts up whenever what is kept changes, so that no stale list is used."""

LARGEST = 150_000
"""Bytes of a drawing: a few have megabytes and take seconds."""

FILLED = (0.15, 0.9)
"""Share of its square that a drawing of one thing covers; a full picture covers more."""

_FRAMED = 0.97  # of the box around it that a picture with a background covers
# Folders of things. The others hold flags, maps, buttons, patterns and icons of programs.
_THINGS = (
    "animals", "buildings", "containers", "education", "electronics", "food", "office", "people",
    "plants", "recreation", "science", "tools", "transportation", "decorations",
    "computer/hardware", "computer/network", "computer/games",
)  # fmt: skip
# Words before a noun that the names of emoji lack.
_MODIFIERS = frozenset(
    """
    acoustic angry antique baby beach beautiful big bright brick cell celtic ceramic classic
    classical clay closed coffee colored coloured cooking cracked cute dark desk dead dining
    digital double elegant empty fancy fast fat flying football fresh friendly frying funny garden
    giant glass glossy golden green grey gray grilled hairy hanging happy heavy hiking kitchen
    large leather lcd little long lovely magic medieval metal military mobile modern mountain
    music nice office old open paper pink plain plastic playing pocket portable pretty purple
    realistic rolling round running rusty sad shiny short silver simple sitting sleeping slim small
    soft spotted square standing steel stone straight striped strong stylized summer swimming tall
    tennis thin tiny toy traditional tropical vintage walking wild winter wooden wrist yellow young
    """.split()  # noqa: SIM905 (a list of so many words would be longer and no clearer)
)
# Program names, and words that say what a drawing is made for rather than what it shows.
_NO_THINGS = frozenset(
    """
    artist ballon clipart fasting game gnu hiking horizon hummer kids liberty logo map moment
    sailing scene tux user video view
    """.split()  # noqa: SIM905
)
# Found by looking: titles that say something else than what is seen, or nothing that can be seen;
# weapons; signs of bad company.
_MISNAMED = frozenset(
    """
    airbrush alarm apple bar beginner blue-gun board bobine bomb box bucket bullet-hole bust
    bypasspruner certificate cleaner clie construction crystal disc donkey double-helix drink
    easter elevator engrenagem experience fanart fatherchristmas fireman firestation flower-pot
    girl head hopper hub illuminati jack jazz judo jupiter kick leaf man-crystal manager maracas
    mascot midautumn moon mortar mouse-scroll mute neon new-penguin one one-car otto post
    presentation profile projectile pudim retriever reunion roller running-free sandwich-one
    saturn schwoo sign silvia soft-blue-couch sunwheel tank triskel turban venus wedding xbill
    """.split()  # noqa: SIM905
)
_DUBLIN = "{http://purl.org/dc/elements/1.1/}"
_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
_NO_NAME = re.compile(r"\(.*?\)|\bby\b.*|['’]s\b|[0-9#].*$", re.IGNORECASE)
_BETWEEN = re.compile(r"[\s_\-]+")
_VIEW_SIDE = 64  # pixels at which a drawing is looked at
_LARGEST_PAGE = 1024  # pixels


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a drawing's metadata say.

    Attributes:
        title: As it is written.
        keywords: In lower case.
        licence: Address of the licence.
        author: Who drew it; may be empty.
    """

    title: str
    keywords: frozenset[str]
    licence: str
    author: str


def described(svg: bytes) -> Described | None:
    """The metadata of an SVG document; None where it has none or is no XML."""
    try:
        tree = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        return None
    work = next((item for item in tree.iter() if item.tag.endswith("}Work")), None)
    if work is None:
        return None
    licence = next((item for item in work if item.tag.endswith("}license")), None)
    words = (item.text or "" for item in work.iter() if item.tag.endswith("}li"))
    author = work.find(f"{_DUBLIN}creator//{_DUBLIN}title")
    return Described(
        title=(work.findtext(f"{_DUBLIN}title") or "").strip(),
        keywords=frozenset(_BETWEEN.sub(" ", word).strip().lower() for word in words),
        licence="" if licence is None else licence.get(_RESOURCE, ""),
        author="" if author is None else (author.text or "").strip(),
    )


def title_concept(found: Described, known: frozenset[str]) -> str | None:
    """The concept that a title names.

    Titles are in many languages, or none. One is believed where its last word is also one of the
    drawing's keywords, or a word that we know. Of the words before it those count that we know:
    "gatto cat" is a cat.

    Args:
        found: Title and keywords.
        known: English words of names.
    """
    words = _BETWEEN.sub(" ", _NO_NAME.sub(" ", found.title)).strip().lower()
    concept = noun_phrase(words)
    if concept is None:
        return None
    *before, last = concept.split("-")
    keywords = {singular(word) for entry in found.keywords for word in entry.split()}
    author = set(found.author.lower().split())
    if last not in keywords | known or last in _NO_THINGS | _MODIFIERS | author:
        return None
    kept = [last]
    while before and before[-1] in (known | _MODIFIERS) - _NO_THINGS - author:
        kept.insert(0, before.pop())
    return "-".join(kept)


def _candidates(folder: Path, known: frozenset[str]) -> Iterator[tuple[str, Path, str]]:
    """(concept, path, author) of what may be kept by name, licence and size."""
    for part in _THINGS:
        for path in sorted((folder / part).rglob("*.svg")):
            if path.stat().st_size > LARGEST:
                continue
            found = described(path.read_bytes())
            if found is None or "publicdomain" not in found.licence.lower():
                continue
            concept = title_concept(found, known)
            if concept is not None and concept not in _MISNAMED:
                yield concept, path, found.author


def shows_one_thing(sprite: np.ndarray | None) -> bool:
    """Whether a sprite (4, side, side) is cut out, as one thing is, and no full picture."""
    if sprite is None:
        return False
    seen = sprite[3] > 127
    if not FILLED[0] <= seen.mean() <= FILLED[1]:
        return False
    return float(seen[seen.any(axis=1)][:, seen.any(axis=0)].mean()) < _FRAMED


def _draw(path: Path, side: int) -> np.ndarray | None:
    """A drawing whose content fills the square, wherever on its page it is.

    Raises:
        ValueError: It is no SVG document that can be drawn.
    """
    svg = path.read_text(encoding="utf-8", errors="replace")
    ys, xs = np.nonzero(rasterise(svg, _VIEW_SIDE)[..., 3])
    if not len(ys):
        return None
    # So large that the content has twice the pixels of the sprite, unless it is a speck.
    span = max(np.ptp(ys), np.ptp(xs)) + 1
    page = rasterise(svg, min(2 * side * _VIEW_SIDE // int(span), _LARGEST_PAGE))
    alpha = np.maximum(page[..., 3:], 1).astype(np.uint16)
    colour = np.minimum((page[..., :3].astype(np.uint32) * 255 + alpha // 2) // alpha, 255)
    straight = np.concatenate([colour.astype(np.uint8), page[..., 3:]], axis=-1)
    return fill_square(straight, side)


def clip_art(folder: Path, known: frozenset[str]) -> tuple[dict[str, str], set[str]]:
    """Concept → path below the folder of all drawings that are kept, and who drew them.

    Of several of one concept the first by path that shows one thing is taken.
    """
    found: dict[str, str] = {}
    authors = set()
    for concept, path, author in _candidates(folder, known):
        if concept in found:
            continue
        try:
            sprite = _draw(path, _VIEW_SIDE)
        except ValueError:
            continue  # resvg cannot read it
        if shows_one_thing(sprite):
            found[concept] = str(path.relative_to(folder))
            authors.add(author)
    return found, authors - {""}


class ClipArt(KeptFiles):
    """Drawings of the Open Clip Art Library."""

    style = STYLE

    def manifest(self) -> dict[str, str]:
        """Whose they are."""
        return {
            "package": PACKAGE,
            "version": debian_version(PACKAGE),
            "licence": "public domain",
            "licence_url": "http://web.resource.org/cc/PublicDomain",
            "author": f"{len(self.authors)} contributors "
            "of the Open Clip Art Library, named in each file",
            "author_url": "http://www.openclipart.org/",
            "icons_sha256": self.sha256,
        }

    def draw(self, name: str, side: int) -> np.ndarray | None:
        """See `base.Drawings`."""
        return _draw(self.folder / self.paths[name], side)


@dataclass(frozen=True, kw_only=True)
class OpenClipArt(DebianFiles):
    """See `base.Source`.

    Attributes:
        known: English words of names; None for those of the emoji's.
    """

    name = "clip_art"
    content = "drawings of single things by many hands"
    package = PACKAGE
    suffix = ".svg"
    rules = RULES
    drawings = ClipArt
    folder: Path = FOLDER
    known: frozenset[str] | None = None

    def depends_on(self) -> str:
        """The words that are known: the version of the emoji, whose folder is named by it."""
        if self.known is None:
            return artwork_folder().name
        return digest(" ".join(sorted(self.known)).encode())

    def keep(self) -> tuple[dict[str, str], set[str]]:
        """See `base.DebianFiles`."""
        return clip_art(self.folder, emoji_words() if self.known is None else self.known)


def emoji_words() -> frozenset[str]:
    """The words of the emoji's names: English nouns and what stands before them.

    Raises:
        WorldUnavailable: The emoji are not here; a list of sources must not install them.
    """
    if not artwork_folder().is_dir():
        raise WorldUnavailable(
            "the emoji are not here yet, by whose names its titles are understood: instruct-imagen "
            "world preview installs them"
        )
    names = read_sets(styles=["fluent-emoji-flat"])["fluent-emoji-flat"].names()
    return frozenset(singular(word) for name in names for word in name.split("-"))


SOURCE = OpenClipArt()
