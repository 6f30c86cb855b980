from __future__ import annotations

import numpy as np
import pytest

from instruct_imagen.data.tasks.base import (
    MIN_TEMPLATES,
    TemplateError,
    check_templates,
    fill,
    load_templates,
    pick,
    pick_other,
    placeholders,
    retry,
)

FORM = frozenset({"ref1", "caption"})
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
GOOD = tuple(
    f"Draw {{caption}} with {first} or {second} lines of {{ref1}}."
    for first in NUMBERS[:4]
    for second in NUMBERS[4:]
)


def test_good_templates_have_no_faults() -> None:
    assert check_templates(GOOD, [FORM]) == []


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("Draw {caption}.", "placeholders must be {caption} {ref1}"),
        ("Draw {caption} like {ref1} and {ref2}.", "placeholders must be"),
        ("Draw {caption} like {ref1}", "must end as a sentence does"),
        ("Draw {caption}  like {ref1}.", "stray spaces"),
        ("Draw {caption} like {ref1} or [ref#2].", "stray brace or marker"),
        ("Draw {caption} like {ref1} or {.", "stray brace or marker"),
        ("Draw {caption} like " + "very " * 40 + "{ref1}.", "words"),
        ('Draw "{caption} like {ref1}.', "quotation mark is not closed"),
        ("draw {caption} like {ref1}.", "'draw' opens a sentence"),
        ("{caption}, like {ref1}.", "'caption' opens a sentence"),
        ("Follow {ref1}. {caption}.", "'caption' opens a sentence"),
        ("Draw {Caption} like {ref1}.", "does not open a sentence"),
        ("Draw a edge of {ref1}: {caption}.", "wrong article"),
        ("Draw an mask of {ref1}: {caption}.", "wrong article"),
        ("Draw an unique {ref1}: {caption}.", "wrong article"),
        ("Draw a hourglass of {ref1}: {caption}.", "wrong article"),
        ("Draw the {caption} like {ref1}.", "article before a placeholder"),
        ("Draw a {caption} like {ref1}.", "article before a placeholder"),
        ("Draw {caption}. {edit}, like {ref1}.", "'edit' opens a sentence"),
        ("Draw {caption} like {ref1}, or the {source}.", "article before a placeholder"),
        ("Draw {caption} with one, or five, lines of {ref1}!", "says the same as"),
    ],
)
def test_each_fault_is_found(template: str, fault: str) -> None:
    faults = check_templates([*GOOD, template], [FORM])
    assert any(fault in found and template in found for found in faults), faults


def test_too_few_templates_are_a_fault() -> None:
    assert check_templates(GOOD[: MIN_TEMPLATES - 1], [FORM]) == [
        f"{MIN_TEMPLATES - 1} templates; write at least {MIN_TEMPLATES}"
    ]


def test_missing_file_names_the_cure() -> None:
    with pytest.raises(TemplateError, match=r"templates/no_such_task\.txt is missing; write it"):
        load_templates("no_such_task", FORM)


def test_faulty_file_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"templates/styled\.txt: .*placeholders must be"):
        load_templates("styled", frozenset({"ref1"}))


def test_fill() -> None:
    assert placeholders("{Caption} like {ref1}") == FORM
    assert fill("{Caption}, like {ref1}.", caption="a dog", ref1="[ref#1]") == (
        "A dog, like [ref#1]."
    )
    # A caption with a comma inside is closed by one where the sentence goes on.
    assert fill("Draw {caption} now: {caption}.", caption="a dog, flat") == (
        "Draw a dog, flat, now: a dog, flat."
    )


def test_pick_is_uniform() -> None:
    rng = np.random.default_rng(0)
    counts = {option: 0 for option in "abc"}
    for _ in range(6000):
        counts[pick(rng, "abc")] += 1
    assert all(abs(count - 2000) < 200 for count in counts.values())


@pytest.mark.parametrize("size", [3, 100])
def test_pick_other_never_picks_the_excluded(size: int) -> None:
    rng = np.random.default_rng(0)
    found = {pick_other(rng, range(size), 0, 2) for _ in range(2000)}
    assert found == set(range(size)) - {0, 2}


def test_pick_other_without_a_choice() -> None:
    assert pick_other(np.random.default_rng(0), ("dog",), "dog") is None


def test_retry_gives_up_with_a_clear_error() -> None:
    with pytest.raises(ValueError, match=r"no owl in 200 draws; give the task a vocabulary"):
        retry(lambda: None, "owl")
