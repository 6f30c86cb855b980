"""The demo, with the artwork and without Node.js."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from instruct_imagen import (
    InstructImagenPipeline,
    Instruction,
    Reference,
    SuperResolutionPipeline,
    TextEncoder,
    demo,
)
from instruct_imagen.cli import main
from instruct_imagen.cli.models import load_cascade
from instruct_imagen.data.example import LINE_KINDS, Example, ExampleReference, Picture
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.sources import WorldUnavailable
from instruct_imagen.demo_sheet import draw_sheet
from instruct_imagen.diffusion.objective import sampling_scheduler
from instruct_imagen.images import reduced_lines, to_square
from tests import tiny

TITLES = {
    "text_to_image", "edge_to_image", "mask_to_image", "depth_to_image", "sketch_to_image",
    "text_to_image_art",
    "subject", "styled", "style_transfer", "style_and_subject",
}  # fmt: skip
EDITS = {"masked_style_1", "masked_style_2", "masked_removal"}

FACES = {"face", "face_hq"}
"""Titles that our own few drawings have nothing for."""


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Folders of a tiny base model, 4 px, and of the upscaler behind it, 16 px."""
    folder = tmp_path_factory.mktemp("stages")
    encoder = TextEncoder(max_markers=4)
    base = InstructImagenPipeline(tiny.awaken(tiny.own_unet(size=4)), encoder, sampling_scheduler())
    base.save_pretrained(folder / "base")
    upscaler = tiny.awaken(tiny.own_upscaler())
    SuperResolutionPipeline(upscaler, encoder, sampling_scheduler()).save_pretrained(folder / "up")
    return folder / "base", folder / "up"


def check(folder, size, titles):
    assert Image.open(folder / "sheet.png").width == 5 * 266
    assert {path.stem for path in folder.glob("*.png")} == titles | {"sheet"}
    for title in titles:
        expected = demo.EDITED_SIZE if title in EDITS else (size, size)
        assert Image.open(folder / f"{title}.png").size == expected
        stored = json.loads((folder / title / "instruction.json").read_text())
        for reference in stored["references"]:
            assert (folder / title / reference["image"]).is_file()


def test_it_draws_an_instruction_of_each_task_and_edits(tmp_path):
    told, titles = [], TITLES | FACES | EDITS
    cascade = load_cascade("starter", "none")
    cascade.set_progress_bar_config(disable=True)
    sheet, note = demo.run_demo(cascade, tmp_path, steps=1, report=told.append)
    assert (sheet, note) == (tmp_path / "sheet.png", "")
    assert len(told) == len(titles) and told[-1].startswith(f"{len(titles)} of {len(titles)}: ")
    check(tmp_path, 32, titles)


def test_without_the_artwork_it_draws_from_our_own_drawings_and_says_so(
    tmp_path, monkeypatch, stages, capsys
):
    def unavailable():
        raise WorldUnavailable("npm is not there: install Node.js")

    monkeypatch.setattr(demo, "demo_cases", unavailable)
    base, upscaler = map(str, stages)
    main(["demo", "--model", base, "--upscaler", upscaler, "--out", str(tmp_path)])
    error = capsys.readouterr().err
    assert "drawings of our own" in error and "install Node.js" in error
    assert "no upscaler" not in error
    check(tmp_path, 16, TITLES | EDITS)
    for title in EDITS:
        one = Instruction.from_json(tmp_path / title / "instruction.json")
        source, mask = (np.asarray(Image.open(r.image).convert("RGB")) for r in one.references[:2])
        result = np.asarray(Image.open(tmp_path / f"{title}.png"))
        outside = mask.max(axis=2) < 128
        assert 0.5 < outside.mean() < 0.98
        assert np.array_equal(result[outside], source[outside])
        assert (result[~outside] != source[~outside]).any(axis=1).mean() > 0.5


def test_the_command_says_that_there_is_no_upscaler(tmp_path, stages, capsys):
    main(["demo", "--model", str(stages[0]), "--out", str(tmp_path)])
    assert capsys.readouterr().err.count("no upscaler is packaged") == 1
    check(tmp_path, 4, TITLES | FACES | EDITS)


def test_the_packaged_upscaler_is_used_with_the_packaged_model_alone(tmp_path, monkeypatch, stages):
    base, upscaler = stages
    monkeypatch.setattr("instruct_imagen.pipeline.WEIGHTS", tmp_path)
    (tmp_path / "starter").symlink_to(base)
    assert load_cascade("starter", None).upscaler is None  # none is packaged
    (tmp_path / "upscaler").symlink_to(upscaler)
    assert load_cascade("starter", None).size == 16
    assert load_cascade("starter", "none").upscaler is None
    assert load_cascade(str(base), None).upscaler is None


@pytest.mark.parametrize("kind", sorted(LINE_KINDS))
def test_a_small_model_sees_lines_as_in_its_training(kind):
    cases, atlas = demo.demo_cases()
    scene = dict(cases)["edge_to_image"].target.scene
    picture = Picture(scene=scene, kind=kind)
    shown = ExampleReference(marker=1, text="lines", role="edge", picture=picture)
    example = Example(
        task="edge_to_image", text="", caption="", references=(shown,), target=Picture(scene=scene)
    )
    (large,) = demo.draw_references(example, atlas)
    assert large.shape == (demo.REFERENCE_SIZE,) * 2 + (3,)
    image = Image.fromarray(large)
    seen = np.asarray(to_square(image if kind == "sketch" else reduced_lines(image, 32), 32))
    trained = render_pictures([picture], atlas, 32)[0].permute(1, 2, 0).numpy()
    paper = 255 if kind == "sketch" else 0
    ink = [np.abs(one.astype(int) - paper).mean() for one in (seen, trained)]
    assert ink[0] == pytest.approx(ink[1], rel=0.2)
    assert np.corrcoef(seen.ravel(), trained.ravel())[0, 1] > 0.8


def test_the_sheet_shows_pictures_pixel_by_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    small, wide = pixels[:32, :32], pixels[:100]
    results = [[Image.fromarray(one)] for one in (pixels, small, wide)]
    words = Instruction("A dog.")
    sheet = np.asarray(
        draw_sheet([(name, words, one) for name, one in zip("abc", results, strict=True)])
    )
    top = sheet.shape[0] - 256 - 20
    for left, step, shown in ((0, 1, pixels), (266, 8, small), (532, 1, wide)):
        found = sheet[top : top + step * len(shown) : step, left : left + 256 : step]
        assert np.abs(found.astype(int) - shown).max() == 1
    assert (sheet[:top] < 128).any() and (sheet[:, 800:] == 255).all()
    references = tuple(Reference(marker, pixels, "dog") for marker in range(1, 5))
    many = Instruction("A dog as [ref#1], [ref#2], [ref#3] or [ref#4].", references)
    both = draw_sheet([("many", many, results[0]), ("one", words, results[0])])
    assert both.height > 2 * 256  # five pictures fill a row
