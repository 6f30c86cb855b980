from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.data.shards.reading import read_shards
from instruct_imagen.data.tasks import all_tasks
from instruct_imagen.data.tasks.base import drawable
from instruct_imagen.recipes import override, recipe
from instruct_imagen.training.build import recipe_vocabulary

WORLD = ["concepts=12", "min_styles=8", "people=2"]


def fails(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    lines = [line for line in error.splitlines() if " is left out: " not in line]
    assert len(lines) == 1, error
    return error


def test_build_check_and_build_again(tmp_path, capsys):
    out = tmp_path / "shards"
    build = ["tasks", "build", str(out), "--examples", "30", "--shard", "8", "--size", "16"]
    main([*build, *WORLD])
    said = capsys.readouterr()
    assert "30 examples in 4 shards" in said.out
    for name in {"face", "face_hq"} - drawable_names():
        assert f"{name} is left out: the world has no " in said.err
    main(["tasks", "check", str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "30 examples in 4 shards, every image decoded"
    assert lines[-1] == "faults: 0"
    rows = {line.split()[0]: int(line.split()[1]) for line in lines[2:-1]}
    assert sum(rows.values()) == 30
    assert rows["subject"] > rows["styled"] > 0  # the ratios of the recipe's last stage
    assert not {"reproduce", "retrieval"} & set(rows)

    damaged = bytearray((out / "00002.tar").read_bytes())
    damaged[-1] ^= 1
    (out / "00002.tar").write_bytes(damaged)
    assert "has 1 fault," in fails(capsys, "tasks", "check", out)
    main([*build, *WORLD])
    printed = capsys.readouterr().out
    assert "00002.tar was damaged and is made again" in printed
    assert "(3 kept, 1 rebuilt)" in printed
    assert "seed=0, not 1" in fails(capsys, *build, *WORLD, "--seed", "1")
    assert "ratios=" in fails(capsys, *build, *WORLD, "--task", "styled")
    assert "other vocabulary" in fails(capsys, *build, *WORLD, "concepts=13")
    assert "other vocabulary" in fails(capsys, *build, *WORLD, "people=3")


def drawable_names():
    vocabulary = recipe_vocabulary(override(recipe("starter"), WORLD))
    return {name for name, task in all_tasks().items() if drawable(task(), vocabulary)}


def test_held_out_tasks_are_built_and_shown_to_evaluate(tmp_path, capsys):
    build = ["tasks", "build", str(tmp_path / "out"), "--task", "many_conditions", "--size", "16"]
    main([*build, "--examples", "6", *WORLD])
    printed = capsys.readouterr()
    said = printed.err
    assert "6 examples in 1 shard, " in printed.out
    assert said == "many_conditions is held out: these examples are to evaluate models by\n"
    found = list(read_shards(tmp_path / "out"))
    assert {one.task for one in found} == {"many_conditions"}
    assert min(len({part.marker for part in one.references}) for one in found) >= 3
    with pytest.raises(SystemExit):
        main([*build, "--examples", "6", *WORLD, "--seed", "1"])
    remark, error = capsys.readouterr().err.splitlines()
    assert remark == said.strip()  # said before anything is built, and so before what goes wrong
    assert "seed=0, not 1" in error


def test_one_task_alone(tmp_path, capsys):
    out = tmp_path / "retrieval"
    build = ["tasks", "build", str(out), "--task", "retrieval", "--size", "16", "targets=2"]
    main([*build, "--examples", "6", *WORLD])
    found = list(read_shards(out))
    assert {one.task for one in found} == {"retrieval"}
    first, second = found[:2]  # targets=2: neighbours share their references
    assert first.references[0].image == second.references[0].image
    assert first.target != second.target


def test_preview_writes_a_sheet_of_each_task(tmp_path, capsys):
    main(["tasks", "preview", str(tmp_path / "sheets"), "--count", "2", "--size", "32", *WORLD])
    said = capsys.readouterr()
    paths = said.out.split()
    assert len(paths) == len(list((tmp_path / "sheets").iterdir())) >= 11
    assert {Path(path).stem for path in paths} == drawable_names()
    for name in set(all_tasks()) - drawable_names():
        assert f"{name} has no sheet: the world has no " in said.err
    # Two cells side by side, of a reference and a target of 128 pixels each.
    assert Image.open(tmp_path / "sheets" / "edge_to_image.png").width == 2 * (2 * 134 + 6) + 6
    one = tmp_path / "one.png"
    main(["tasks", "preview", str(one), "--task", "retrieval", "--count", "1", *WORLD])
    assert Image.open(one).width == 4 * 134 + 12


def test_wrong_input_is_one_line(tmp_path, capsys):
    out = tmp_path / "out"
    assert "unknown task 'nothing'" in fails(capsys, "tasks", "preview", out, "--task", "nothing")
    assert "unknown task 'nothing'" in fails(capsys, "tasks", "build", out, "--task", "nothing")
    for verb in ("preview", "build"):
        error = fails(capsys, "tasks", verb, out, "--task", "my_subject")
        assert "--recipe my_subject folder=my_images subject='clay dog'" in error
    assert "--task" in fails(capsys, "tasks", "preview", tmp_path / "a.png")
    assert "at most" in fails(capsys, "tasks", "preview", out, "--count", "5000")
    assert "changes no example" in fails(capsys, "tasks", "build", out, "learning_rate=1")
    assert "changes no example" in fails(capsys, "tasks", "preview", out, "targets=2")
    assert "is --size here" in fails(capsys, "tasks", "build", out, "size=32")
    assert "unknown recipe" in fails(capsys, "tasks", "build", out, "--recipe", "nothing")
    assert "no folder" in fails(capsys, "tasks", "check", out)
    assert "whole number" in fails(capsys, "tasks", "build", out, "--workers", "0")
    assert not out.exists()
    (tmp_path / "file").write_text("")
    assert "is a file" in fails(capsys, "tasks", "build", tmp_path / "file")
