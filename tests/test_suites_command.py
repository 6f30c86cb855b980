"""`instruct-imagen suites`."""

from __future__ import annotations

import pytest
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.evaluation.suites import freeze as freezing
from instruct_imagen.evaluation.suites.composition import EVERY_SUITE
from instruct_imagen.evaluation.suites.drawing import Drawn
from instruct_imagen.evaluation.suites.registry import open_suite, suite_names
from instruct_imagen.evaluation.suites.world import world_suite
from tests.data.corpora.layouts import Numbered, dreambench


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1, error
    return error


def test_the_list_has_every_suite_and_its_groups(capsys):
    main(["suites", "list"])
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.split(":")[0] for head in heads] == [*EVERY_SUITE, "all"]
    assert (
        "in_domain: 1,392 cases, version 1, sha256 " + world_suite("in_domain").sha256[:16]
        in (heads[0])
    )
    assert "  styled: 48 (24 of an unseen concept, 24 of an unseen style)" in lines


def test_a_sheet_of_a_suite_and_of_a_group(tmp_path, capsys):
    main(["suites", "preview", "zero_shot", str(tmp_path / "all.png"), "--each", "1",
          "--size", "32"])  # fmt: skip
    whole = Image.open(tmp_path / "all.png")
    main(["suites", "preview", "zero_shot", str(tmp_path / "one.png"), "--each", "1",
          "--size", "32", "--group", "control_style"])  # fmt: skip
    one = Image.open(tmp_path / "one.png")
    assert whole.height > one.height > 128
    error = fails(capsys, "suites", "preview", "zero_shot", tmp_path / "x.png", "--group", "face")
    assert "zero_shot has no group 'face': use one of style_subject" in error
    assert "must name a .png file" in fails(capsys, "suites", "preview", "many", tmp_path / "a.jpg")
    assert "unknown suite 'nothing'" in fails(
        capsys, "suites", "preview", "nothing", tmp_path / "a.png"
    )
    assert "--size must be from 8" in fails(
        capsys, "suites", "preview", "many", tmp_path / "a.png", "--size", "4"
    )


def test_a_suite_of_a_data_set_can_be_opened_and_looked_at(tmp_path, capsys):
    dreambench(tmp_path / "data", Numbered())
    out = tmp_path / "mine"
    main(["suites", "from", "dreambench", str(tmp_path / "data"), str(out)])
    suite = open_suite(str(out))
    said = capsys.readouterr().out
    assert f"{sum(suite.groups.values())} cases" in said and suite.sha256[:16] in said
    assert open_suite(str(out / "suite.json")).sha256 == suite.sha256
    main(["suites", "preview", str(out), str(tmp_path / "mine.png"), "--each", "1"])
    assert Image.open(tmp_path / "mine.png").width > 200
    assert "name a new one" in fails(capsys, "suites", "from", "dreambench", tmp_path / "data", out)
    assert "unknown source 'x'" in fails(capsys, "suites", "from", "x", tmp_path, tmp_path / "y")


def test_names_open_the_frozen_suites(tmp_path, monkeypatch):
    assert suite_names() == tuple(EVERY_SUITE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "editing").mkdir()
    assert open_suite("editing").version == 1
    assert len(open_suite("all").groups) > 20


def test_frozen_suites_are_never_written_over(tmp_path, monkeypatch, capsys):
    stored = world_suite("editing").stored[:3]
    monkeypatch.setattr(freezing, "draw_suite", lambda name: Drawn(cases=stored))
    monkeypatch.setattr(freezing, "made_of", lambda: {"seed": 1})
    first = freezing.freeze(tmp_path / "a", names=("editing",), tell=lambda line: None)
    again = freezing.freeze(tmp_path / "b", names=("editing",), tell=lambda line: None)
    assert first.read_bytes() == again.read_bytes()
    packed = [(tmp_path / name / "editing.jsonl.gz").read_bytes() for name in "ab"]
    assert packed[0] == packed[1]
    error = fails(capsys, "suites", "freeze", tmp_path / "a")
    assert "frozen suites are never changed" in error
