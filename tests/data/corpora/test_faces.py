from __future__ import annotations

import pytest

from instruct_imagen.data.corpora.faces import describe, people, read_attributes
from tests.data.corpora.layouts import write


@pytest.mark.parametrize(
    ("attributes", "caption"),
    [
        ((), "a woman"),
        (("Male",), "a man"),
        (("Smiling", "Young", "Wavy_Hair", "Brown_Hair"),
         "a smiling young woman with wavy brown hair"),
        (("Male", "Bald", "Gray_Hair", "Mustache", "Eyeglasses"),
         "a bald man with a moustache, wearing glasses"),
        (("Wearing_Hat", "Wearing_Earrings", "Wearing_Necklace"),
         "a woman wearing a hat, earrings and a necklace"),
        (("Attractive", "Big_Nose", "Chubby", "Blurry", "No_Beard"), "a woman"),
    ],
)  # fmt: skip
def test_attributes_become_words_that_do_not_judge(attributes, caption):
    assert describe(attributes) == caption
    assert describe(tuple(reversed(attributes))) == caption


def test_attributes_are_those_of_the_row(tmp_path):
    text = "2\nBald Male  Young\n1.jpg  1 -1  1\n2.jpg -1 -1 -1\n"
    found = read_attributes(write(tmp_path / "list.txt", text))
    assert [found.of(file) for file in ("1.jpg", "2.jpg", "3.jpg")] == [("Bald", "Young"), (), ()]


def test_people_come_by_number_and_images_keep_their_order():
    identities = {"a": "10", "b": "9", "c": "10"}
    found = people([("c", "c"), ("b", "b"), ("a", "a"), ("x", "x")], identities, None)
    assert [(one.identity, one.files) for _, one in found] == [("9", ("b",)), ("10", ("c", "a"))]
