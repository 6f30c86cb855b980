"""Who is the target, who its reference, and what is said of them."""

from __future__ import annotations

import io
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.data.annotators.canny import Canny
from instruct_imagen.data.corpora.records import (
    Captioned,
    Edited,
    Identity,
    StoredImage,
    SubjectSet,
)
from instruct_imagen.data.corpus_tasks import corpus_job
from instruct_imagen.data.corpus_tasks.base import (
    Tools,
    as_request,
    in_sentence,
    templates_of,
    worded,
)
from instruct_imagen.data.corpus_tasks.captions import ArtToImage
from instruct_imagen.data.corpus_tasks.controls import FINE, EdgesOfImage, dilated
from instruct_imagen.data.corpus_tasks.edits import EditWithMask, edit_mask
from instruct_imagen.data.corpus_tasks.sets import FaceOfPerson, SubjectOfSet
from instruct_imagen.data.tasks.base import TemplateError, fill
from instruct_imagen.data.tasks.edge_to_image import OF_DEPTH, OF_MASK
from instruct_imagen.data.tasks.subject import Subject
from instruct_imagen.images import to_square
from tests.data.corpora.layouts import cell, table, write

SIZE = 16


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def plain(red, green, blue) -> bytes:
    """A picture that is known again by its colour, JPEG or not."""
    return png(np.full((SIZE, SIZE, 3), (red, green, blue)))


def colour(image: StoredImage) -> tuple[int, ...]:
    """Of a plain picture; its values are multiples of 40."""
    return tuple(int(np.rint(v / 40) * 40) for v in np.asarray(image.load()).mean((0, 1)))


def made(name, folder, task, **settings):
    job = corpus_job(name, folder, task, size=SIZE, **settings)
    return list(job.opened()(range(job.examples)))


@pytest.fixture
def subjects(tmp_path):
    """Three dogs (one of them twice), seven vases, and a single cup; red tells the set."""
    for red, name, count in ((40, "red dog", 3), (80, "vase", 7), (120, "cup", 1)):
        for number in range(count):
            write(tmp_path / name.replace(" ", "_") / f"{number}.png", plain(red, 40 * number, 0))
    write(tmp_path / "red_dog" / "again.png", plain(40, 0, 0))
    write(tmp_path / "red_dog" / "1.txt", "A red dog in the snow.")
    write(tmp_path / "red_dog" / "2.txt", "something that sleeps")
    return tmp_path


def test_a_subjects_references_are_one_to_four_others_of_its_set(subjects):
    found = made("dreambench", subjects, "subject", examples=110)
    targets = Counter(colour(one.target)[:2] for one in found)
    assert set(targets) == {(40, 0), (40, 40), (40, 80), *((80, 40 * k) for k in range(7))}
    assert set(targets.values()) == {10, 20}  # 11 targets a pass, one of which lies there twice
    counts = Counter()
    for one in found:
        target = colour(one.target)
        shown = [colour(reference.image) for reference in one.references]
        assert len(set(shown)) == len(shown) and target not in shown
        assert {picture[0] for picture in shown} == {target[0]}
        assert {(r.marker, r.role) for r in one.references} == {(1, "subject")}
        assert {r.text for r in one.references} == {"red dog" if target[0] == 40 else "vase"}
        counts[target[0], len(shown)] += 1
    assert set(counts) == {(40, 1), (40, 2), (80, 1), (80, 2), (80, 3), (80, 4)}


def test_a_subject_is_marked_in_its_caption_or_beside_it(subjects):
    found = made("dreambench", subjects, "subject", examples=330)
    texts = {colour(one.target)[:2]: [] for one in found}
    for one in found:
        texts[colour(one.target)[:2]].append(one)
        assert one.text.count("[ref#1]") == 1
    assert {one.caption for one in texts[80, 40]} == {"a vase"}
    assert {one.caption for one in texts[40, 40]} == {"a red dog in the snow"}
    assert any("the [ref#1] red dog in the snow" in one.text.lower() for one in texts[40, 40])
    for one in texts[40, 80]:  # the caption does not name it
        assert "[ref#1] red dog" in one.text and "something that sleeps" in one.text.lower()
    assert len({one.text for one in texts[80, 40]}) > 5


