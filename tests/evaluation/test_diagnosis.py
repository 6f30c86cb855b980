"""Dropped, swapped and exchanged references, on models whose use of them is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.evaluation.diagnosis import (
    OTHER_SEED,
    DiagnosisSuite,
    findings,
    shown,
    variants,
    without_reference,
)
from instruct_imagen.evaluation.runner import Job, run_suite
from instruct_imagen.images import load_image, to_square
from instruct_imagen.instruction import Instruction, Reference
from tests.evaluation.small import Painter, SmallSuite

RED, BLUE, GREEN = (np.full((8, 8, 3), colour, np.uint8) for colour in
                    ((200, 0, 0), (0, 0, 200), (0, 200, 0)))  # fmt: skip


def two(text: str) -> Instruction:
    return Instruction(
        text, (Reference(1, RED, "dog", "subject"), Reference(2, BLUE, "style image", "style"))
    )


@pytest.mark.parametrize(
    ("text", "marker", "left"),
    [
        ("Draw the [ref#1] dog in the style of [ref#2]: a dog.", 2, "Draw the [ref#1] dog: a dog."),
        (
            "Draw the [ref#1] dog in the style of [ref#2].",
            1,
            "Draw the dog in the style of [ref#2].",
        ),
        ("Draw [ref#1] dog like [ref#2], please.", 2, "Draw [ref#1] dog, please."),
        (
            "[ref#2] sets the style. Draw the [ref#1] dog.",
            2,
            "sets the style. Draw the [ref#1] dog.",
        ),
        ("[ref#1] and [ref#2]: both.", 2, "[ref#1]: both."),
    ],
)
def test_a_marker_leaves_with_what_hangs_on_it(text, marker, left):
    found = without_reference(two(text), marker)
    assert found.text == left
    assert [reference.marker for reference in found.references] == [3 - marker]


def test_nothing_is_left_of_a_marker_alone():
    alone = Instruction("[ref#1].", (Reference(1, RED, "dog"),))
    assert without_reference(alone, 1) is None


def test_variants_change_one_thing_each():
    cases = [case for case in SmallSuite(each=3).cases(16) if case.group == "style_subject"]
    found = variants(cases[0], cases[1:])
    markers = sorted({one.marker for one in cases[0].instruction.references})
    assert list(found) == [
        "base", "seed", *(f"{k} {m}" for m in markers for k in ("drop", "swap")),
        f"exchange {markers[0]} {markers[1]}",
    ]  # fmt: skip
    assert found["seed"].seed == cases[0].seed + OTHER_SEED
    for name, case in found.items():
        assert case.id == f"{cases[0].id}~{name.replace(' ', '-')}"
        assert name == "seed" or case.seed == cases[0].seed
        if name.startswith(("swap", "exchange")):
            assert case.instruction.text == cases[0].instruction.text
            assert case.instruction != cases[0].instruction
    roles = {one.marker: one.role for one in cases[0].instruction.references}
    swapped = found[f"swap {markers[0]}"].instruction.references
    changed = [
        new.marker
        for new, old in zip(swapped, cases[0].instruction.references, strict=True)
        if new != old
    ]
    assert set(changed) == {markers[0]}
    assert [one.role for one in swapped] == [roles[one.marker] for one in swapped]


def test_a_swap_asks_for_something_else():
    """Another image in the same style would change nothing, and the style seem ignored."""
    cases = SmallSuite(each=24, groups=("styled",)).cases(16)
    first = cases[0]
    same = next(c for c in cases[1:] if shown(c, 1) == shown(first, 1))
    other = next(c for c in cases[1:] if shown(c, 1) != shown(first, 1))
    assert len(shown(first, 1)) == 1 and same.instruction != first.instruction
    for others in ((same, other), (other, same)):
        swapped = variants(first, others)["swap 1"].instruction.references[0]
        assert swapped.image is other.instruction.references[0].image
    # Where nothing is known, and where there is nothing else, the next image has to do.
    unknown = replace(same, example=None)
    for case, others in (
        (replace(first, example=None), (unknown, other)),
        (replace(first, example=None), (same, other)),
        (first, (unknown, same)),
        (first, (same, unknown)),
    ):
        swapped = variants(case, others)["swap 1"].instruction.references[0]
        assert swapped.image is others[0].instruction.references[0].image
    # What is known to be something else comes before what may be.
    swapped = variants(first, (unknown, other))["swap 1"].instruction.references[0]
    assert swapped.image is other.instruction.references[0].image


class Blind(Painter):
    """Sees words alone."""

    def generate(self, instruction, *, seed):
        return super().generate(Instruction("nothing"), seed=seed)


class FirstSeen(Painter):
    """Copies the first reference."""

    def generate(self, instruction, *, seed):
        shown = super().generate(instruction, seed=seed)
        if instruction.references:
            first = load_image(instruction.references[0].image)
            shown = Image.blend(shown, to_square(first, self.size), 0.95)
        return shown


def found_by(tmp_path, model, groups):
    suite = DiagnosisSuite(SmallSuite(each=3, groups=groups), 3)
    job = Job(suite=lambda: suite, model=model, judges=(), spec="x", purpose="diagnosis")
    assert run_suite(tmp_path, job) == 0
    return {one.role: one for one in findings(tmp_path, suite.cases(16))}


def test_a_model_that_is_blind_ignores_and_confuses_every_reference(tmp_path):
    for role in found_by(tmp_path, Blind, ("style_subject",)).values():
        assert role.references >= 3
        assert role.dropped == [0] * len(role.dropped)
        assert all(role.ignored)
        assert not any(role.copied)
        assert role.confused
        assert all(role.confused)


def test_a_model_that_copies_is_caught(tmp_path):
    (role,) = found_by(tmp_path, FirstSeen, ("edge_to_image",)).values()
    assert role.role == "edge"
    assert not any(role.ignored)
    assert all(role.copied)
    assert min(role.swapped) > 1
    plain = role.as_dict()
    assert (plain["copied"], plain["ignored"], plain["confused"]) == (1, 0, None)


def test_the_suite_counts_what_it_has_and_is_named_by_its_sample():
    suite = SmallSuite()
    few, more = DiagnosisSuite(suite, 1), DiagnosisSuite(suite, 2)
    assert few.sha256 != more.sha256 != suite.sha256
    assert "text_to_image" not in more.groups  # no reference, nothing to try
    assert sum(more.groups.values()) == len(more.cases(16)) == len(more.cases(24))
    ids = [case.id for case in more.cases(16)]
    assert len(set(ids)) == len(ids)
