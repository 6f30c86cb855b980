"""What a reader takes a caption to say: a small parser that shares nothing with the grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

COLOURS = (
    "white", "light grey", "red", "orange", "yellow", "green", "light green", "light blue", "blue",
    "dark blue", "purple", "pink", "brown", "black",
)  # fmt: skip
NUMBERS = {"two": 2, "three": 3, "four": 4}
RELATIONS = {
    "to the left of": ("left", False), "left of": ("left", False),
    "to the right of": ("left", True), "next to": ("near", False), "beside": ("near", False),
    "above": ("above", False), "over": ("above", False),
    "below": ("above", True), "under": ("above", True),
    "on top of": ("on", False), "on": ("on", False),
    "behind": ("behind", False), "in front of": ("behind", True),
    "bigger than": ("bigger", False), "larger than": ("bigger", False),
    "smaller than": ("bigger", True),
}  # fmt: skip
GROUND = re.compile(
    r"(?:on|against) (?:an? (?P<plain>{0}) background"
    r"|a background from (?P<first>{0}) to (?P<second>{0}))".format(
        "|".join(sorted(COLOURS, key=len, reverse=True))
    )
)


@dataclass(frozen=True)
class Thing:
    """A noun of a caption: which concept, how many, how it looks."""

    concept: str
    count: int = 1
    tilt: str = ""
    tint: str = ""


@dataclass
class Claims:
    """All that a caption says; `sides` are the things on the left and on the right."""

    things: list[Thing] = field(default_factory=list)
    relations: list[tuple[str, Thing, Thing]] = field(default_factory=list)
    sides: tuple[Thing, Thing] | None = None
    colours: tuple[str, ...] = ()
    place: str = ""
    style: str = ""


class Reader:
    """Reads captions about some things.

    Args:
        singular: Concept -> its name.
        plurals: Concept -> the name of several, where there is one.
        styles: Names of styles.
        phrases: Wordings of places.
    """

    def __init__(
        self,
        singular: dict[str, str],
        plurals: dict[str, str],
        styles: Iterable[str],
        phrases: Iterable[str] = (),
    ) -> None:
        self.names = {name: (concept, False) for concept, name in singular.items()}
        self.names |= {
            name: (concept, True) for concept, name in plurals.items() if name not in self.names
        }
        self.both = {name for name in plurals.values() if name in singular.values()}
        names = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True))
        start = r"(?:(?P<number>an?|some|the|two|three|four) )?(?:(?P<tilt>tilted|upside-down) )?"
        end = rf"(?P<name>{names})(?=$|[ ,])"
        tint = f"(?P<tint>{'|'.join(COLOURS)}) "
        self.nouns = tuple(re.compile(start + part + end) for part in ("(?P<tint>)", tint))
        self.styles = tuple(styles)
        self.phrases = sorted(phrases, key=len, reverse=True)

    def read(self, words: str) -> Claims:
        """All claims of a caption; fails on words that it does not understand."""
        claims = Claims()
        for style in self.styles:
            for form in (f"{style}: ", f", {style}", f" in {style}"):
                if words.startswith(form) if form.endswith(": ") else words.endswith(form):
                    assert not claims.style, words
                    claims.style = style
                    words = words[len(form) :] if form.endswith(": ") else words[: -len(form)]
        words = self._ground(words, claims)
        self._things(words, claims)
        return claims

    def _ground(self, words: str, claims: Claims) -> str:
        for phrase in self.phrases:
            if words.startswith(f"{phrase}, ") or words.endswith(f" {phrase}"):
                claims.place = phrase
                first = words.startswith(f"{phrase}, ")
                return words[len(phrase) + 2 :] if first else words[: -len(phrase) - 1]
        (*_, found) = list(GROUND.finditer(words))
        claims.colours = tuple(one for one in found.groups() if one)
        if found.start() == 0:
            assert words[found.end() :].startswith(", "), words
            return words[found.end() + 2 :]
        assert found.end() == len(words) and words[found.start() - 1] == " ", words
        return words[: found.start() - 1]

    def _agrees(self, found: re.Match[str]) -> bool:
        """Two dogs, one dog; "orange books" without a number are books."""
        _, several = self.names[found["name"]]
        return several == (found["number"] in NUMBERS) or found["name"] in self.both

    def _noun(self, words: str) -> tuple[Thing, str]:
        # The longest reading, and of two the name that has the colour: "a red apple" is one.
        every = [found for noun in self.nouns if (found := noun.match(words))]
        every = [found for found in every if self._agrees(found)]
        assert every, words
        found = max(every, key=lambda one: one.end())
        count = NUMBERS.get(found["number"] or "", 1)
        concept, _ = self.names[found["name"]]
        thing = Thing(concept, count, found["tilt"] or "", found["tint"] or "")
        return thing, words[found.end() :]

    def _things(self, words: str, claims: Claims) -> None:
        first, rest = self._noun(words)
        claims.things.append(first)
        side = re.match(r" on the left and ", rest)
        if side:
            second, rest = self._noun(rest[side.end() :])
            assert rest == " on the right", words
            claims.things.append(second)
            claims.sides = (first, second)
            return
        for wording in sorted(RELATIONS, key=len, reverse=True):
            if rest.startswith(f" {wording} "):
                kind, turned = RELATIONS[wording]
                second, rest = self._noun(rest[len(wording) + 2 :])
                claims.things.append(second)
                pair = (second, first) if turned else (first, second)
                claims.relations.append((kind, *pair))
                if rest:
                    assert rest.startswith(", and "), words
                    rest = " and " + rest.removeprefix(", and ")
                break
        while rest:
            joint = re.match(r", | and ", rest)
            assert joint, (words, rest)
            thing, rest = self._noun(rest[joint.end() :])
            claims.things.append(thing)