def test_faces_are_of_one_person_and_called_one(tmp_path):
    people = {"7": 5, "9": 2, "11": 1}
    files, attributes, number = [], [], 0
    for red, (who, count) in enumerate(people.items(), start=1):
        for blue in range(count):
            number += 1
            write(tmp_path / "img_align_celeba" / f"{number}.jpg", plain(40 * red, 0, 40 * blue))
            files.append(f"{number}.jpg {who}")
            attributes.append(f"{number}.jpg 1 {'-1' if who == '9' else '1'}")
    write(tmp_path / "identity_CelebA.txt", "\n".join(files))
    lines = [str(number), "Smiling Male", *attributes]
    write(tmp_path / "list_attr_celeba.txt", "\n".join(lines))
    found = made("celeba", tmp_path, "face", examples=70)
    assert {colour(one.target)[0] for one in found} == {40, 80}
    for one in found:
        target = colour(one.target)
        shown = [colour(reference.image) for reference in one.references]
        assert target not in shown and {picture[0] for picture in shown} == {target[0]}
        assert 1 <= len(shown) <= 4
        assert {(r.marker, r.role, r.text) for r in one.references} == {(1, "face", "person")}
        assert one.caption == ("a smiling man" if target[0] == 40 else "a smiling woman")
        assert one.text.count("[ref#1] person") == 1 and one.caption in one.text.lower()


def test_a_styles_reference_is_another_picture_of_it(tmp_path):
    for red, style in ((40, "Cubism"), (80, "Pop_Art"), (120, "Rococo")):
        for number in range(1 if style == "Rococo" else 4):
            name = f"artist_thing-{number}" if number else "artist_"
            write(tmp_path / style / f"{name}.png", plain(red, 40 * number, 0))
    write(tmp_path / "Cubism" / "artist_copy.png", plain(40, 40, 0))  # equals thing 1
    found = made("wikiart", tmp_path, "styled", examples=140)
    shown_without_caption = 0
    for one in found:
        (reference,) = one.references
        target, shown = colour(one.target), colour(reference.image)
        assert target != shown and target[0] == shown[0]
        assert (reference.marker, reference.role) == (1, "style") and "style" in reference.text
        assert target[1] and re.fullmatch(r"thing \d|copy", one.caption)
        assert one.text.count("[ref#1]") == 1 and one.caption in one.text.lower()
        assert not re.search("cubism|pop art", one.text.lower())
        shown_without_caption += shown[1] == 0
    assert {colour(one.target)[0] for one in found} == {40, 80}  # no other rococo to show
    assert shown_without_caption
    art = made("wikiart", tmp_path, ArtToImage().task, examples=140)
    for one in art:
        style = "cubism" if colour(one.target)[0] == 40 else "pop art"
        assert re.fullmatch(rf"(thing \d|copy), {style}", one.caption.lower()), one.caption
        assert one.caption.lower() in one.text.lower() and len(one.text) > len(one.caption)
        assert not one.references


GREY = np.full((SIZE, SIZE, 3), 120)


def edited(mask: bytes | None, size: int = SIZE) -> Edited:
    after = np.full((size, SIZE, 3), 120)
    after[:8, :8] = (200, 0, 0)
    return Edited(
        key="1",
        source=StoredImage(data=png(GREY), name="source"),
        mask=None if mask is None else StoredImage(data=mask, name="mask"),
        target=StoredImage(data=png(after), name="target"),
        instruction="Let it {be} red.",
        caption="",
    )


def mask_in(way: str) -> bytes:
    """The upper left quarter, as three data sets may say it."""
    if way == "transparent":
        return png(np.dstack([GREY, np.where(np.arange(SIZE) < 8, 0, 255)[None] * _rows()]))
    if way == "black and white":
        return png(255 * _quarter())
    pixels = GREY.copy()
    pixels[:8, :8] = 255
    return png(pixels)


def _rows():
    return np.ones((SIZE, 1), int)


def _quarter():
    found = np.zeros((SIZE, SIZE), int)
    found[:8, :8] = 1
    return found


@pytest.mark.parametrize("way", ["transparent", "black and white", "painted white"])
def test_masks_are_white_where_a_picture_may_change(way):
    expected = _quarter() if way != "transparent" else (np.arange(SIZE) < 8)[None] * _rows()
    assert np.array_equal(np.asarray(edit_mask(edited(mask_in(way)))) > 0, expected.astype(bool))


