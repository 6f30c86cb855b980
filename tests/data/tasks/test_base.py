from __future__ import annotations

import numpy as np
import pytest

from instruct_imagen.data.tasks.base import (
    MIN_TEMPLATES,
    TemplateError,
    check_templates,
    fill,
    load_templates,
    opens_sentence,
    pick,
    pick_other,
    placeholders,
    retry,
)

FORM = frozenset({"ref1", "caption"})
SCENE = frozenset({"scene"})
PAIR = frozenset({"content", "style"})

# Where the caption stands, and how long the template is; two numbers tell the copies apart.
EARLY_SHORT = "{Caption}, %d or %d of {ref1}."
EARLY = "{Caption}, with %d lines and %d colours like {ref1}."
MIDDLE = "With %d lines, draw {caption} after %d looks at {ref1}."
LATE = "With %d or %d lines of {ref1}, draw {caption}."
LATE_LONG = "Take %d or %d of the lines that you can find in {ref1}, and draw with them {caption}."
CONTENT_STYLE = "{content}, %d or %d, {style}."
STYLE_CONTENT = (
    "Take %d or %d of the lines of {style}, and draw with them what you see in {content}."
)


def lines(*shapes: tuple[str, int]) -> list[str]:
    """That many templates of each shape."""
    every = [shape for shape, count in shapes for _ in range(count)]
    return [shape % (number, number + 1000) for number, shape in enumerate(every)]


GOOD = lines((EARLY_SHORT, 30), (MIDDLE, 40), (LATE_LONG, 30))


@pytest.mark.parametrize(
    ("templates", "form"),
    [
        (GOOD, FORM),
        (lines((EARLY_SHORT, 15), (MIDDLE, 70), (LATE_LONG, 15)), FORM),
        (lines((EARLY, 40), (EARLY_SHORT, 1), (LATE, 58), (LATE_LONG, 1)), FORM),
        (lines((CONTENT_STYLE, 25), (STYLE_CONTENT, 75)), PAIR),
        (lines((CONTENT_STYLE, 75), (STYLE_CONTENT, 25)), PAIR),
    ],
)
def test_good_templates_have_no_faults(templates: list[str], form: frozenset[str]) -> None:
    assert len(templates) == MIN_TEMPLATES
    assert check_templates(templates, [form]) == []


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
        ("{Caption}: 3, or 1003, of {ref1}!", "says the same as"),
    ],
)
def test_each_fault_is_found(template: str, fault: str) -> None:
    faults = check_templates([*GOOD, template], [FORM])
    assert any(fault in found and template in found for found in faults), faults


def test_too_few_templates_are_a_fault() -> None:
    assert check_templates(GOOD[: MIN_TEMPLATES - 1], [FORM]) == [
        f"{MIN_TEMPLATES - 1} templates; write at least {MIN_TEMPLATES}"
    ]


def test_a_form_without_templates_is_a_fault() -> None:
    assert check_templates(GOOD, [FORM, SCENE]) == ["no template has {scene}; write some that do"]


@pytest.mark.parametrize(
    ("templates", "order"),
    [
        (lines((CONTENT_STYLE, 24), (STYLE_CONTENT, 76)), "{content} stands before {style}"),
        (lines((CONTENT_STYLE, 76), (STYLE_CONTENT, 24)), "{style} stands before {content}"),
    ],
)
def test_both_orders_of_two_markers_are_wanted(templates: list[str], order: str) -> None:
    assert check_templates(templates, [PAIR]) == [
        f"{order} in 24 of 100 templates; turn some round, so that 25% or more have this order"
    ]


@pytest.mark.parametrize(
    ("templates", "part"),
    [
        (lines((EARLY_SHORT, 14), (MIDDLE, 56), (LATE_LONG, 30)), "first"),
        (lines((EARLY_SHORT, 30), (MIDDLE, 56), (LATE_LONG, 14)), "last"),
    ],
)
def test_captions_are_wanted_early_and_late(templates: list[str], part: str) -> None:
    assert check_templates(templates, [FORM]) == [
        f"the caption stands in the {part} third of 14 of 100 templates; move it there in some, "
        "so that 15% or more have it so"
    ]


def test_a_scene_with_its_marker_counts_as_a_caption() -> None:
    templates = [f"Draw, {n} or {n + 1000} times, all of {{scene}}." for n in range(98)]
    templates += ["Draw {scene}.", "Please " + "look, and " * 6 + "draw {scene}."]
    assert check_templates(templates, [SCENE]) == [
        "the caption stands in the first third of 0 of 100 templates; move it there in some, "
        "so that 15% or more have it so"
    ]


@pytest.mark.parametrize(
    ("templates", "fault"),
    [
        (
            lines((EARLY, 30), (MIDDLE, 40), (LATE_LONG, 30)),
            "none has 6 words or fewer; write some short templates",
        ),
        (
            lines((EARLY_SHORT, 30), (MIDDLE, 40), (LATE, 30)),
            "none has 15 words or more; write some long templates",
        ),
    ],
)
def test_short_and_long_templates_are_wanted(templates: list[str], fault: str) -> None:
    assert check_templates(templates, [FORM]) == [fault]


@pytest.mark.parametrize(
    ("old", "new"),
    [("draw", "paint"), ("draw", "now draw"), ("With ", ""), ("{ref1}", "{ref1} again")],
    ids=["changed", "added", "left out", "added at the end"],
)
def test_few_templates_may_differ_in_one_word(old: str, new: str) -> None:
    originals = lines((MIDDLE, 30), (EARLY_SHORT, 30), (LATE_LONG, 30))
    copies = [template.replace(old, new) for template in originals[:11]]
    assert check_templates(originals + copies[:10], [FORM]) == []
    (fault,) = check_templates(originals + copies, [FORM])
    assert fault.startswith(
        "11 of 101 templates differ in one word alone from one before them; reword some, so that "
        f"10% or fewer do: {copies[0]!r} of {originals[0]!r}, "
    )
    twice = [copy.replace("looks", "glances") for copy in copies]  # differ in two words
    assert check_templates(originals + twice, [FORM]) == []


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


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{Caption}.", True),
        ("{scene}", True),
        ('"{Scene}" is what {ref1} shows.', True),
        ('The caption "{caption}" is about {ref1}.', True),
        ("Follow {ref1}: {caption}.", True),
        ("See {ref1}? {Caption}.", True),
        ("{Caption}, after {ref1}.", True),
        ("In {ref1}, {edit}.", False),
        ("{Edit}. Leave the rest of {ref1}.", True),
        ("{Scene} is what {ref1} shows.", False),
        ("{Caption} {ref1}.", False),
        ("Turn {ref1} into {caption}.", False),
        ('"Draw {caption}" was said of {ref1}.', False),
        ("For {ref1}; {caption}.", False),
        ("Draw {ref1}.", False),
    ],
)
def test_a_caption_opens_a_sentence_or_does_not(template: str, expected: bool) -> None:
    assert opens_sentence(template) == expected
