"""The truth judge on our own drawings, which need no artwork: known answers, and its parts."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from instruct_imagen.data.example import Background, Picture, Placement, Scene
from instruct_imagen.data.tasks.edits import edit_example, recolouring
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.data.world.variety import Variety
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.case import Case, EvaluationError
from instruct_imagen.evaluation.judges.probes import network
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.judges.truth import TruthJudge
from instruct_imagen.evaluation.suites.world_cases import world_case
from instruct_imagen.evaluation.violations import edit_of

TASKS = (
    "text_to_image", "depth_to_image", "mask_to_image", "edge_to_image", "sketch_to_image",
    "styled", "subject", "style_transfer", "style_subject", "multi_subject", "control_subject",
    "control_style", "many_conditions", "instruction_edit", "masked_edit", "reference_edit",
    "reproduce",
)  # fmt: skip
WORLD = Vocabulary(fallback_vocabulary().pairs, Variety(most_assets=2, turned=0))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    """The network is small: threads would cost more than they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gallery of our own drawings is made here, and not left in the user's cache."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setattr(
        "instruct_imagen.evaluation.judges.probes.gallery.cache_folder", lambda: folder
    )


def case_of(task: str, index: int, size: int = 32) -> Case:
    """A case of the little world."""
    example = all_tasks()[task]().example(scene_rng(5, index), WORLD)
    return world_case(example, fallback_atlas(), size, id=f"{task}/{index}", group=task, seed=0)


def drawn(scene: Scene, size: int = 32) -> np.ndarray:
    """A scene as an image."""
    pixels = render_pictures([Picture(scene=scene)], fallback_atlas(), size)[0]
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


def values(case: Case, image: np.ndarray) -> dict[str, float]:
    """Score of each condition."""
    (verdict,) = TruthJudge().judge([case], [image])
    assert [score.condition for score in verdict.scores] == [one.name for one in case.conditions]
    return {score.condition: score.value for score in verdict.scores}


def scene_of(case: Case) -> Scene:
    """Of its target."""
    assert case.example is not None
    target = case.example.target
    assert isinstance(target, Picture)
    return target.scene


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("size", [32, 64])
def test_right_answers_meet_every_condition(task: str, size: int) -> None:
    cases = [case_of(task, index, size) for index in range(3)]
    for case in cases:
        assert case.target is not None
        assert set(values(case, case.target).values()) == {1.0}, case.id


@pytest.mark.parametrize("task", TASKS)
def test_answers_of_other_cases_do_not(task: str) -> None:
    cases = [case_of(task, index) for index in range(6)]
    images = [case.target for case in (*cases[1:], cases[0])]
    verdicts = TruthJudge().judge(cases, images)
    # In a world of eight drawings, some cases of a task are nearly the same.
    assert np.mean([verdict.sc for verdict in verdicts]) <= 0.25


def swapped(case: Case, rng: np.random.Generator) -> Scene:
    """With another concept in place of the first asset's."""
    scene = scene_of(case)
    first, *rest = scene.placements
    others = [one for one in WORLD.concepts_of(first.style) if one != first.concept]
    concept = others[int(rng.random() * len(others))]
    return replace(scene, placements=(replace(first, concept=concept), *rest))


def elsewhere(case: Case, _: np.random.Generator) -> Scene:
    """With the first asset at the other side."""
    scene = scene_of(case)
    first, *rest = scene.placements
    moved = replace(first, x=0.2 if first.x > 0.5 else 0.8, scale=min(first.scale, 0.4))
    return replace(scene, placements=(moved, *rest))


def restyled(case: Case, _: np.random.Generator) -> Scene:
    """In the other style."""
    scene = scene_of(case)
    other = {"flat": "outline", "outline": "flat"}
    placements = tuple(replace(one, style=other[one.style], tint="") for one in scene.placements)
    return replace(scene, placements=placements)


def before_other(case: Case, _: np.random.Generator) -> Scene:
    """On another background."""
    scene = scene_of(case)
    colour = "pink" if "pink" not in scene.background.colours else "green"
    return replace(scene, background=Background(kind="plain", colours=(colour,)))


@pytest.mark.parametrize(
    ("task", "condition", "violation"),
    [
        ("text_to_image", "text", swapped),
        ("text_to_image", "text", before_other),
        ("mask_to_image", "mask", elsewhere),
        ("depth_to_image", "depth", elsewhere),
        ("edge_to_image", "edge", elsewhere),
        ("sketch_to_image", "sketch", elsewhere),
        ("mask_to_image", "text", swapped),
        ("styled", "style", restyled),
        ("styled", "text", before_other),
        ("subject", "subject", swapped),
        ("style_transfer", "style", restyled),
        ("style_transfer", "content", before_other),
        ("control_style", "style", restyled),
        ("masked_edit", "source", before_other),
        ("instruction_edit", "edit", before_other),
    ],
)
def test_the_violated_condition_is_the_lowest(
    task: str, condition: str, violation: Callable[[Case, np.random.Generator], Scene]
) -> None:
    rng, named, judged = scene_rng(9, 0), 0, 0
    for index in range(8):
        case = case_of(task, index)
        scene = scene_of(case)
        if violation is before_other and condition == "edit":
            # Of an edit, the answer without it.
            assert case.example is not None
            pictures = [one.picture for one in case.example.references if one.role == "source"]
            assert isinstance(pictures[0], Picture)
            image = drawn(pictures[0].scene)
        elif violation is swapped and condition == "subject" and len(scene.placements) > 1:
            continue  # the first asset need not be the subject
        else:
            image = drawn(violation(case, rng))
        found = values(case, image)
        judged += 1
        named += found[condition] < 1 and found[condition] == min(found.values())
    assert judged >= 4
    assert named >= judged - 1, f"{named} of {judged}"


