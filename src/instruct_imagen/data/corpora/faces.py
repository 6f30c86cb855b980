"""What CelebA and CelebA-HQ share: people, attributes, and words for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from instruct_imagen.data.corpora.base import CorpusError, Reader
from instruct_imagen.data.corpora.folders import lines_of, text_beside
from instruct_imagen.data.corpora.records import Identity

_HAIR = {"Black_Hair": "black", "Blond_Hair": "blond", "Brown_Hair": "brown", "Gray_Hair": "grey"}
_SHAPE = {"Straight_Hair": "straight", "Wavy_Hair": "wavy"}
_WITH = {"Bangs": "bangs", "Mustache": "a moustache", "Goatee": "a goatee",
         "Sideburns": "sideburns", "5_o_Clock_Shadow": "stubble"}  # fmt: skip
_WEARING = {"Eyeglasses": "glasses", "Wearing_Hat": "a hat", "Wearing_Earrings": "earrings",
            "Wearing_Necklace": "a necklace", "Wearing_Necktie": "a tie"}  # fmt: skip
_PARTITIONS = {"0": "train", "1": "valid", "2": "test"}


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """CelebA's yes-or-no attributes of images, one bit each."""

    names: tuple[str, ...]
    bits: Mapping[str, int]

    def of(self, file: str) -> tuple[str, ...]:
        """The names of what an image has; none if it is not listed."""
        bits = self.bits.get(file, 0)
        return tuple(name for place, name in enumerate(self.names) if bits >> place & 1)


@dataclass(frozen=True, kw_only=True)
class Person:
    """An entry: a person and the names of the images that show them."""

    identity: str
    split: str
    files: tuple[str, ...]


def read_attributes(path: Path) -> Attributes:
    """``list_attr_celeba.txt``, ``CelebAMask-HQ-attribute-anno.txt``: a count, the names, rows.

    Raises:
        CorpusError: The file has another form.
    """
    lines = lines_of(path)
    next(lines, None)
    names = tuple(next(lines, "").split())
    bits = {}
    for line in lines:
        file, *signs = line.split()
        if len(signs) != len(names) or not set(signs) <= {"1", "-1"}:
            raise CorpusError(f"{path}: {file} has no 1 or -1 for each of {len(names)} attributes")
        bits[file] = sum(1 << place for place, sign in enumerate(signs) if sign == "1")
    if not bits:
        raise CorpusError(f"{path} lists no attributes: download it anew")
    return Attributes(names=names, bits=bits)


def read_pairs(path: Path) -> dict[str, str]:
    """``identity_CelebA.txt``, ``list_eval_partition.txt``: a file and its value a line.

    Raises:
        CorpusError: The file has another form.
    """
    pairs = {}
    for line in lines_of(path):
        words = line.split()
        if len(words) != 2:
            raise CorpusError(f"{path}: {line[:60]!r} is not a file and its number")
        pairs[words[0]] = words[1]
    if not pairs:
        raise CorpusError(f"{path} is empty: download it anew")
    return pairs


def people(
    files: Iterable[tuple[str, str]], identities: Mapping[str, str], partition: Path | None
) -> list[tuple[str, Person]]:
    """Groups images by who they show.

    Args:
        files: Pairs of a file and the name that it has in CelebA.
        identities: Name in CelebA -> number of the person.
        partition: ``list_eval_partition.txt``, if it is there.

    Returns:
        Pairs of a split (empty without `partition`) and a person, by their numbers. CelebA's splits
        share no person, so that the first image tells the split.
    """
    grouped: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, original in files:
        if original in identities:
            grouped[identities[original]].append((file, original))
    splits = read_pairs(partition) if partition else {}
    found = []
    for identity in sorted(grouped, key=lambda number: (len(number), number)):
        split = _PARTITIONS.get(splits.get(grouped[identity][0][1], ""), "")
        names = tuple(file for file, _ in grouped[identity])
        found.append((split, Person(identity=identity, split=split, files=names)))
    return found


def read_person(person: Person, folder: Path, attributes: Attributes, reader: Reader) -> Identity:
    """The record of a person; ``name.txt`` beside an image is its caption, else its attributes.

    Raises:
        EntryError: None of the images can be used.
    """
    images = reader.images({file: folder / file for file in person.files})
    named = {file: attributes.of(file) for file in images}
    return Identity(
        key=person.identity,
        images=tuple(images.values()),
        captions=tuple(text_beside(folder / file) or describe(named[file]) for file in images),
        attributes=tuple(named.values()),
        about={"split": person.split} if person.split else {},
    )


def describe(attributes: Sequence[str]) -> str:
    """What a face shows, in words: ``"a smiling young woman with wavy brown hair, wearing a hat"``.

    Of CelebA's forty attributes those that can be seen without judging a person (no "Attractive",
    no "Big_Nose") and that say what is there rather than what is not.
    """
    has = set(attributes)
    noun = "man" if "Male" in has else "woman"
    words = ["smiling"] * ("Smiling" in has) + ["young"] * ("Young" in has)
    words += ["bald"] * ("Bald" in has)
    text = f"a {' '.join([*words, noun])}"
    hair = [_SHAPE[name] for name in _SHAPE if name in has]
    hair += [_HAIR[name] for name in _HAIR if name in has]
    having = [f"{' '.join(hair)} hair"] if hair and "Bald" not in has else []
    having += [_WITH[name] for name in _WITH if name in has]
    wearing = [_WEARING[name] for name in _WEARING if name in has]
    if having:
        text += f" with {_listed(having)}"
    if wearing:
        text += f"{',' if having else ''} wearing {_listed(wearing)}"
    return text


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
