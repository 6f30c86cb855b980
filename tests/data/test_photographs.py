"""A user's own folder: what is read, what is refused, and the examples made of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from instruct_imagen.data.batch import make_batch
from instruct_imagen.data.example import Photograph
from instruct_imagen.data.mixture import PAPER_RATIOS, Mixture
from instruct_imagen.data.photographs import PhotographError, read_photographs
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.my_subject import MySubject
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.scenes import scene_rng
from instruct_imagen.images import ImageError, load_image, to_square
from tests.data.people import people

SIZE = 16


def write_folder(folder, count=5, **captions):
    """Images of one colour each, ``0.png`` and so on, wider than high, and texts beside them."""
    folder.mkdir(exist_ok=True)
    for index in range(count):
        pixels = np.full((20, 30, 3), 40 * index, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    for name, text in captions.items():
        (folder / f"{name.strip('_')}.txt").write_text(text)
    return folder


def examples(captions, count=300, subject="clay dog"):
    task, words = MySubject(subject, captions), fallback_vocabulary()
    return [task.example(scene_rng(0, index), words) for index in range(count)]


def test_images_are_decoded_once_in_the_order_of_their_names(tmp_path):
    folder = write_folder(tmp_path / "dog", _1="A clay dog on\n a table. ")
    noise = np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.jpg")
    (folder / ".hidden").write_text("no image")
    (folder / "others").mkdir()
    found = read_photographs(folder, "clay dog", SIZE)
    assert found.pixels.shape == (6, 3, SIZE, SIZE) and found.pixels.dtype == torch.uint8
    assert found.pixels[:5].float().mean(dim=(1, 2, 3)).tolist() == [0, 40, 80, 120, 160]
    square = to_square(load_image(folder / "noise.jpg"), SIZE, "crop")
    assert torch.equal(found.pixels[5].permute(1, 2, 0), torch.from_numpy(np.array(square)))
    assert found.captions[:2] == ("a clay dog", "a clay dog on a table")
    assert read_photographs(folder, "owl", SIZE).captions[0] == "an owl"


def test_the_fingerprint_is_that_of_contents_and_captions(tmp_path):
    folder = write_folder(tmp_path / "dog")
    before = read_photographs(folder, "clay dog", SIZE).sha256
    assert read_photographs(folder, "clay dog", SIZE).sha256 == before
    (folder / "4.png").rename(folder / "5.png")
    assert read_photographs(folder, "clay dog", SIZE).sha256 == before
    (folder / "3.txt").write_text("a clay dog asleep")
    words = read_photographs(folder, "clay dog", SIZE).sha256
    Image.new("RGB", (20, 20), "red").save(folder / "5.png")
    assert len({before, words, read_photographs(folder, "clay dog", SIZE).sha256}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: folder.rename(folder.with_name("gone")), "is no folder: name that"),
        (lambda folder: [(folder / f"{k}.png").unlink() for k in range(1, 5)], "has 1 images"),
        (lambda folder: (folder / "9.txt").write_text("a dog"), r"9\.txt is the caption of no im"),
        (lambda folder: (folder / "1.txt").write_text(" . "), r"1\.txt is empty"),
        (lambda folder: (folder / "1.txt").write_text("a [ref#1] dog"), r"1\.txt has brackets"),
        (lambda folder: (folder / "1.txt").write_bytes(b"\xff\xfe\xfa"), "is not UTF-8 text"),
        (
            lambda folder: (folder / "8.png").write_bytes((folder / "2.png").read_bytes()),
            r"8\.png shows the same as 2\.png: remove one",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path, change, message):
    folder = write_folder(tmp_path / "dog")
    change(folder)
    with pytest.raises(PhotographError, match=message) as caught:
        read_photographs(folder, "clay dog", SIZE)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_image_is_named(tmp_path):
    folder = write_folder(tmp_path / "dog")
    (folder / "notes.pdf").write_text("no image")
    with pytest.raises(ImageError, match=r"notes\.pdf: not an image"):
        read_photographs(folder, "clay dog", SIZE)
    with pytest.raises(PhotographError, match="subject=' ' is empty"):
        read_photographs(folder, " ", SIZE)


def test_references_are_one_to_three_other_photographs_that_share_marker_1():
    captions = tuple(f"a clay dog on mat {index}" for index in range(5))
    drawn = examples(captions)
    for example in drawn:
        shown = [reference.picture for reference in example.references]
        assert example.target not in shown and len(set(shown)) == len(shown)
        assert {(r.marker, r.text, r.role) for r in example.references} == {
            (1, "clay dog", "subject")
        }
        assert set(re.findall(r"\[ref#\d+\]", example.text)) == {"[ref#1]"}
        assert f"mat {example.target.index}" in example.text
    counts = Counter(len(example.references) for example in drawn)
    assert set(counts) == {1, 2, 3} and min(counts.values()) > 70
    assert {example.target.index for example in drawn} == set(range(5))
    assert {len(example.references) for example in examples(captions[:2])} == {1}
    assert examples(captions) == drawn


def test_captions_that_do_not_name_the_subject_get_templates_that_do():
    for words in ("asleep on a mat", "a brown clay dog", "a clay doghouse", "my clay dog"):
        for example in examples((words, "a clay dog"), 100):
            if example.target.index == 0:
                assert "[ref#1] clay dog" in example.text and words[1:] in example.text
            assert not re.search(r"\b(a|my|brown) the\b", example.text), example.text
    for words in ("clay dog on a mat", "the clay dog"):
        texts = [example.text for example in examples((words, words), 100)]
        assert any(f"the [ref#1] {words.removeprefix('the ')}." in text for text in texts)


def test_photographs_and_scenes_share_a_batch(tmp_path):
    own = read_photographs(write_folder(tmp_path / "dog"), "clay dog", SIZE)
    drawn = examples(own.captions, 4)
    scene = all_tasks()["subject"]().example(scene_rng(0, 0), fallback_vocabulary())
    batch = make_batch([drawn[0], scene, *drawn[1:]], fallback_atlas(), SIZE, photographs=own)
    for row, example in ((0, drawn[0]), (2, drawn[1])):
        assert torch.equal(batch.targets[row], own.pixels[example.target.index])
        references = batch.reference_images[batch.reference[batch.sample == row]]
        shown = [reference.picture.index for reference in example.references]
        assert torch.equal(references, own.pixels[shown])
    alone = make_batch([scene], fallback_atlas(), SIZE)
    assert torch.equal(batch.targets[1], alone.targets[0])
    with pytest.raises(ValueError, match="were not read at 8 pixels"):
        make_batch(drawn, fallback_atlas(), 8, photographs=own)


def test_half_of_a_mixture_is_exactly_half():
    ratios = {**PAPER_RATIOS, "my_subject": sum(PAPER_RATIOS.values())}
    tasks = {**all_tasks(), "my_subject": lambda: MySubject("clay dog", ("a clay dog",) * 3)}
    mixture = Mixture(tasks, ratios, replace(fallback_vocabulary(), faces=people()), seed=3)
    assert mixture.ratios["my_subject"] == 0.5
    drawn = mixture.examples(0, 1000)
    own = [example for example in drawn if isinstance(example.target, Photograph)]
    assert abs(len(own) - 500) <= 1
    assert mixture.examples(400, 410) == drawn[400:410]
