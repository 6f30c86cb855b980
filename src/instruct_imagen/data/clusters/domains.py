"""Step 4: sorts rows into domains, inside which clusters are cut later ([Hu24] §3.2).

A domain is a name and a few texts. Where the image encoder has a text side (CLIP, SigLIP), pictures
are compared with those texts; where it has none, captions are, by sentence vectors. What is near to
several domains alike, or to none, is "other".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from instruct_imagen.data.clusters.encoders import WordEncoder
from instruct_imagen.data.clusters.rows import ClusterError

OTHER = "other"
CAPTION_SCALE = 20.0
"""By which cosines of sentence vectors are multiplied, as MiniLM was taught with."""


@dataclass(frozen=True, kw_only=True)
class Domain:
    """One kind of pictures.

    Attributes:
        name: As reports show it.
        prompts: At least one text that such a picture could have; the nearest one counts.

    Raises:
        ClusterError: It has no name or no prompt, or is named "other".
    """

    name: str
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w -]*", self.name):
            raise ClusterError(
                f"domain {self.name!r}: names are of files, so use letters, digits, spaces and -"
            )
        if self.name == OTHER or not all(self.prompts) or not self.prompts:
            raise ClusterError(
                f"domain {self.name!r} must not be named {OTHER!r} and needs at least one prompt"
            )


def _domain(name: str, *prompts: str) -> Domain:
    return Domain(name=name, prompts=prompts)


DOMAINS = (
    _domain(
        "art",
        "a painting", "a sculpture", "a statue", "an abstract work of art", "a mosaic",
        "a decorative pattern", "an ornament",
    ),
    _domain(
        "products",
        "a product", "a household object", "a piece of clothing", "shoes", "a tool",
        "an electronic device", "a piece of furniture", "a musical instrument", "a toy",
        "a book", "office supplies", "a weapon", "a bag", "jewellery", "money",
    ),
    _domain(
        "animals",
        "an animal", "a dog", "a cat", "a bird", "a fish", "an insect", "a reptile", "a mammal",
        "a farm animal", "a sea creature", "a dinosaur",
    ),
    _domain(
        "plants",
        "a plant", "a flower", "a tree", "a leaf", "a cactus", "a mushroom in the forest",
    ),
    _domain(
        "scenery",
        "a landscape", "mountains", "a beach", "the sky with clouds", "the weather", "the sea",
        "the sun and the moon", "a planet in space", "a sunset over a city",
    ),
    _domain(
        "buildings",
        "a building", "a house", "a church", "a tower", "a bridge", "a factory", "a castle",
    ),
    _domain(
        "people",
        "a person", "a man", "a woman", "a child", "a worker", "a hand gesture", "a family",
        "a part of the body", "a person who waves", "a portrait of a person",
    ),
    _domain(
        "faces",
        "a smiling face", "a face with tears", "an angry face", "a sad face with an open mouth",
        "a face with hearts for eyes", "a cat face with a grin",
    ),
    _domain(
        "food",
        "food", "a drink", "a fruit", "a vegetable", "a cake", "a meal on a plate", "bread",
        "meat", "sweets", "a cup of coffee",
    ),
    _domain(
        "vehicles",
        "a vehicle", "a car", "a train", "an aeroplane", "a ship", "a bicycle", "a truck",
        "a spaceship",
    ),
    _domain(
        "sports",
        "a sport", "a ball", "a game", "a medal", "a person playing a sport", "playing cards",
    ),
    _domain(
        "symbols",
        "a symbol", "a road sign", "an arrow", "a flag", "a letter of the alphabet", "a number",
        "a heart", "a sign of the zodiac", "an icon of a computer program", "a logo",
    ),
)  # fmt: skip
"""The default list."""


@dataclass(frozen=True, kw_only=True)
class DomainSettings:
    """How rows are sorted.

    Attributes:
        domains: The list, with different names.
        min_share: Least share that the best domain has of all, in [0, 1], after a softmax over
            domains; below it a row is "other".
        min_lead: Least lead of its share over the second's, in [0, 1]; below it is a tie.

    Raises:
        ClusterError: Names come twice, there are fewer than two, or a number is out of range.
    """

    domains: tuple[Domain, ...] = DOMAINS
    min_share: float = 0.25
    min_lead: float = 0.05

    def __post_init__(self) -> None:
        names = [one.name for one in self.domains]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ClusterError(f"domains {names} must be at least two, each named differently")
        for name in ("min_share", "min_lead"):
            if not 0 <= getattr(self, name) <= 1:
                raise ClusterError(f"domains: {name}={getattr(self, name)} must be from 0 to 1")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sorted:
    """The domains of a part's rows.

    Attributes:
        names: One a row; "other" where none is sure.
        shares: (N,) float32, of the best domain.
        counts: Domain -> rows, all domains and "other".
    """

    names: tuple[str, ...]
    shares: np.ndarray
    counts: dict[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompts:
    """The vectors of the texts of all domains.

    Attributes:
        vectors: (P, D) float32, of length 1.
        owners: (P,) which domain a text is of.
        scale: By which cosines are multiplied before the softmax.
    """

    vectors: np.ndarray
    owners: np.ndarray
    scale: float


def prompts_of(settings: DomainSettings, words: WordEncoder, scale: float) -> Prompts:
    """Embeds the texts of all domains.

    Args:
        settings: With the domains.
        words: The text side of the image encoder, or what embeds captions.
        scale: `PretrainedWords.scale`, or `CAPTION_SCALE`.
    """
    texts = [text for one in settings.domains for text in one.prompts]
    owners = [index for index, one in enumerate(settings.domains) for _ in one.prompts]
    return Prompts(vectors=words(texts), owners=np.array(owners), scale=scale)


def sort_part(vectors: np.ndarray, prompts: Prompts, settings: DomainSettings) -> Sorted:
    """The domains of rows, by vectors that can be compared with those of the prompts.

    Args:
        vectors: (N, D) of pictures or of captions, of length 1.
        prompts: Of the same settings.
        settings: What is sure enough.
    """
    shares = domain_shares(vectors, prompts, len(settings.domains))
    best = shares.argmax(axis=1)
    ordered = np.sort(shares, axis=1)
    lead = ordered[:, -1] - ordered[:, -2]
    sure = (ordered[:, -1] >= settings.min_share) & (lead >= settings.min_lead) & (lead > 0)
    names = tuple(
        settings.domains[index].name if fine else OTHER
        for index, fine in zip(best.tolist(), sure.tolist(), strict=True)
    )
    found = Counter(names)
    counts = {name: found[name] for name in (*(one.name for one in settings.domains), OTHER)}
    return Sorted(names=names, shares=ordered[:, -1].astype(np.float32), counts=counts)


def domain_shares(vectors: np.ndarray, prompts: Prompts, domains: int) -> np.ndarray:
    """(N, domains) float64 shares that sum to 1: a softmax over each domain's nearest text."""
    cosines = vectors.astype(np.float32) @ prompts.vectors.T
    nearest = np.stack(
        [cosines[:, prompts.owners == index].max(axis=1) for index in range(domains)], axis=1
    ).astype(np.float64)
    powers = np.exp(prompts.scale * (nearest - nearest.max(axis=1, keepdims=True)))
    return powers / powers.sum(axis=1, keepdims=True)
