"""Clusters from the starter world's own concept names.

The paper cuts its clusters from a web corpus by the similarity of image embeddings ([Hu24] §3.2,
A.2.2). The world knows what its pictures show, so here a cluster is five pictures of one concept,
in different styles and scenes: related, and never near-duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from instruct_imagen.data.example import Example, ExampleReference, Picture, Scene
from instruct_imagen.data.tasks.base import pick
from instruct_imagen.data.world.scenes import caption, sample_others, sample_scene

if TYPE_CHECKING:
    import numpy as np

    from instruct_imagen.data.world.vocabulary import Vocabulary

CLUSTER_SIZE = 5
CONTEXT_SIZE = 3
STYLE_IN_CAPTION = 0.8
TASK_NAME = "retrieval"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Five related pairs of a picture and its caption.

    Attributes:
        concept: What all five show.
        pairs: (picture, caption); no two share both style and background.

    Raises:
        ValueError: There are not exactly five pairs.
    """

    concept: str
    pairs: tuple[tuple[Picture, str], ...]

    def __post_init__(self) -> None:
        if len(self.pairs) != CLUSTER_SIZE:
            raise ValueError(
                f"a cluster has {CLUSTER_SIZE} pairs, not {len(self.pairs)}; drop smaller ones"
            )


def cluster(rng: np.random.Generator, vocabulary: Vocabulary) -> Cluster:
    """Draw a cluster of a concept of `vocabulary`.

    The styles are as many different ones as the concept has, up to five; where a style comes
    again, the background differs.
    """
    concept = pick(rng, vocabulary.concepts)
    styles = _shuffled(rng, vocabulary.styles_of(concept))
    scenes: list[Scene] = []
    seen = set()
    for place in range(CLUSTER_SIZE):
        style = styles[place % len(styles)]
        scene = _scene(rng, vocabulary, concept, style)
        while (style, scene.background) in seen:
            scene = _scene(rng, vocabulary, concept, style)
        seen.add((style, scene.background))
        scenes.append(scene)
    return Cluster(
        concept=concept,
        pairs=tuple(
            (
                Picture(scene=scene),
                caption(scene, rng, with_style=rng.random() < STYLE_IN_CAPTION),
            )
            for scene in scenes
        ),
    )


def cluster_examples(rng: np.random.Generator, vocabulary: Vocabulary) -> tuple[Example, ...]:
    """Draw a cluster's stage-1 examples: three pairs are the context of each of the two others.

    Either is text and target of an example. The markers 1 to 3 tell the references apart; the
    text, a plain caption, mentions none.
    """
    drawn = cluster(rng, vocabulary)
    first, *others = _shuffled(rng, drawn.pairs)
    context, targets = others[:CONTEXT_SIZE], (first, *others[CONTEXT_SIZE:])
    references = tuple(
        ExampleReference(marker=k, text=words, role=None, picture=picture)
        for k, (picture, words) in enumerate(context, start=1)
    )
    return tuple(
        Example(task=TASK_NAME, text=text, caption=text, references=references, target=target)
        for target, text in targets
    )


def _scene(rng: np.random.Generator, vocabulary: Vocabulary, concept: str, style: str) -> Scene:
    """A scene with the concept, sometimes among others of the same style."""
    asset = (concept, style)
    return sample_scene(rng, vocabulary, assets=[asset, *sample_others(rng, vocabulary, asset)])


def _shuffled(rng: np.random.Generator, items: tuple) -> list:
    """The items in random order; for a handful, much cheaper than `rng.permutation`."""
    keys = rng.random(len(items)).tolist()
    return [item for _, _, item in sorted(zip(keys, range(len(items)), items, strict=True))]
