"""`instruct-imagen calibrate` on a folder of pictures, with tiny models of the real classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from instruct_imagen.cli import main
from instruct_imagen.cli.calibrate import levels_given
from instruct_imagen.cli.errors import UsageError
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.suites.registry import open_suite
from instruct_imagen.images import save_png
from tests.evaluation.judges import small_models
from tests.evaluation.judges.small_models import COLOURS, caption, drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A suite of things that have two pictures each, and models."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("calibrate")
    cases = []
    for number, colour in enumerate(COLOURS):
        references = []
        for picture in range(2):
            image = f"images/{colour}{picture}.png"
            save_png(root / "suite" / image, drawn(colour, 100 * number + picture))
            one = {"marker": 1, "text": "thing", "role": "subject", "image": image}
            references.append(one)
        conditions = [
            {"name": "subject", "kind": "subject", "marker": 1},
            {"name": "text", "kind": "text"},
        ]
        case = dict(
            id=f"things/{number:04d}", group="things", text="Draw [ref#1].", references=references,
            prompt=caption(colour), conditions=conditions, seed=number,
        )  # fmt: skip
        cases.append(case)
    suite = {"name": "things", "version": 1, "cases": cases}
    (root / "suite" / "suite.json").write_text(json.dumps(suite))
    small_models.save_clip(root / "clip", steps=200)
    small_models.save_vit(root / "vit")
    yield root
    torch.set_num_threads(threads)


def test_from_a_folder_to_scores(folder, tmp_path, capsys):
    out, suite = tmp_path / "new" / "thresholds.json", str(folder / "suite")
    spec = f"embedding:clip={folder / 'clip'},dino={folder / 'vit'}"
    main(["calibrate", suite, "--judge", spec, "--out", str(out), "--full", "text=0.7"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in printed] == ["text", "subject", "pq", str(out)]
    assert "1 from 0.7000 (given)" in printed[0]
    assert "(180 wrong pairs), 1 from 0.9" in printed[1]
    assert "(20 right pairs)" in printed[1]
    judge = open_judge(f"{spec},thresholds={out}")
    cases = open_suite(suite).cases(32)
    images = [drawn(colour, 7000 + row) for row, colour in enumerate(COLOURS)]
    right = judge.judge(cases, images)
    wrong = judge.judge(cases, images[3:] + images[:3])
    assert np.mean([one.sc for one in right]) > 0.4
    assert np.mean([one.sc for one in wrong]) <= 0.1


def test_what_is_missing_is_one_line(folder, tmp_path, capsys):
    out, suite = str(tmp_path / "t.json"), str(folder / "suite")
    spec = f"embedding:clip={folder / 'clip'},dino={folder / 'vit'}"
    vlm = "vlm:url=http://127.0.0.1:9/v1,model=m"
    for arguments, cause in (
        ([suite, "--judge", spec, "--out", out], "give the level of 1 from elsewhere, --full text"),
        ([suite, "--judge", vlm, "--out", out], "the judge vlm has no thresholds"),
        ([suite, "--judge", spec, "--out", "t.txt"], "must name a .json file"),
        ([suite, "--judge", spec, "--out", out, "--full", "edge=0.5"], "level of edge is not used"),
    ):
        with pytest.raises(SystemExit):
            main(["calibrate", *arguments])
        printed = capsys.readouterr().err
        assert cause in printed and printed.count("\n") == 1


@pytest.mark.parametrize("given", [["text"], ["=0.5"], ["text=2"], ["text=nan"], ["a=0", "a=1"]])
def test_levels_are_similarities_by_kind(given):
    assert levels_given(["text=0.3", "subject=-0.1"]) == {"text": 0.3, "subject": -0.1}
    with pytest.raises(UsageError, match="--full"):
        levels_given(given)
