"""No task mirrors what says a side: neither in its target nor in a reference."""

from __future__ import annotations

import pytest

from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.faces import FaceTask
from instruct_imagen.data.world.nouns import takes_flip, takes_turn
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary

COUNT = 60
THINGS = sorted(name for name, task in all_tasks().items() if not issubclass(task, FaceTask))


@pytest.fixture(scope="module")
def half_sided(training_world: Vocabulary) -> Vocabulary:
    """A third of its concepts say a side in their names."""
    sided = [concept for concept in training_world.concepts if not takes_flip(concept)]
    others = [concept for concept in training_world.concepts if takes_flip(concept)]
    chosen = {*sided, *others[:: len(others) // (2 * len(sided))]}
    pairs = tuple(pair for pair in training_world.pairs if pair[0] in chosen)
    return Vocabulary(pairs, Variety(turned=0.5))


@pytest.mark.parametrize("task", THINGS)
def test_no_task_mirrors_what_says_a_side(task: str, half_sided: Vocabulary) -> None:
    made, mirrored = all_tasks()[task](), 0
    seen = set()
    for index in range(COUNT):
        example = made.example(scene_rng(71, index), half_sided)
        for picture in (example.target, *(one.picture for one in example.references)):
            for asset in picture.scene.placements:
                seen.add(takes_flip(asset.concept))
                mirrored += asset.flip
                assert takes_flip(asset.concept) or not asset.flip, asset
                assert takes_turn(asset.concept) or not asset.turn, asset
    assert seen == {True, False}
    assert mirrored > 5
