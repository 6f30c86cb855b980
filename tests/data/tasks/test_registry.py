from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from instruct_imagen.data import tasks as package
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.world.vocabulary import Vocabulary

NEW_TASK = """
from instruct_imagen.data.example import Example, Picture
from instruct_imagen.data.world.scenes import sample_scene


class Postcard:
    name = "{name}"

    def example(self, rng, vocabulary):
        target = Picture(scene=sample_scene(rng, vocabulary))
        return Example(task=self.name, text="A postcard.", caption="", references=(), target=target)


TASK = Postcard
"""


def test_all_tasks_are_found() -> None:
    assert set(all_tasks()) >= {
        "text_to_image",
        "edge_to_image",
        "mask_to_image",
        "depth_to_image",
        "subject",
        "styled",
        "style_transfer",
        "reproduce",
        "sketch_to_image",
        "masked_edit",
        "instruction_edit",
        "retrieval",
    }
    assert all(name == task.name for name, task in all_tasks().items())


def _add(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    (folder / "postcard.py").write_text(NEW_TASK.format(name=name))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    # Also makes monkeypatch forget the module afterwards.
    monkeypatch.setitem(sys.modules, f"{package.__name__}.postcard", None)
    monkeypatch.delitem(sys.modules, f"{package.__name__}.postcard")
    monkeypatch.setattr(package, "postcard", None, raising=False)


def test_a_new_task_is_one_new_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    _add(monkeypatch, tmp_path, "postcard")
    found = all_tasks.__wrapped__()
    assert set(found) == {*all_tasks(), "postcard"}
    assert found["postcard"]().example(np.random.default_rng(0), vocabulary).text == "A postcard."


def test_two_tasks_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _add(monkeypatch, tmp_path, "styled")
    with pytest.raises(ValueError, match=r"'styled' is defined in .* and in .*; rename one"):
        all_tasks.__wrapped__()
