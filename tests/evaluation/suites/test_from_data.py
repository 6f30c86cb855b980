"""Suites of data sets that a user has."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.data.corpora import CorpusError
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.suites.folder import FolderSuite
from instruct_imagen.evaluation.suites.from_data import make_suite, marked
from instruct_imagen.images import load_image
from tests.data.corpora.layouts import Numbered, custom_concept101, dreambench, encoded, write


@pytest.mark.parametrize(
    ("prompt", "name", "text"),
    [
        ("a dog in the snow", "dog", "the [ref#1] dog in the snow"),
        ("a photo of a dog", "dog", "a photo of the [ref#1] dog"),
        ("dog in snowy ice.", "dog", "the [ref#1] dog in snowy ice."),
        ("a purple dog", "dog", "[ref#1] dog: a purple dog"),
        ("something else", "dog", "[ref#1] dog: something else"),
    ],
)
def test_a_prompt_gets_its_marker_beside_the_subject(prompt, name, text):
    assert marked(prompt, name) == text


def test_dreambench_gives_each_subject_with_each_prompt(tmp_path):
    dreambench(tmp_path / "data", Numbered())
    suite, notes = make_suite("dreambench", tmp_path / "data", tmp_path / "out")
    assert notes == [] and set(suite.groups) == {"live", "object"}
    for case in suite.cases(64):
        assert case.instruction.markers == (1,)
        assert len(case.instruction.references) == 3
        assert [one.kind for one in case.conditions] == ["subject", "text"]
        assert "[ref" not in case.prompt and case.prompt
    assert len({case.seed for case in suite.cases(64)}) == sum(suite.groups.values())
    live = [case for case in suite.found if case.group == "live"]
    assert {case.id.split("/")[0] for case in live} == {"dog6"}
    again, _ = make_suite("dreambench", tmp_path / "data", tmp_path / "again")
    assert again.sha256 == suite.sha256
    assert FolderSuite.open(tmp_path / "out").groups == suite.groups


def test_custom_concept101_gives_each_concept_with_each_prompt(tmp_path):
    custom_concept101(tmp_path / "data", Numbered())
    suite, _ = make_suite("custom_concept101", tmp_path / "data", tmp_path / "out")
    assert suite.groups == {"subject": 6}
    texts = [case.instruction.text for case in suite.found]
    assert "photo of the [ref#1] dog." in texts
    assert "the [ref#1] dog in snowy ice." in texts


def test_nothing_is_passed_over_in_silence(tmp_path):
    dreambench(tmp_path / "data", Numbered(lambda number: number == 4))
    with pytest.raises(CorpusError, match="0 are tolerated"):
        make_suite("dreambench", tmp_path / "data", tmp_path / "out")
    own = tmp_path / "own"
    write(own / "my dog" / "0.jpg", encoded(0, "JPEG"))
    with pytest.raises(EvaluationError, match=r"my dog has no prompts: add its prompts\.txt"):
        make_suite("dreambench", own, tmp_path / "other")
    write(own / "my dog" / "prompts.txt", "a my dog asleep\n")
    suite, _ = make_suite("dreambench", own, tmp_path / "other")
    assert [case.instruction.text for case in suite.found] == ["the [ref#1] my dog asleep"]


def test_an_unknown_source_is_told(tmp_path):
    with pytest.raises(EvaluationError, match="unknown source 'coco': use one of dreambench"):
        make_suite("coco", tmp_path, tmp_path / "out")


# -- ImagenHub -------------------------------------------------------------------------------------


def run_folder(folder, samples, **pictures):
    """A folder as a run of ImagenHub leaves it."""
    write(folder / "dataset_lookup.json", json.dumps(samples, indent=4))
    for kind, content in pictures.items():
        for name in samples:
            write(folder / kind / name, content)
    return folder


def test_prompts_of_text_to_image(tmp_path):
    samples = {"sample_0.jpg": {"prompt": "a blue cat", "category": "c", "source": "s"}}
    suite, _ = make_suite("imagenhub", run_folder(tmp_path / "run", samples), tmp_path / "out")
    (case,) = suite.found
    assert (case.id, case.instruction.text) == ("text_to_image/sample_0", "a blue cat")
    assert case.references == 0 and [one.kind for one in case.conditions] == ["text"]


def test_controls_that_are_no_conditions_of_ours_are_left_out_and_counted(tmp_path):
    samples = {
        f"sample_{number}_control_{kind}.jpg": {"text": "a house", "control_type": kind}
        for number, kind in enumerate(("canny", "depth", "openpose", "grayscale", "hed"))
    }
    folder = run_folder(tmp_path / "run", samples, input=encoded(0, "JPEG"))
    suite, notes = make_suite("imagenhub", folder, tmp_path / "out")
    assert suite.groups == {"edge_to_image": 2, "depth_to_image": 1}
    assert [note.split(",")[0] for note in notes] == [
        "1 samples are left out: their control is openpose",
        "1 samples are left out: their control is grayscale",
    ]
    assert suite.found[0].instruction.text == "a house, after the edge map [ref#1]"
    assert [one.kind for one in suite.found[0].conditions] == ["edge", "text"]


def test_edits_with_and_without_a_mask(tmp_path):
    texts = {"instruction": "let the cat wear a hat", "target_global_caption": "a cat with a hat",
             "source_global_caption": "a cat"}  # fmt: skip
    folder = run_folder(tmp_path / "a", {"sample_1_2.jpg": texts}, input=encoded(0, "JPEG"))
    suite, _ = make_suite("imagenhub", folder, tmp_path / "out")
    (case,) = suite.found
    assert case.instruction.text == "Edit [ref#1]: let the cat wear a hat"
    assert [one.kind for one in case.conditions] == ["source", "edit"]
    assert case.prompt == "a cat with a hat"
    texts = {"instruction": "add a hat", "target_local_caption": "a hat"}
    folder = run_folder(tmp_path / "b", {"sample_1_2.jpg": texts}, input=encoded(0, "JPEG"))
    with pytest.raises(EvaluationError, match=r"mask/sample_1_2\.jpg is missing"):
        make_suite("imagenhub", folder, tmp_path / "masked")
    run_folder(tmp_path / "b", {"sample_1_2.jpg": texts}, mask=encoded(1, "JPEG"))
    suite, _ = make_suite("imagenhub", folder, tmp_path / "masked")
    (case,) = suite.found
    assert case.instruction.text == "Edit [ref#1] in the white area of [ref#2]: add a hat"
    assert [one.kind for one in case.conditions] == ["source", "edit"]
    assert [one.role for one in case.instruction.references] == ["source", "mask"]


def test_a_subject_and_two_of_them(tmp_path):
    samples = {"sample_7.jpg": {"subject_id": 3, "subject": "dog6",
                                "prompt": "a <token> dog in the jungle"}}  # fmt: skip
    folder = run_folder(tmp_path / "a", samples, input=encoded(0, "JPEG"))
    (case,) = make_suite("imagenhub", folder, tmp_path / "out")[0].found
    assert case.instruction.text == "a [ref#1] dog in the jungle"
    assert case.prompt == "a dog in the jungle"
    assert case.instruction.references[0].text == "dog"

    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    samples = {"sample_1.jpg": {"prompt": "a cat beside a wooden chair", "concept1": "cat",
                                "concept2": "wooden chair"}}  # fmt: skip
    folder = run_folder(tmp_path / "run/b", samples)
    write(tmp_path / "run/input/sample_1.jpg", buffer.getvalue())  # beside the run, as published
    (case,) = make_suite("imagenhub", folder, tmp_path / "two")[0].found
    assert case.instruction.text == "a [ref#1] cat beside a [ref#2] wooden chair"
    assert [one.name for one in case.conditions] == ["subject 1", "subject 2", "text"]
    first, second = (np.asarray(load_image(one.image)) for one in case.instruction.references)
    assert first.shape == second.shape == (8, 8, 3)
    assert first.max() == 0 and second.min() == 255


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "must map names"),
        ('{"a.jpg": {"title": "x"}}', "a.jpg has title, which no benchmark"),
        ('{"../a.jpg": {"prompt": "x"}}', "without folders"),
        ("{}", "gives no case"),
    ],
)
def test_another_folder_is_told_in_one_line(tmp_path, text, message):
    write(tmp_path / "run/dataset_lookup.json", text)
    with pytest.raises(EvaluationError, match=message) as error:
        make_suite("imagenhub", tmp_path / "run", tmp_path / "out")
    assert "\n" not in str(error.value)
    with pytest.raises(EvaluationError, match=r"dataset_lookup\.json: No such file"):
        make_suite("imagenhub", tmp_path, tmp_path / "out")
