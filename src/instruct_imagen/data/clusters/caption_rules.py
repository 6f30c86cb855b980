"""Which captions say what a picture shows: rules that can be read, each with a name to count by."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from instruct_imagen.data.clusters.rows import ClusterError

BOILERPLATE = (
    r"(an? )?(image|picture|photo|photograph|pic|img|thumbnail|logo|icon|banner|avatar|figure)"
    r"( (of the )?day| not (found|available)| missing| coming soon| placeholder)?",
    r"untitled( (document|image|design))?",
    r"(no|without) (caption|description|title|alt( text)?|image|picture|photo)( available)?",
    r"(default|featured|main|cover|hero|sample|stock|product|profile|user) "
    r"(image|picture|photo|avatar)",
    r".*\bclick (here|on|to|for|image|the)\b.*",
    r".*\b(image|photo|picture) may contain\b.*",
    r".*\ball rights reserved\b.*",
    r".*\b(pin it|share on|follow us|read more|view larger|enlarge|add to cart|loading)\b.*",
)
"""Regular expressions, in lower case, of whole captions that say nothing of a picture."""

_ADDRESS = re.compile(
    r"https?:|www\.|\b[\w.+-]+@[\w-]+\.\w{2,}"
    r"|\b[a-z0-9-]{2,}\.(com|net|org|info|biz|edu|gov|io|de|fr|uk|ru|jp|cn|it|es|nl|pl|br|au|ca)\b",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(
    r"\.(jpe?g|png|gif|webp|bmp|tiff?|svg|heic|raw|nef|cr2|psd|pdf)\b"
    r"|^(img|image|dsc[nf]?|dcim|pict?|p|photo|screen ?shot|screenshot|scan|mvi|vid|gopr|pxl|wp"
    r"|fullsizerender|download|unnamed|file|whatsapp image|received)[ _-]*\(?[\d_ .:()apmt-]{2,}$"
    r"|^[0-9a-f]{12,}$|^[\d\W_]+$|^\w*\d{5,}\w*$",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+(?:['’]\w+)?")


@dataclass(frozen=True, kw_only=True)
class CaptionRules:
    """What a caption must be like.

    Attributes:
        min_characters: At least.
        max_characters: At most; a text encoder reads some 64 words, and what is longer is mostly
            the page around a picture.
        min_words: At least.
        letters: Least share of letters among what is no space: below it are codes and prices.
        repeated: Largest share of its words that one word may be, in captions of at least 4 words.
        addresses: Whether captions with a web or mail address are kept.
        file_names: Whether names of files ("IMG_1234") are kept.
        boilerplate: Regular expressions of whole captions, in lower case without the spaces and the
            full stop around them, that are left out.

    Raises:
        ClusterError: A number is out of range, or an expression is none.
    """

    min_characters: int = 3
    max_characters: int = 1000
    min_words: int = 1
    letters: float = 0.5
    repeated: float = 0.5
    addresses: bool = False
    file_names: bool = False
    boilerplate: tuple[str, ...] = BOILERPLATE

    def __post_init__(self) -> None:
        if not 0 <= self.min_characters <= self.max_characters or self.min_words < 0:
            raise ClusterError(
                f"captions: min_characters={self.min_characters}, max_characters="
                f"{self.max_characters} and min_words={self.min_words} must be 0 or more, and the "
                "first not above the second"
            )
        for name in ("letters", "repeated"):
            if not 0 <= getattr(self, name) <= 1:
                raise ClusterError(f"captions: {name}={getattr(self, name)} must be from 0 to 1")
        for expression in self.boilerplate:
            try:
                re.compile(expression)
            except re.error as error:
                raise ClusterError(
                    f"captions: boilerplate {expression!r} is no regular expression ({error})"
                ) from error


def caption_fault(caption: str, rules: CaptionRules) -> str:
    """The name of the first rule that a caption breaks; empty for a good one."""
    text = caption.strip()
    if len(text) < rules.min_characters:
        return "caption: too short"
    if len(text) > rules.max_characters:
        return "caption: too long"
    words = _WORD.findall(text.lower())
    if len(words) < rules.min_words:
        return "caption: too few words"
    if any(unicodedata.category(sign) in ("Cc", "Co", "Cn") or sign == "\ufffd" for sign in text):
        return "caption: broken characters"
    if not rules.addresses and _ADDRESS.search(text):
        return "caption: address"
    if not rules.file_names and _FILE_NAME.search(text):
        return "caption: file name"
    signs = [sign for sign in text if not sign.isspace()]
    # Marks belong to letters in many scripts (Mn, Mc).
    letters = sum(unicodedata.category(sign)[0] in "LM" for sign in signs)
    if letters < rules.letters * len(signs):
        return "caption: few letters"
    if len(words) >= 4 and max(Counter(words).values()) > rules.repeated * len(words):
        return "caption: repeated words"
    bare = text.lower().strip(" .!…")
    if any(re.fullmatch(one, bare) for one in rules.boilerplate):
        return "caption: boilerplate"
    return ""