@pytest.mark.parametrize(
    "mask", [None, png(GREY), png(np.zeros((SIZE, SIZE))), png(np.full((SIZE, SIZE), 255))]
)
def test_an_edit_without_a_usable_mask_is_none(mask):
    assert edit_mask(edited(mask)) is None
    assert EditWithMask().targets(edited(mask)) == ()


def test_an_edit_of_another_shape_is_none():
    assert EditWithMask().targets(edited(mask_in("painted white"))) == (0,)
    assert EditWithMask().targets(edited(mask_in("painted white"), size=2 * SIZE)) == ()


def test_edits_have_source_mask_and_words(tmp_path):
    record = edited(mask_in("painted white"))
    rows = [
        {
            "img_id": str(row), "turn_index": 1, "source_img": cell(record.source.data),
            "mask_img": cell(record.mask.data) if row else None,
            "instruction": record.instruction, "target_img": cell(record.target.data),
        }
        for row in range(4)
    ]  # fmt: skip
    table(tmp_path / "data" / "train-00000-of-00001.parquet", rows)
    found = made("magicbrush", tmp_path, "masked_edit", examples=60)
    orders = set()
    for one in found:
        assert [reference.marker for reference in one.references] == [1, 2]
        by_role = {reference.role: reference for reference in one.references}
        assert np.array_equal(np.asarray(by_role["source"].image.load()), GREY)
        mask = np.asarray(by_role["mask"].image.load())[..., 0] > 127
        assert np.array_equal(mask, _quarter().astype(bool))
        after = np.asarray(one.target.load())
        assert np.array_equal(after[~mask], GREY[~mask]) and (after[mask] == (200, 0, 0)).all()
        assert "et it (be) red" in one.text and "red." not in one.text.replace("red.", "", 1)
        orders.add(by_role["source"].marker)
    assert orders == {1, 2}
    plain_edits = made("magicbrush", tmp_path, "instruction_edit")
    assert len(plain_edits) == 4
    assert {one.references[0].role for one in plain_edits} == {"source"}
    assert all("[ref#1]" in one.text and "et it (be) red" in one.text for one in plain_edits)


