"""Captions that say nothing of a picture are named by why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruct_imagen.data.clusters.caption_rules import CaptionRules, caption_fault
from instruct_imagen.data.clusters.rows import ClusterError

GOOD = [
    "A red apple.", "dog", "Two dogs and a cat on a green sofa, in the evening",
    "Chien qui court sur la plage", "собака на пляже", "海滩上的狗", "समुद्र तट पर कुत्ता",
    "A no. 7 tram in Lisbon, 1985", "Portrait of a woman - stock photo", "T-shirt of 100% cotton",
    "The P-51 Mustang", "A photograph of the sea", "the photo that won the prize", "Image of a cat",
    "St. Mary's church", "A 1962 Ford", "An icon of Saint Nicholas", "IMG building in Sydney",
    "A download button on a grey page", "Figure skating in Oslo",
]  # fmt: skip
SIGNS = "ab é狗ु1_.@/:-%\ufffd\x07\ud800\n"
BAD = {
    "caption: too short": ["ab", " ", "a."],
    "caption: too long": ["word " * 300],
    "caption: broken characters": ["caf\ufffd with chairs", "a dog\x07 barks", "a \ue000 sign"],
    "caption: address": [
        "see www.example.org for more", "https://a.b/c a dog", "dogs at example.com",
        "write to me@my-house.net", "photo by Shop.co on example.de",
    ],
    "caption: file name": [
        "IMG_1234", "img 20190302 1234", "DSC00012", "DSCF0012", "my dog.JPG", "red-apple.png",
        "Screenshot 2019-02-03 at 10.11.12", "P1010012", "photo (12)", "12345678",
        "3f9a0b1c2d4e5f60", "abc123456def",
    ],
    "caption: few letters": ["10 x 15 + 20 = 99 ok?", "$ 12.99 / 14.99 (USD)", "§§ a §§ b §§"],
    "caption: repeated words": ["sale sale sale sale now", "buy cheap buy cheap buy buy"],
    "caption: boilerplate": [
        "image", "Photo.", "Untitled", "no caption", "Image not found", "Click to enlarge",
        "Product image", "Image may contain: one person", "© All rights reserved", "default avatar",
    ],
}  # fmt: skip


@pytest.mark.parametrize("caption", GOOD)
def test_captions_that_say_what_is_seen_are_kept(caption):
    assert caption_fault(caption, CaptionRules()) == ""


@pytest.mark.parametrize(("fault", "caption"), [(f, c) for f, some in BAD.items() for c in some])
def test_captions_that_do_not_are_named(fault, caption):
    assert caption_fault(caption, CaptionRules()) == fault


@pytest.mark.parametrize(
    ("rules", "caption", "fault"),
    [
        (CaptionRules(min_characters=9), "a dog", "caption: too short"),
        (CaptionRules(max_characters=9), "two dogs on a sofa", "caption: too long"),
        (CaptionRules(min_words=3), "a dog", "caption: too few words"),
        (CaptionRules(letters=0.9), "a 1962 Ford", "caption: few letters"),
        (CaptionRules(repeated=0.3), "a dog and a dog and", "caption: repeated words"),
        (CaptionRules(boilerplate=("a dog",)), "A dog!", "caption: boilerplate"),
    ],
)
def test_stricter_rules_leave_out_what_is_kept_without_them(rules, caption, fault):
    assert caption_fault(caption, CaptionRules()) == ""
    assert caption_fault(caption, rules) == fault


@pytest.mark.parametrize(
    ("rules", "caption"),
    [
        (CaptionRules(min_characters=1), "ab"),
        (CaptionRules(max_characters=2000), "many different words here " * 60),
        (CaptionRules(letters=0.0), "10 x 15 + 20 = 99 ok?"),
        (CaptionRules(repeated=1.0), "sale sale sale sale"),
        (CaptionRules(addresses=True), "dogs at example.com"),
        (CaptionRules(file_names=True), "IMG_1234 dogs.jpg"),
        (CaptionRules(boilerplate=()), "Untitled"),
    ],
)
def test_looser_rules_keep_what_is_left_out_without_them(rules, caption):
    assert caption_fault(caption, CaptionRules()) != ""
    assert caption_fault(caption, rules) == ""


@given(st.text(SIGNS, max_size=40))
def test_any_text_has_a_verdict_that_spaces_around_it_do_not_change(text):
    fault = caption_fault(text, CaptionRules())
    assert fault == "" or fault.startswith("caption: ")
    assert caption_fault(f"  {text} ", CaptionRules()) == fault


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"min_characters": -1}, "min_characters=-1"),
        ({"min_characters": 9, "max_characters": 8}, "max_characters=8"),
        ({"min_words": -1}, "min_words=-1"),
        ({"letters": 1.5}, "letters=1.5"),
        ({"repeated": -0.1}, "repeated=-0.1"),
        ({"boilerplate": ("(",)}, "no regular expression"),
    ],
)
def test_rules_that_cannot_be_are_refused(wrong, named):
    with pytest.raises(ClusterError, match=named):
        CaptionRules(**wrong)
