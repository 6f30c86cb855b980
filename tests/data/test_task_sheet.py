"""Sheets show what they say, where they say it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from instruct_imagen.data.task_sheet import WIDTH, _label, _wrapped, pairs_of, task_sheet
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.data.world.fallback import fallback_atlas, fallback_vocabulary
from instruct_imagen.data.world.render import render_pictures
from instruct_imagen.data.world.scenes import scene_rng


@pytest.mark.parametrize(
    "name", [n for n, task in all_tasks().items() if drawable(task(), fallback_vocabulary())]
)
def test_a_sheet_shows_every_picture_of_its_examples(name):
    task, vocabulary = all_tasks()[name](), fallback_vocabulary()
    examples = [task.example(scene_rng(0, index), vocabulary) for index in range(7)]
    sheet = np.asarray(task_sheet(examples, fallback_atlas(), size=32))
    most = max(len(example.references) for example in examples) + 1
    cell = max(2, most) * 134 + 6
    columns = min(7, WIDTH // cell)
    assert sheet.shape[1] == columns * cell + 6
    rows = -(-7 // columns)
    height = (len(sheet) - 6) // rows
    assert (len(sheet) - 6) % rows == 0
    for index, example in enumerate(examples):
        part = sheet[6 + index // columns * height :][:height]
        part = part[:, 6 + index % columns * cell :][:, :cell]
        pictures = [*(one.picture for one in example.references), example.target]
        pixels = render_pictures(pictures, fallback_atlas(), 32).permute(0, 2, 3, 1).numpy()
        tops = set()
        for place, own in enumerate(pixels):
            slot = most - 1 if place == len(pixels) - 1 else place
            left = slot * 134
            large = own.repeat(4, 0).repeat(4, 1)
            tops |= {
                top
                for top in range(height - 127)
                if np.array_equal(part[top : top + 128, left : left + 128], large)
            }
        assert len(tops) == 1
        beneath = part[tops.pop() + 130 :]
        assert (beneath.min(axis=2) < 100).any(), "the text stands beneath"


def test_only_the_sprites_of_the_examples_are_asked_for():
    task, vocabulary = all_tasks()["styled"](), fallback_vocabulary()
    example = task.example(scene_rng(0, 0), vocabulary)
    shown = [example.target, *(one.picture for one in example.references)]
    expected = {(a.concept, a.style) for one in shown for a in one.scene.placements}
    assert pairs_of([example]) == sorted(expected)


def test_text_is_wrapped_whole_and_labels_are_cut():
    font = ImageFont.load_default(size=13)
    text = "Draw the [ref#1] dog in the style of [ref#2]: a dog on a pink background. " * 4
    lines = _wrapped(text, font, 200)
    assert " ".join(lines).split() == text.split()
    assert max(font.getlength(line) for line in lines) <= 200
    label = _label(text, font, 128)
    assert len(label) == 3
    assert label[-1].endswith("…")
    assert max(font.getlength(line) for line in label) <= 128
    assert _label("[ref#1] dog", font, 128) == ["[ref#1] dog"]