class Halves:
    """Stands for a network that finds depth or masks: the left half is near."""

    def __init__(self) -> None:
        self.sides = set()

    def __call__(self, images):
        self.sides |= {image.size for image in images}
        pixels = np.zeros((images[0].height, images[0].width), np.uint8)
        pixels[:, : images[0].width // 2] = 255
        return [Image.fromarray(pixels) for _ in images]


def test_edges_are_of_the_image_its_depth_and_its_mask_with_dilation():
    pixels = np.full((64, 64, 3), 120, np.uint8)
    pixels[20:40, 40:60] = 250
    record = Captioned(key="a", image=StoredImage(data=png(pixels), name="a"), caption="a box")
    halves, canny, rng = Halves(), Canny(), np.random.default_rng(0)
    tools = Tools(size=64, annotators={"edge": canny, "depth": halves, "mask": halves})
    middle = np.zeros((64, 64, 3), np.uint8)
    middle[:, :32] = 255
    wanted = {}
    for of, shown in (("image", pixels), ("map", middle)):
        thin = canny([Image.fromarray(shown)])[0]
        for steps in range(3):
            wanted[np.asarray(dilated(thin, steps)).tobytes()] = of, steps
    counts = Counter()
    for _ in range(600):
        draft = EdgesOfImage().draft(rng, record, 0, tools)
        assert np.array_equal(np.asarray(draft.target), pixels)
        counts[wanted[np.asarray(draft.references[0].image).tobytes()]] += 1
    assert halves.sides == {(FINE, FINE)}
    assert set(counts) == {(of, steps) for of in ("image", "map") for steps in range(3)}
    of_maps = sum(count for (of, _), count in counts.items() if of == "map")
    assert of_maps == pytest.approx(600 * (OF_DEPTH + OF_MASK), rel=0.2)
    alone = Tools(size=64, annotators={"edge": canny})
    for _ in range(50):
        draft = EdgesOfImage().draft(rng, record, 0, alone)
        assert wanted[np.asarray(draft.references[0].image).tobytes()][0] == "image"


def test_dilation_widens_with_the_picture():
    for side, steps, width in ((32, 1, 3), (32, 2, 5), (64, 1, 3), (128, 1, 5), (128, 2, 9)):
        line = np.zeros((side, side), np.uint8)
        line[:, side // 2] = 255
        assert (np.asarray(dilated(Image.fromarray(line), steps))[0] > 0).sum() == width


def test_drawings_lie_on_their_photographs(tmp_path):
    photo = np.full((SIZE, 2 * SIZE, 3), 90)
    photo[:, 20:] = 200
    drawing = np.full((SIZE, 2 * SIZE, 3), 255)
    drawing[:, 20] = 0
    write(tmp_path / "image" / "a.jpg", png(photo))
    write(tmp_path / "image" / "a.txt", "two greys")
    for number in range(1, 6):
        write(tmp_path / "sketch-rendered" / "width-1" / f"a_{number:02d}.png", png(drawing))
    found = made("photo_sketch", tmp_path, "sketch_to_image")
    assert len(found) == 5
    for one in found:
        (reference,) = one.references
        assert (reference.marker, reference.role) == (1, "sketch")
        assert np.array_equal(np.asarray(reference.image.load()), drawing[:, 8:24])
        assert np.array_equal(np.asarray(one.target.load()), photo[:, 8:24])
        assert one.text.count("[ref#1]") == 1 and "two greys" in one.text.lower()
    assert to_square(Image.fromarray(photo.astype(np.uint8)), SIZE, "crop").size == (SIZE, SIZE)


def test_captions_become_parts_of_sentences():
    assert in_sentence("  A dog.\n Asleep. ") == "a dog. Asleep"
    assert in_sentence("Big Ben [London] {uk}") == "Big Ben (London) (uk)"
    assert in_sentence(" . ") == ""


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ("Make the sky blue?!", "make the sky blue"),
        ("Could the dog be a cat?", "could the dog be a cat"),
        ("A dog should sit here. ", "a dog should sit here"),
        ("I want a TV on the wall.", "I want a TV on the wall"),
        ("I'd like [some] rain", "I'd like (some) rain"),
        ("TV on the wall, please!", "TV on the wall, please"),
        ("?!", ""),
    ],
)
@pytest.mark.parametrize("task", ["instruction_edit", "masked_edit"])
def test_edit_instructions_become_requests(task, words, request_):
    assert as_request(words) == request_
    for template in templates_of(task) if request_ else ():
        text = fill(template, source="[ref#1]", mask="[ref#2]", edit=request_)
        rest = text.replace(request_, "", 1)
        capital = request_[0].upper() + request_[1:]
        if rest == text:  # it opens a sentence, and only there has it a capital
            before, found, rest = text.partition(capital)
            assert found and re.search(r'(?:^|[.?!:] )"?$', before), text
        assert not re.search(r"[?!.]{2}|[?!] ?(in|and|so) ", text), text


@pytest.mark.parametrize("kind", ["face", "subject"])
def test_without_captions_texts_say_something(kind):
    """No "portrait of the [ref#1] person: a person"."""
    name = "cup" if kind == "subject" else "person"
    images = tuple(
        StoredImage(data=plain(40, 40 * number, 0), name=str(number)) for number in range(3)
    )
    record = (
        SubjectSet(key="1", name="cup", images=images, captions=("",) * 3, prompts=())
        if kind == "subject"
        else Identity(key="1", images=images, captions=("",) * 3, attributes=((),) * 3)
    )
    maker = SubjectOfSet() if kind == "subject" else FaceOfPerson()
    tools, rng = Tools(size=SIZE, annotators={}), np.random.default_rng(0)
    texts = set()
    for _ in range(100):
        draft = maker.draft(rng, record, 1, tools)
        assert draft.caption == f"a {name}"
        assert f"the [ref#1] {name}" in draft.text.replace("The", "the")
        assert not re.search(rf"\ban? {name}\b", draft.text.lower())
        texts.add(draft.text)
    assert len(texts) > 20


def test_a_wording_needs_what_there_is(tmp_path):
    rng = np.random.default_rng(0)
    for _ in range(30):
        text = worded(Subject.name, rng, subject="[ref#1] dog", caption="a dog asleep")
        assert "[ref#1] dog" in text and "{" not in text
    with pytest.raises(TemplateError, match=r"subject\.txt: none has only caption, which"):
        worded(Subject.name, rng, caption="a dog")
    with pytest.raises(TemplateError, match=r"nothing\.txt is missing"):
        worded("nothing", rng, caption="a dog")
