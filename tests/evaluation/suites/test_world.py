"""The committed suites: what is in them, and that they are what was frozen."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import numpy as np
import pytest

from instruct_imagen.data.mixture import PAPER_RATIOS, Mixture
from instruct_imagen.data.tasks.combinations import combination_of
from instruct_imagen.data.tasks.registry import all_tasks
from instruct_imagen.data.world.artwork.faces import HELD_OUT_PEOPLE, PEOPLE
from instruct_imagen.data.world.holdout import holdout
from instruct_imagen.data.world.sources import STYLES, WorldUnavailable
from instruct_imagen.data.world.vocabulary import Vocabulary
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites import vocabularies, world
from instruct_imagen.evaluation.suites.composition import EVERY_SUITE, SUITES
from instruct_imagen.evaluation.suites.drawing import SUITE_SEED, row_seed
from instruct_imagen.evaluation.suites.fidelity import differ
from instruct_imagen.evaluation.suites.storage import to_line
from instruct_imagen.evaluation.suites.vocabularies import VARIETY
from instruct_imagen.evaluation.suites.world_cases import conditions_of, sprites_of
from instruct_imagen.instruction import markers_in
from tests.data.people import people

PAPER = {
    "in_domain": {"text_to_image": 197, "depth_to_image": 100, "mask_to_image": 100,
                  "edge_to_image": 100, "styled": 120, "subject": 220, "face": 100,
                  "style_transfer": 455},
    "zero_shot": {"style_subject": 132, "multi_subject": 120, "control_subject": 99,
                  "control_style": 100},
}  # fmt: skip
COMBINATIONS = {
    "style_subject": "style+subject", "multi_subject": "multi-subject",
    "control_subject": "control+subject", "control_style": "control+style",
}  # fmt: skip


def members(name: str, group: str):
    return [one for one in world.world_suite(name).stored if one.group == group]


def concepts(case) -> set[str]:
    return {concept for concept, _ in sprites_of(case.example)}


def test_counts_are_those_of_the_paper():
    for name, groups in PAPER.items():
        assert world.world_suite(name).groups == groups
        assert dict(Counter(one.group for one in world.world_suite(name).stored)) == groups


@pytest.mark.parametrize("name", EVERY_SUITE)
def test_cases_are_distinct_and_whole(name):
    suite = world.world_suite(name)
    assert dict(Counter(one.group for one in suite.stored)) == dict(suite.groups)
    assert len({one.id for one in suite.stored}) == len(suite.stored)
    assert len({(o.example.text, o.example.target) for o in suite.stored}) == len(suite.stored)
    # Groups stand together, in the order of the table.
    assert list(dict.fromkeys(one.group for one in suite.stored)) == list(suite.groups)
    for one in suite.stored:
        markers = {reference.marker for reference in one.example.references}
        assert set(markers_in(one.example.text)) == markers
        assert conditions_of(one.example)
        assert 0 <= one.seed < 2**31


@pytest.mark.parametrize("name", EVERY_SUITE)
def test_only_the_unseen_has_what_training_never_shows(name):
    held = holdout()
    for one in world.world_suite(name).stored:
        styles = {style for _, style in sprites_of(one.example)}
        people = {int(c.split("-")[1]) for c in concepts(one) if c.startswith("person-0")
                  or c.startswith("person-1")}  # fmt: skip
        if one.unseen == "concept":
            assert concepts(one) <= held.concepts or people <= set(HELD_OUT_PEOPLE)
            assert held.style not in styles
        else:
            assert not concepts(one) & held.concepts
            assert people <= set(PEOPLE)
            assert (held.style in styles) == (one.unseen == "style")
        if one.unseen == "style":
            target = {asset.style for asset in one.example.target.scene.placements}
            assert target == {held.style}


def test_zero_shot_is_what_training_holds_out_and_in_domain_is_not():
    for one in world.world_suite("in_domain").stored:
        assert combination_of(one.example) is None
    for one in world.world_suite("zero_shot").stored:
        assert combination_of(one.example) == COMBINATIONS[one.group]
    for one in world.world_suite("many").stored:
        assert combination_of(one.example) == "triples"
    for one in world.world_suite("few_in_domain").stored:
        assert combination_of(one.example) is None
    for one in world.world_suite("few_zero_shot").stored:
        assert combination_of(one.example) == COMBINATIONS[one.group]


def test_many_conditions_have_as_many_references_as_their_group_says():
    for name, count in (("three", 3), ("four", 4), ("five", 5)):
        cases = members("many", f"{name}_conditions")
        assert len(cases) == 100
        for one in cases:
            assert len({reference.marker for reference in one.example.references}) == count


def test_the_same_twelve_prompts_in_each_of_ten_styles():
    cases = members("in_domain", "styled")
    prompts: dict[str, list] = {}
    for one in cases:
        prompts.setdefault(one.example.caption, []).append(one.example)
    assert len(prompts) == 12
    assert [one.example.caption for one in cases] == [words for words in prompts for _ in range(10)]
    for examples in prompts.values():
        styles = [one.target.scene.placements[0].style for one in examples]
        assert styles == [style for style in STYLES if style != holdout().style]
        assert len({one.target.scene.background for one in examples}) == 1
        places = {
            tuple(
                (a.concept, a.x, a.y, a.scale, a.flip, a.turn) for a in one.target.scene.placements
            )
            for one in examples
        }
        assert len(places) == 1
        assert len({one.references[0].picture for one in examples}) == 10
        for example, style in zip(examples, styles, strict=True):
            (shown,) = example.references[0].picture.scene.placements
            assert shown.style == style
            assert shown.concept not in {asset.concept for asset in example.target.scene.placements}


def test_words_alone_are_paired_with_the_same_prompt_and_its_references():
    suite = world.world_suite("text_fidelity")
    by_id = {one.id: one for one in suite.stored}
    for group in ("subject", "styled"):
        for one in members("text_fidelity", group):
            other = by_id[one.pair]
            assert other.group == f"{group}_without_references" and not other.pair
            assert other.seed == one.seed
            assert other.example.references == () and one.example.references
            assert other.example.text == other.example.caption == one.example.caption
            assert other.example.target == one.example.target
            wanted = one.example.target.scene.background
            for reference in one.example.references:
                assert differ(wanted, reference.picture.scene.background)


def test_edits_that_change_nothing_have_their_source_as_target_and_as_only_condition():
    cases = members("editing", "no_op")
    for one in cases:
        assert one.example.target == one.example.references[0].picture
        assert [c.name for c in conditions_of(one.example)] == ["source"]
    assert len({one.example.text for one in cases}) >= 25
    for one in members("editing", "masked_edit"):
        assert [c.kind for c in conditions_of(one.example)] == ["source", "edit"]


def test_suites_of_edits_are_of_200_masked_ones_and_share_none():
    assert world.world_suite("few_masked_edits").groups == {"masked_edit": 200}
    assert world.world_suite("masked_edits").groups == {"masked_edit": 200}
    assert world.world_suite("few_unmasked_edits").groups == {"instruction_edit": 100, "no_op": 50}
    for few, many in (("few_editing", "few_masked_edits"), ("editing", "masked_edits")):
        first, second = (
            {one.example.target for one in members(name, "masked_edit")} for name in (few, many)
        )
        assert not first & second
    assert world.world_suite("masked_edits").roles() == {frozenset({"source", "mask"})}
    editing = world.world_suite("editing")
    assert frozenset({"source"}) in editing.roles() - editing.roles(["masked_edit"])
    few = set(vocabularies.few_concepts().concepts)
    for name in ("few_masked_edits", "few_unmasked_edits"):
        assert set().union(*map(concepts, world.world_suite(name).stored)) <= few
    for one in members("few_unmasked_edits", "no_op"):
        assert one.example.target == one.example.references[0].picture


def test_no_training_seed_reaches_those_of_the_suites():
    seeds = [row_seed(name, n) for name, rows in EVERY_SUITE.items() for n in range(len(rows))]
    assert len(set(seeds)) == len(seeds)
    # A training draws its stages with 16 · seed + stage; sheets with CASE_SEED + less than 2³².
    assert min(seeds) == SUITE_SEED > 16 * (2**36 - 1) + 15


def test_a_default_training_does_not_draw_their_targets():
    targets = {one.example.target for name in EVERY_SUITE for one in world.world_suite(name).stored}
    mixture = Mixture(all_tasks(), PAPER_RATIOS, _some_words(), 4)
    assert not targets & {one.target for one in mixture.examples(0, 400)}


def _some_words() -> Vocabulary:
    """The pairs of the suites themselves: what is most likely to be drawn again."""
    sprites = world.world_suite("zero_shot").sprites
    return Vocabulary(tuple(sorted(sprites)), VARIETY, people())


def test_cases_are_rendered_when_they_are_asked_for_and_look_right():
    cases = world.world_suite("many").cases(32)
    assert len(cases) == 300
    case, stored = cases[-1], world.world_suite("many").stored[-1]
    assert (case.id, case.group, case.seed) == (stored.id, "five_conditions", stored.seed)
    assert case.target.shape == (32, 32, 3) and case.target.dtype == np.uint8
    assert case.references == 5 and len(case.conditions) == 6
    some = cases[10:12]
    assert len(some) == 2 and some[1].id == cases[11].id
    assert np.array_equal(some[1].target, cases[11].target)
    assert some.atlas is cases.atlas
    with pytest.raises(IndexError):
        cases[300]


def test_the_atlas_is_as_fine_as_the_pictures_and_has_no_other_sprite():
    suite = world.world_suite("text_fidelity")
    few = world.WorldCases(suite.stored[:2], 100)
    assert few.atlas.side == 128
    assert set(few.atlas.pairs) == set(world.sprites_of_all(suite.stored[:2]))
    with pytest.raises(EvaluationError, match="size=0"):
        suite.cases(0)


def test_without_artwork_a_suite_says_so_in_one_line(monkeypatch):
    def missing(*_, **__):
        raise WorldUnavailable("no Node.js: install it")

    monkeypatch.setattr(world.Atlas, "build", missing)
    with pytest.raises(EvaluationError, match=r"^many cannot be rendered: no Node.js: install it$"):
        world.world_suite("many").cases(32)


def test_all_is_every_suite_with_the_names_before_the_cases():
    suite = world.world_suite(world.ALL)
    assert len(suite.stored) == sum(len(world.world_suite(name).stored) for name in SUITES)
    assert suite.groups["in_domain/styled"] == 120
    ids = {one.id for one in suite.stored}
    assert len(ids) == len(suite.stored)
    assert all(one.pair in ids for one in suite.stored if one.pair)
    assert {one.id.split("/")[0] for one in suite.stored} == set(SUITES)


def _copied(folder):
    for name in (world.MANIFEST, "editing.jsonl.gz"):
        (folder / name).write_bytes((world.frozen_folder() / name).read_bytes())
    return json.loads((folder / world.MANIFEST).read_text())


def test_a_changed_suite_is_refused_in_one_line(tmp_path):
    manifest = _copied(tmp_path)
    assert len(world.read_suite(tmp_path, manifest, "editing").stored) == 250
    path = tmp_path / "editing.jsonl.gz"
    lines = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(lines.replace(b"no_op/0003", b"no_op/9003", 1)))
    with pytest.raises(EvaluationError, match=r"^[^\n]*editing.jsonl.gz has been changed[^\n]*$"):
        world.read_suite(tmp_path, manifest, "editing")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EvaluationError, match="cannot be read"):
        world.read_suite(tmp_path, manifest, "editing")
    path.unlink()
    with pytest.raises(EvaluationError, match="cannot be read"):
        world.read_suite(tmp_path, manifest, "editing")


def test_a_changed_manifest_is_refused(tmp_path, monkeypatch):
    manifest = _copied(tmp_path)
    manifest["suites"]["editing"]["sha256"] = "0" * 64
    (tmp_path / world.MANIFEST).write_text(json.dumps(manifest))
    monkeypatch.setattr(world, "frozen_folder", lambda version=1: tmp_path)
    world.frozen_manifest.cache_clear()
    try:
        with pytest.raises(EvaluationError, match="has been changed: restore"):
            world.frozen_manifest()
    finally:
        world.frozen_manifest.cache_clear()


def test_a_suite_of_another_name_is_refused():
    with pytest.raises(EvaluationError, match="unknown suite 'in-domain': use one of in_domain"):
        world.world_suite("in-domain")


def test_files_are_small_and_lines_are_what_storage_writes():
    sizes = [len(path.read_bytes()) for path in world.frozen_folder().iterdir()]
    assert sum(sizes) < 1_000_000
    suite = world.world_suite("editing")
    lines = gzip.decompress((world.frozen_folder() / "editing.jsonl.gz").read_bytes()).decode()
    assert lines.splitlines() == [to_line(one) for one in suite.stored]
