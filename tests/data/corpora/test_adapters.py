"""What each corpus makes of its own files."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from instruct_imagen.data.corpora import open_corpus
from tests.data.corpora.layouts import (
    FACES,
    LAYOUTS,
    STRICT,
    WIKIART_FEATURES,
    WIKIART_FILES,
    Numbered,
    cell,
    encoded,
    lay,
    partition,
    refused,
    table,
    wikiart_lists,
    wikiart_rows,
    write,
)

# -- WikiArt ---------------------------------------------------------------------------------------


def test_wikiart_reads_style_artist_title_and_year_from_the_path(tmp_path):
    lay("wikiart", tmp_path)
    write(tmp_path / "Pop_Art/roy-lichtenstein_brushstrokes.txt", "thick white\nbrushstrokes")
    found = list(open_corpus("wikiart", tmp_path))
    assert [(one.style, one.caption, dict(one.about)) for one in found] == [
        ("impressionism", "water lilies", {"artist": "claude monet", "year": "1917"}),
        ("impressionism", "the curtain", {"artist": "edgar degas"}),
        ("impressionism", "port de grenelle", {"artist": "paul gauguin", "year": "1875"}),
        ("pop art", "", {"artist": "andy warhol", "year": "1962"}),
        ("pop art", "thick white brushstrokes", {"artist": "roy lichtenstein"}),
    ]
    assert found[0].image.data == encoded(0)


def test_wikiart_with_its_lists_knows_splits_genres_and_what_is_missing(tmp_path):
    lay("wikiart", tmp_path)
    wikiart_lists(tmp_path)
    stream = open_corpus("wikiart", tmp_path).records()
    found = {one.key: dict(one.about) for one in stream}
    assert stream.problems.first == ["Pop_Art/gone_gone.jpg: No such file or directory"]
    assert list(found) == list(WIKIART_FILES[:4])
    assert found[WIKIART_FILES[0]]["genre"] == "landscape"
    assert [about["split"] for about in found.values()] == ["train", "train", "valid", "valid"]
    valid = open_corpus("wikiart", tmp_path, STRICT, split="valid")
    assert [one.key for one in valid] == list(WIKIART_FILES[2:4])
    assert "no split 'test': use train or valid" in refused("wikiart", tmp_path, split="test")


def test_wikiart_lists_cannot_lead_out_of_the_folder(tmp_path):
    lay("wikiart", tmp_path / "here")
    write(tmp_path / "secret.jpg", encoded(1))
    write(tmp_path / "here/style_train.csv", "../secret.jpg,3\n/etc/hostname,3\n")
    assert "'../secret.jpg' leads out" in refused("wikiart", tmp_path / "here")


def test_wikiart_as_parquet_names_its_numbers(tmp_path):
    rows = wikiart_rows(Numbered())
    table(tmp_path / "data/train-00000-of-00001.parquet", rows, WIKIART_FEATURES)
    expected = [
        ("impressionism", "landscape", {"artist": "claude monet", "genre": "landscape"}),
        ("pop art", "", {}),
        ("impressionism", "portrait", {"artist": "claude monet", "genre": "portrait"}),
    ]
    found = [(one.style, one.caption, dict(one.about)) for one in open_corpus("wikiart", tmp_path)]
    assert found == expected
    # An older download keeps the names beside the files.
    table(tmp_path / "data/train-00000-of-00001.parquet", rows)
    assert "put dataset_infos.json of the same" in refused("wikiart", tmp_path)
    infos = {"huggan--wikiart": {"features": WIKIART_FEATURES}}
    write(tmp_path / "dataset_infos.json", json.dumps(infos))
    found = [(one.style, one.caption, dict(one.about)) for one in open_corpus("wikiart", tmp_path)]
    assert found == expected
    table(tmp_path / "data/train-00000-of-00001.parquet", [{"image": cell(b""), "genre": 1}])
    assert "there is no column style" in refused("wikiart", tmp_path)


# -- Faces -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["celeba", "celeba_hq"])
def test_faces_are_grouped_by_who_they_show(name, tmp_path):
    people = {one.key: one for one in lay(name, tmp_path)}
    assert {key: len(one.images) for key, one in people.items()} == {
        "3": 2, "7": 3, "12": 2, "100": 1
    }  # fmt: skip
    order = list(FACES) if name == "celeba" else list(reversed(FACES))
    wanted = [number for number, file in enumerate(order) if FACES[file] == "7"]
    assert [image.data for image in people["7"].images] == [encoded(n) for n in wanted]
    names = ("Smiling", "Male", "Young", "Black_Hair", "Eyeglasses")
    assert people["7"].attributes == tuple(names[: n % 5 + 1] for n in wanted)
    assert people["12"].about == {}
    partition(tmp_path)
    train = open_corpus(name, tmp_path, split="train")
    assert [(one.key, one.about["split"]) for one in train] == [("7", "train"), ("12", "train")]
    assert [one.key for one in open_corpus(name, tmp_path, split="test")] == ["100"]


def test_one_broken_face_leaves_the_person_the_others(tmp_path):
    lay("celeba", tmp_path)
    write(tmp_path / "img_align_celeba/000003.jpg", b"no image")
    (tmp_path / "img_align_celeba/000006.jpg").unlink()
    (tmp_path / "img_align_celeba/000007.jpg").unlink()
    write(tmp_path / "img_align_celeba/000001.txt", "a woman on a beach")
    stream = open_corpus("celeba", tmp_path).records()
    people = {one.key: one for one in stream}
    assert list(people) == ["3", "7", "12"]
    assert people["7"].captions == ("a woman on a beach",)
    assert people["7"].images == (people["7"].images[0],) and len(people["7"].attributes) == 1
    assert stream.problems.count == 3 and stream.problems.seen == 4
    assert "img_align_celeba/000003.jpg: not an image" in stream.problems.first[0]
    assert stream.problems.first[1:] == [
        "img_align_celeba/000006.jpg: No such file or directory",
        "img_align_celeba/000007.jpg: No such file or directory (no image is left of its set)",
    ]


def test_celeba_is_read_in_the_folders_of_its_makers_too(tmp_path):
    before = list(lay("celeba", tmp_path / "flat"))
    for folder, name in (("Img", "img_align_celeba"), ("Anno", "identity_CelebA.txt"),
                         ("Anno", "list_attr_celeba.txt")):  # fmt: skip
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "flat" / name).rename(tmp_path / folder / name)
    assert list(open_corpus("celeba", tmp_path)) == before


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("celeba", "identity_CelebA.txt", "000001.jpg\n", "'000001.jpg' is not a file and its num"),
        ("celeba", "identity_CelebA.txt", "", "identity_CelebA.txt is empty"),
        ("celeba", "list_attr_celeba.txt", "1\nMale\n1.jpg 0\n", "no 1 or -1 for each of 1 attr"),
        ("celeba", "list_attr_celeba.txt", "1\nMale\n", "lists no attributes"),
        ("celeba_hq", "identity_CelebA.txt", "000001.jpg 4\n", "does not say who 000008.jpg shows"),
        ("celeba_hq", "CelebA-HQ-to-CelebA-mapping.txt", "0 1 2\n", "does not begin with idx orig"),
        ("celeba_hq", "CelebA-HQ-to-CelebA-mapping.txt", "idx orig_idx orig_file\n0 1\n", "three"),
    ],
)
def test_lists_of_another_form_are_refused(name, file, text, message, tmp_path):
    lay(name, tmp_path)
    write(tmp_path / file, text)
    error = refused(name, tmp_path)
    assert message in error and file in error


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("celeba", ["img_align_celeba", "identity_CelebA.txt", "list_attr_celeba.txt"]),
        ("celeba_hq", ["CelebA-HQ-img", "CelebA-HQ-to-CelebA-mapping.txt", "identity_CelebA.txt"]),
        ("custom_concept101", ["dataset.json", "benchmark_dataset", "prompts"]),
        ("dreambench_plus", ["images"]),
        ("photo_sketch", ["image", "sketch-rendered"]),
    ],
)
def test_each_missing_file_is_named(name, files, tmp_path):
    lay(name, tmp_path)
    for file in files:
        (place,) = [path for path in tmp_path.rglob(file)]
        place.rename(place.with_name("elsewhere"))
        assert f"there is no {file}. " in refused(name, tmp_path)
        place.with_name("elsewhere").rename(place)
    assert list(open_corpus(name, tmp_path, STRICT))


# -- Subjects --------------------------------------------------------------------------------------


def test_dreambench_fills_its_prompts_with_the_class(tmp_path):
    found = {one.key: one for one in lay("dreambench", tmp_path)}
    assert [(one.name, one.about["kind"]) for one in found.values()] == [
        ("backpack", "object"), ("dog", "live"), ("vase", "object")
    ]  # fmt: skip
    assert found["dog6"].prompts == ("a dog wearing a red hat",)
    assert found["vase"].prompts == ("a vase in the jungle", "a cube shaped vase")
    assert [image.data for image in found["dog6"].images] == [encoded(n) for n in (3, 4, 5)]
    for path in (tmp_path / "dataset/vase").iterdir():
        path.unlink()
    (tmp_path / "dataset/vase").rmdir()
    assert "dataset/vase: no folder with images" in refused("dreambench", tmp_path)
    write(tmp_path / "dataset/prompts_and_classes.txt", "vase,vase\n")
    assert "lacks classes or prompts" in refused("dreambench", tmp_path)


def test_dreambench_reads_subject_folders_of_your_own(tmp_path):
    write(tmp_path / "clay_dog/a.png", encoded(0))
    write(tmp_path / "clay_dog/b.png", encoded(1))
    write(tmp_path / "clay_dog/b.txt", "a clay dog\non a mat\n")
    write(tmp_path / "clay_dog/prompts.txt", "a clay dog in the snow\n\n")
    write(tmp_path / "notes/readme.md", "no subject")
    (found,) = open_corpus("dreambench", tmp_path, STRICT)
    assert (found.key, found.name, found.about) == ("clay_dog", "clay dog", {})
    assert found.captions == ("", "a clay dog on a mat")
    assert found.prompts == ("a clay dog in the snow",)


def test_dreambench_plus_has_one_image_and_nine_prompts(tmp_path):
    found = {one.key: one for one in lay("dreambench_plus", tmp_path)}
    assert found["style/00"].name == "Thing 0" and found["style/00"].about == {"kind": "style"}
    assert [len(one.prompts) for one in found.values()] == [9] * 6
    (tmp_path / "data/images/object/01.jpg").unlink()
    (tmp_path / "data/captions/animal/00.txt").unlink()
    write(tmp_path / "data/captions/object/02.txt", "A thing\n")
    stream = open_corpus("dreambench_plus", tmp_path).records()
    assert [one.key for one in stream] == ["animal/01", "object/00", "style/00"]
    assert stream.problems.first == [
        "data/captions/animal/00.txt: No such file or directory",
        "data/images/object/01.jpg: No such file or directory",
        "data/captions/object/02.txt: has no subject or no prompts",
    ]


def test_custom_concept101_fills_its_prompts_and_keeps_concepts_without(tmp_path):
    found = {one.key: one for one in lay("custom_concept101", tmp_path)}
    cow = found["plushie_cow"]
    assert cow.name == "cow plushie"
    assert cow.prompts == ("photo of a cow plushie.", "cow plushie in snowy ice.")
    (tmp_path / "prompts/barn.txt").unlink()
    (tmp_path / "benchmark_dataset/pet_dog1").rename(tmp_path / "gone")
    stream = open_corpus("custom_concept101", tmp_path).records()
    assert [len(one.prompts) for one in stream] == [2, 0]
    assert stream.problems.first == [
        "benchmark_dataset/pet_dog1: no folder with images",
        "prompts/barn.txt: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is empty"),
        ('[[{"class_prompt": "sofa"}]]', "not dataset_multiconcept.json"),
        (
            '[{"class_prompt": "x", "instance_data_dir": "../x", "prompt_filename": "p"}]',
            "'../x' leads out",
        ),
    ],
)
def test_custom_concept101_refuses_other_lists(text, message, tmp_path):
    lay("custom_concept101", tmp_path)
    write(tmp_path / "dataset.json", text)
    assert message in refused("custom_concept101", tmp_path)


# -- Sketches, edits, styles -----------------------------------------------------------------------


def test_photo_sketch_pairs_each_drawing_at_each_width(tmp_path):
    found = list(lay("photo_sketch", tmp_path))
    assert len(found) == 2 * 3 * 5
    assert found[0].caption == "a view of 2009_01"
    assert found[16].about == {"width": "1", "drawing": "2", "split": "train"}
    assert len({one.photo for one in found}) == 2 and len({one.sketch for one in found}) == 30
    assert found[0].photo.data == encoded(0) and found[0].sketch.data == encoded(1)
    thin = open_corpus("photo_sketch", tmp_path, split="valid", width="5")
    assert [one.key for one in thin] == [f"2009_01_{n:02d}/width-5" for n in range(1, 6)]
    assert "no sketch-rendered/width-7" in refused("photo_sketch", tmp_path, width="7")
    for file in ("train", "val"):
        (tmp_path / f"list/{file}.txt").unlink()
    assert [one.key for one in open_corpus("photo_sketch", tmp_path)] == [one.key for one in found]
    assert "says nothing of splits" in refused("photo_sketch", tmp_path, split="train")


def test_magicbrush_reads_edits_of_a_split(tmp_path):
    found = list(lay("magicbrush", tmp_path, split="train"))
    assert len(found) == 6 and found[3].about == {"image": "1001", "turn": "2"}
    assert found[0].instruction == "let it be number 0"
    assert [one.data for one in found[0].pictures] == [encoded(n) for n in (9, 10, 11)]
    assert len(list(open_corpus("magicbrush", tmp_path, split="valid"))) == 3
    assert "no split 'test': use train or valid" in refused("magicbrush", tmp_path, split="test")


def test_magicbrush_rows_that_lack_something(tmp_path):
    LAYOUTS["magicbrush"](tmp_path, Numbered())
    path = tmp_path / "data/train-00000-of-00001-cd.parquet"
    whole = {
        "img_id": "1", "turn_index": 1, "source_img": cell(encoded(0)),
        "mask_img": cell(encoded(1)), "instruction": "do", "target_img": cell(encoded(2)),
    }  # fmt: skip
    gaps = [{"mask_img": None}, {"instruction": " "}, {"target_img": None}]
    schema = pa.Table.from_pylist([whole]).schema
    table(path, [whole | gap for gap in gaps], schema=schema)
    stream = open_corpus("magicbrush", tmp_path, split="train").records()
    (kept,) = stream
    assert kept.mask is None and len(kept.pictures) == 2
    place = "data/train-00000-of-00001-cd.parquet"
    assert stream.problems.first == [
        f"{place}/1: no instruction",
        f"{place}/2 target_img: no image",
    ]
    table(path, [{name: whole[name] for name in whole if name != "mask_img"}])
    assert "has no column mask_img; its columns are" in refused("magicbrush", tmp_path)


def test_style_folders_name_their_styles(tmp_path):
    found = {one.key: one for one in lay("style_folders", tmp_path)}
    assert found["3d_rendering/0.jpg"].style == "3d rendering"
    bear = found["kid-crayon/1.jpg"]
    assert (bear.style, bear.caption) == ("kid crayon drawing", "A bear")
    write(tmp_path / "kid-crayon/style.txt", "\n")
    assert "is empty: write how the style" in refused("style_folders", tmp_path)


def test_the_list_of_styledrop_is_read(tmp_path):
    listed = {
        "b.jpg": ["A  bay", "in watercolor painting style"],
        "a.jpg": ["A Viking face with beard", "in wooden sculpture"],
    }
    for name in listed:
        write(tmp_path / name, encoded(1))
    write(tmp_path / "data.json", json.dumps(listed))
    found = list(open_corpus("style_folders", tmp_path, STRICT))
    assert [(one.key, one.style, one.caption) for one in found] == [
        ("a.jpg", "wooden sculpture", "A Viking face with beard"),
        ("b.jpg", "watercolor painting", "A bay"),
    ]
    for text, message in (
        ("[]", "lists no image"),
        ('{"a.jpg": "A bay"}', "a.jpg is not given as [subject, style]"),
        ('{"../a.jpg": ["A bay", "in oil style"]}', "'../a.jpg' leads out"),
    ):
        write(tmp_path / "data.json", text)
        assert message in refused("style_folders", tmp_path)
