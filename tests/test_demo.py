"""The demo, with the artwork and without Node.js."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from instruct_imagen import demo
from instruct_imagen.cli.generate import load_pipeline
from instruct_imagen.data.example import LINE_KINDS, Picture
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.sources import WorldUnavailable

TITLES = {
    "text_to_image", "edge_to_image", "mask_to_image", "depth_to_image", "sketch_to_image",
    "text_to_image_art",
    "subject", "styled", "style_transfer", "style_and_subject",
}  # fmt: skip


FACES = {"face", "face_hq"}
"""Titles that our own few drawings have nothing for."""


def drawn(folder, titles):
    pipeline = load_pipeline("starter")
    pipeline.set_progress_bar_config(disable=True)
    told = []
    sheet, note = demo.run_demo(pipeline, folder, steps=1, images=1, report=told.append)
    assert len(told) == len(titles) and told[-1].startswith(f"{len(titles)} of {len(titles)}: ")
    assert Image.open(sheet).size[1] > len(titles) * 128
    assert {path.stem for path in folder.glob("*.png")} == titles | {"sheet"}
    for title in titles:
        assert Image.open(folder / f"{title}.png").size == (pipeline.size,) * 2
        stored = json.loads((folder / title / "instruction.json").read_text())
        for reference in stored["references"]:
            assert (folder / title / reference["image"]).is_file()
    return note


def test_it_draws_an_instruction_of_each_task(tmp_path):
    assert drawn(tmp_path, TITLES | FACES) == ""


def test_without_the_artwork_it_draws_from_our_own_drawings_and_says_so(tmp_path, monkeypatch):
    def unavailable():
        raise WorldUnavailable("npm is not there: install Node.js")

    monkeypatch.setattr(demo, "demo_cases", unavailable)
    note = drawn(tmp_path, TITLES)
    assert "drawings of our own" in note
    assert "install Node.js" in note


@pytest.mark.parametrize("kind", sorted(LINE_KINDS))
def test_lines_are_as_thick_for_the_model_as_in_its_training(kind):
    cases, atlas = demo.demo_cases()
    scene = dict(cases)["edge_to_image"].target.scene
    drawn_map = demo._drawn(Picture(scene=scene, kind=kind), atlas, 32)
    assert drawn_map.shape == (demo.REFERENCE_SIZE,) * 2 + (3,)
    seen = np.asarray(Image.fromarray(drawn_map).resize((32, 32), Image.Resampling.LANCZOS))
    exact = drawn_map[2::4, 2::4]
    assert np.abs(seen.astype(int) - exact).mean() < 12
    trained = render_pictures([Picture(scene=scene, kind=kind)], atlas, 32)[0]
    assert np.array_equal(exact, trained.permute(1, 2, 0).numpy())
