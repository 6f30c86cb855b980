"""`instruct-imagen generate --source …`: edits of a picture of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.cli import main


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    pixels[..., 3] = np.maximum(pixels[..., 3], 1)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    mask = np.zeros((40, 60), np.uint8)
    mask[10:25, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask[:20]).save(tmp_path / "small.png")
    return tmp_path


def edited(folder, *arguments):
    out = folder / "edited.png"
    main(
        ["generate", *map(str, arguments), "--steps", "1", "--upscaler", "none", "--out", str(out)]
    )
    return np.asarray(Image.open(out))


def test_outside_the_mask_the_file_has_the_sources_bytes(photo):
    source, mask = photo / "photo.png", photo / "mask.png"
    result = edited(photo, "Remove the dog.", "--source", source, "--mask", mask)
    outside = np.asarray(Image.open(mask)) == 0
    before = np.asarray(Image.open(source))
    assert result.shape == before.shape
    assert np.array_equal(result[outside], before[outside])
    assert (result[~outside] != before[~outside]).any()


def test_a_text_without_markers_gets_those_of_training(photo, monkeypatch):
    from instruct_imagen.cascade import Cascade

    seen = []
    original = Cascade.__call__

    def look(self, instructions, **options):
        seen.append((instructions[0], options))
        return original(self, instructions, **options)

    monkeypatch.setattr(Cascade, "__call__", look)
    source, mask = photo / "photo.png", photo / "mask.png"
    edited(photo, "Remove the dog.", "--source", source, "--mask", mask, "--seam", "0.25")
    edited(photo, "Remove the dog", "--source", source, "--threshold", "0.5")
    guided = "In [ref#1], put [ref#2] on the table."
    edited(photo, guided, "--source", source, "--ref", f"cat={source}")
    edited(photo, "Can you remove the dog?", "--source", source, "--mask", mask)
    masked, free, reference, asked = (one for one, _ in seen)
    question = "Can you remove the dog? The picture is [ref#1], and the mask is [ref#2]."
    assert asked.text == question
    assert masked.text == "Remove the dog in [ref#1], inside the mask [ref#2]."
    assert [one.role for one in masked.references] == ["source", "mask"]
    assert free.text == "Remove the dog in [ref#1]."
    assert reference.text == guided
    assert [(one.marker, one.text, one.role) for one in reference.references] == [
        (1, "source image", "source"),
        (2, "cat", None),
    ]
    assert seen[0][1]["seam"] == 0.25
    assert seen[1][1]["threshold"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mask", "mask.png"), "name it with --source"),
        (("--source", "photo.png", "--mask", ""), "names no file"),
        (("--source", ""), "names no file"),
        (("--source", "gone.png"), "gone.png"),
        (("--source", "photo.png", "--mask", "small.png"), "make them the same size"),
        (("--source", "photo.png", "--mask", "photo.png"), "transparent in places"),
        (("--source", "photo.png", "--mask", "mask.png", "--threshold", "0.1"), "without a mask"),
        (("--seam", "0.1"), "name a picture with --source"),
        (("--source", "photo.png", "--seam", "0.9"), "at most 0.5"),
        (("--source", "photo.png", "--threshold", "nan"), "from 0 to 1"),
        (("--source", "photo.png", "--ref", "1:cat=photo.png"), "is --source"),
        (("--source", "photo.png", "--mask", "mask.png", "--ref", "2:a=mask.png"), "is the mask"),
        (("--upscaler", "starter"), "is a base model"),
        (("--upscaler", "nowhere"), "no model 'nowhere'"),
        (("--upscaler", "none", "--upscaler-steps", "3"), "needs an upscaler"),
    ],
)
def test_what_cannot_be_done_is_one_line(photo, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(photo)
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "Remove the dog.", *arguments, "--out", "edited.png"])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert words in error
    assert len(error.strip().splitlines()) == 1, error
    assert not (photo / "edited.png").exists()
