from __future__ import annotations

import pytest

from instruct_imagen.data.clusters.by_concept import Cluster, cluster, cluster_examples
from instruct_imagen.data.example import Picture
from instruct_imagen.data.world.scenes import STYLE_NAMES, caption_name, sample_scene, scene_rng
from instruct_imagen.data.world.sources import STYLES
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.recipes.config import TARGETS

COUNT = 300
RICH = Vocabulary(tuple((concept, style) for concept in ("dog", "owl", "taxi") for style in STYLES))
POOR = Vocabulary((("dog", "twemoji"), ("dog", "fxemoji"), ("owl", "twemoji"), ("owl", "fxemoji")))


def style_of(picture: Picture) -> str:
    return picture.scene.placements[0].style


@pytest.mark.parametrize("vocabulary", [RICH, POOR])
def test_five_related_pairs_without_duplicates(vocabulary: Vocabulary) -> None:
    for index in range(COUNT):
        drawn = cluster(scene_rng(0, index), vocabulary)
        assert len(drawn.pairs) == 5
        looks = {(style_of(picture), picture.scene.background) for picture, _ in drawn.pairs}
        assert len(looks) == 5
        styles = {style_of(picture) for picture, _ in drawn.pairs}
        assert len(styles) == min(5, len(vocabulary.styles_of(drawn.concept)))
        for picture, words in drawn.pairs:
            assert drawn.concept in {placed.concept for placed in picture.scene.placements}
            assert caption_name(drawn.concept) in words
            named = {style for style, name in STYLE_NAMES.items() if f", {name}" in words}
            assert named <= {style_of(picture)}


def test_same_generator_same_cluster() -> None:
    assert cluster(scene_rng(1, 2), RICH) == cluster(scene_rng(1, 2), RICH)
    assert cluster(scene_rng(1, 2), RICH) != cluster(scene_rng(1, 3), RICH)


def test_example_has_one_target_and_three_others_as_context() -> None:
    for index in range(COUNT):
        drawn = cluster(scene_rng(0, index), RICH)
        example = cluster_examples(scene_rng(0, index), RICH)[0]
        pairs = set(drawn.pairs)
        assert example.task == "retrieval"
        assert [reference.marker for reference in example.references] == [1, 2, 3]
        assert "[ref#" not in example.text
        used = {(example.target, example.text)}
        used |= {(reference.picture, reference.text) for reference in example.references}
        assert len(used) == 4
        assert used <= pairs


def test_all_five_pairs_of_a_cluster_are_used_by_its_two_examples() -> None:
    for index in range(COUNT):
        drawn = cluster(scene_rng(0, index), RICH)
        examples = cluster_examples(scene_rng(0, index), RICH)
        assert len(examples) == TARGETS
        assert examples[0].references == examples[1].references
        used = {(example.target, example.text) for example in examples}
        used |= {(reference.picture, reference.text) for reference in examples[0].references}
        assert used == set(drawn.pairs)


def test_each_pair_becomes_the_target_equally_often() -> None:
    places = [0] * 5
    for index in range(1000):
        targets = [picture for picture, _ in cluster(scene_rng(0, index), RICH).pairs]
        places[targets.index(cluster_examples(scene_rng(0, index), RICH)[0].target)] += 1
    assert all(abs(count - 200) < 50 for count in places)


def test_smaller_clusters_are_refused() -> None:
    scene = sample_scene(scene_rng(0, 0), RICH)
    with pytest.raises(ValueError, match="a cluster has 5 pairs, not 4; drop smaller ones"):
        Cluster(concept="dog", pairs=((Picture(scene=scene), "a dog"),) * 4)