def test_a_case_without_ground_truth_is_refused() -> None:
    case = replace(case_of("subject", 0), example=None)
    with pytest.raises(EvaluationError, match="no ground truth"):
        TruthJudge().judge([case], [np.zeros((32, 32, 3), np.uint8)])


def test_it_is_found_by_name_and_its_scores_have_a_fingerprint() -> None:
    judge = open_judge("truth")
    assert isinstance(judge, TruthJudge)
    assert len(judge.fingerprint) == 16
    assert judge.fingerprint == TruthJudge().fingerprint


def test_quality_comes_from_what_measures_it() -> None:
    case = case_of("subject", 0)

    class Dull:
        fingerprint = "dull"

        def score(self, images):
            return [(0.5, "dull", {"colours": 2.0})] * len(images)

    judge = TruthJudge(Dull())
    (verdict,) = judge.judge([case], [case.target])
    assert (verdict.pq, verdict.pq_reason, verdict.sc) == (0.5, "dull", 1.0)
    assert verdict.overall == pytest.approx(0.5**0.5)
    assert judge.fingerprint != TruthJudge().fingerprint


def test_quality_is_measured_where_nothing_else_is_named() -> None:
    case = case_of("subject", 0)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    right, wrong = TruthJudge().judge([case, case], [case.target, noise])
    assert (right.pq, wrong.pq) == (1.0, 0.0)


def test_images_of_any_size_and_shape_are_judged() -> None:
    case = case_of("mask_to_image", 1, 128)
    assert case.target is not None
    assert set(values(case, case.target).values()) == {1.0}
    wide = np.full((40, 80, 3), 128, np.uint8)
    assert min(values(case, wide).values()) == 0.0


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "efficientnet_lite_pytorch":
            raise ImportError(name)
        return real(name, *rest, **more)

    network.load_probes.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EvaluationError, match=r"pip install 'instruct-imagen\[evaluation\]'"):
        network.load_probes()


def test_reasons_name_what_is_wrong() -> None:
    asset = Placement(concept="ball", style="flat", x=0.5, y=0.5, scale=0.8)
    case = next(
        one
        for one in (case_of("text_to_image", index) for index in range(60))
        if len(scene_of(one).placements) == 1 and scene_of(one).placements[0].concept != "ball"
    )
    name = scene_of(case).placements[0].concept.replace("-", " ")
    other = Scene(background=scene_of(case).background, placements=(asset,))
    (verdict,) = TruthJudge().judge([case], [drawn(other)])
    assert name in verdict.scores[0].reason
    assert verdict.scores[0].measures


def edits_of(kind: str, task: str = "instruction_edit") -> Iterator[Case]:
    """Edits of a kind in the little world."""
    for index in range(200):
        case = case_of(task, index)
        assert case.example is not None
        if edit_of(case.example).kind == kind:
            yield case


@pytest.mark.parametrize("kind", ["tint", "move", "mirror"])
def test_another_thing_is_no_answer_to_an_edit_of_a_thing(kind: str) -> None:
    found = []
    for case, _ in zip(edits_of(kind), range(4), strict=False):
        assert case.example is not None and case.target is not None
        scene, new = scene_of(case), edit_of(case.example).new
        assert new is not None
        others = {"ball", "house", "star", "tree"} - {one.concept for one in scene.placements}
        placements = tuple(
            replace(one, concept=min(others & set(WORLD.concepts_of(one.style))))
            if one == new
            else one
            for one in scene.placements
        )
        assert set(values(case, case.target).values()) == {1.0}
        found.append(values(case, drawn(replace(scene, placements=placements)))["edit"])
    assert len(found) >= 2
    assert max(found) < 1 and np.mean(found) <= 0.25, found


def test_things_have_to_stay_before_a_new_background() -> None:
    edits = [case for case, _ in zip(edits_of("background"), range(4), strict=False)]
    assert edits
    for case in edits:
        assert case.target is not None
        assert set(values(case, case.target).values()) == {1.0}
        gone = drawn(replace(scene_of(case), placements=()))
        assert values(case, gone)["source"] == 0.0


def test_a_small_thing_has_to_stay_too() -> None:
    small = Placement(concept="star", style="flat", x=0.5, y=0.5, scale=0.2)
    source = Scene(background=Background(kind="plain", colours=("blue",)), placements=(small,))
    edit = recolouring(source, Background(kind="plain", colours=("pink",)))
    example = edit_example(
        scene_rng(1, 0), "instruction_edit", edit, "Make the background of [ref#1] pink."
    )
    case = world_case(example, fallback_atlas(), 32, id="small/0", group="small", seed=0)
    assert case.target is not None
    assert set(values(case, case.target).values()) == {1.0}
    assert values(case, drawn(replace(edit.target, placements=())))["source"] < 1


def test_what_no_background_explains_is_no_background() -> None:
    cases = [case for case, _ in zip(edits_of("background"), range(3), strict=False)]
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for case in cases:
        assert values(case, noise)["edit"] == 0.0


def test_scrambled_pixels_in_the_right_outline_do_not_stay() -> None:
    rng, found = np.random.default_rng(0), []
    for case, _ in zip(edits_of("background"), range(4), strict=False):
        assert case.target is not None
        image = case.target.copy()
        bare = drawn(replace(scene_of(case), placements=()))
        seen = (image != bare).any(2)
        image[seen] = image[seen][rng.permutation(int(seen.sum()))]
        if np.abs(image.astype(int) - case.target).mean(2)[seen].mean() > 40:
            found.append(values(case, image)["source"])
    assert found and max(found) < 1
