from __future__ import annotations

import hashlib
import pickle

import pytest

from instruct_imagen.data.corpora.records import (
    Captioned,
    Edited,
    Identity,
    Sketched,
    StoredImage,
    Styled,
    SubjectSet,
)
from instruct_imagen.images import ImageError
from tests.data.corpora.layouts import encoded


def image(number: int, name: str = "a.png") -> StoredImage:
    return StoredImage(data=encoded(number), name=name)


def test_images_are_equal_by_their_content():
    assert image(1, "a.png") == image(1, "b.png") != image(2, "a.png")
    assert hash(image(1, "a.png")) == hash(image(1, "b.png"))
    assert image(1).sha256 == hashlib.sha256(encoded(1)).hexdigest()
    assert image(1).check() == image(1).load().size == (8, 8)
    assert repr(image(1)) == "StoredImage(name='a.png')"


def test_the_decoders_errors_name_the_image():
    broken = StoredImage(data=b"no image", name="tar/7.jpg")
    for call in (broken.check, broken.load):
        with pytest.raises(ImageError, match=r"^tar/7\.jpg: not an image"):
            call()
    with pytest.raises(ImageError, match=r"limit of 10;"):
        image(1).load(max_pixels=10)


RECORDS = [
    Captioned(key="a", image=image(0), caption="a dog", about={"url": "u"}),
    SubjectSet(key="a", name="dog", images=(image(0), image(1)), captions=("", ""), prompts=("p",)),
    Identity(key="a", images=(image(0),), captions=("a man",), attributes=(("Male",),)),
    Sketched(key="a", sketch=image(0), photo=image(1), caption="a house"),
    Edited(key="a", source=image(0), mask=None, target=image(1), instruction="do", caption=""),
    Edited(key="a", source=image(0), mask=image(1), target=image(2), instruction="do", caption=""),
    Styled(key="a", style="pop art", image=image(0), caption="a can"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_values_that_workers_can_send(record):
    assert pickle.loads(pickle.dumps(record)) == record
    assert len({record, pickle.loads(pickle.dumps(record))}) == 1
    assert record.pictures == tuple(image(n) for n in range(len(record.pictures)))
    assert record.words
    with pytest.raises(AttributeError):
        record.key = "b"


def test_the_pictures_of_a_record_are_all_of_them():
    assert [len(record.pictures) for record in RECORDS] == [1, 2, 1, 2, 2, 3, 1]


def test_lists_of_a_set_have_one_of_each():
    with pytest.raises(ValueError, match="a: 1 images, but 2 captions"):
        SubjectSet(key="a", name="dog", images=(image(0),), captions=("", ""), prompts=())
    with pytest.raises(ValueError, match="but 0 attributes"):
        Identity(key="a", images=(image(0),), captions=("",), attributes=())
    with pytest.raises(ValueError, match="a has no image"):
        SubjectSet(key="a", name="dog", images=(), captions=(), prompts=())
