"""`instruct-imagen evaluate` and `report`, with small suites in place of the frozen ones."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from instruct_imagen.cli import main
from instruct_imagen.cli.evaluate import EXAMPLES, _ProgressLine, label, progress_words
from instruct_imagen.evaluation import judges as judges_folder
from instruct_imagen.evaluation import peers as peers_folder
from instruct_imagen.evaluation import report as reports
from instruct_imagen.evaluation.judges import registry as judges
from instruct_imagen.evaluation.peers.registry import PIPELINE
from instruct_imagen.evaluation.plugins import found
from instruct_imagen.evaluation.report import DATA, DIAGNOSIS, PAGE
from instruct_imagen.evaluation.runner import Progress
from instruct_imagen.images import load_image
from tests.evaluation.small import GROUPS, PixelJudge, SmallSuite, _cases

SUITES = "instruct_imagen.evaluation.suites.registry"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two small suites and a judge of pixels are all that there is."""
    registry = ModuleType(SUITES)
    registry.suite_names = lambda: ("first", "second", "few")
    registry.names_of_all = lambda: ("first", "second")
    registry.open_suite = lambda name: SmallSuite(each=2, name=name, groups=_groups(name))
    monkeypatch.setitem(sys.modules, SUITES, registry)
    monkeypatch.setattr(judges, "judge_classes", lambda: {"pixels": PixelJudge})


def _groups(name):
    edits = {
        "edits": ("instruction_edit",),
        "masked": ("masked_edit",),
        "both": ("instruction_edit", "masked_edit"),
    }
    return edits.get(name, GROUPS)


def run(*arguments):
    main(["evaluate", *map(str, arguments), "--judge", "pixels"])


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    assert ended.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


def test_all_suites_and_models_and_the_report_again(tmp_path, capsys):
    run("all", "copy_reference:size=16", "copy_reference:size=24", "--out", tmp_path, "--limit", 1)
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(tmp_path / PAGE)]
    assert "images: 5 of 5" in captured.err
    runs = sorted(str(p.parent.relative_to(tmp_path)) for p in tmp_path.glob("*/*/run.json"))
    assert runs == [
        f"{suite}/copy_reference-size={size}" for suite in ("first", "second") for size in (16, 24)
    ]
    before = json.loads((tmp_path / DATA).read_text())
    (tmp_path / DATA).unlink()
    main(["report", str(tmp_path)])
    assert json.loads((tmp_path / DATA).read_text()) == before


def test_a_diagnosis_needs_no_judge(tmp_path, capsys):
    main(["evaluate", "first", "copy_reference:size=16", "--out", str(tmp_path), "--diagnose", "1"])
    path = tmp_path / "diagnosis-first" / "copy_reference-size=16" / DIAGNOSIS
    roles = {one["role"]: one for one in json.loads(path.read_text())}
    assert roles["edge"]["copied"] == 1
    assert "What each reference does" in (tmp_path / PAGE).read_text()


def test_one_group_and_one_case_have_a_report_without_intervals(tmp_path):
    run("first", "copy_reference", "--group", "subject", "--limit", 1, "--out", tmp_path)
    content = (tmp_path / DATA).read_text()
    assert "NaN" not in content
    (row,) = [one for one in json.loads(content)["groups"] if one["models"]["copy_reference"]]
    scores = row["models"]["copy_reference"]["sc"]
    assert (row["group"], scores["cases"], scores["low"]) == ("subject", 1, None)


def test_failed_cases_end_with_status_2_after_the_report(tmp_path, capsys, monkeypatch):
    class Broken(PixelJudge):
        def judge(self, cases, images):
            raise ValueError("no <eyes>")

    monkeypatch.setattr(judges, "judge_classes", lambda: {"pixels": Broken})
    line = refused(capsys, "evaluate", "first", "copy_reference", "--judge", "pixels", "--out",
                   tmp_path, "--limit", 1)  # fmt: skip
    assert line.startswith("instruct-imagen: 5 cases have no score, named at the head of")
    assert "no &lt;eyes&gt;" in (tmp_path / PAGE).read_text()


def test_a_second_judge_that_fails_ends_with_status_2(tmp_path, capsys, monkeypatch):
    class Blind(PixelJudge):
        name = "blind"

        def judge(self, cases, images):
            raise ValueError("no eyes")

    monkeypatch.setattr(judges, "judge_classes", lambda: {"pixels": PixelJudge, "blind": Blind})
    given = ("first", "copy_reference", "--out", tmp_path, "--limit", 1)
    line = refused(capsys, "evaluate", *given, "--judge", "pixels", "--judge", "blind")
    assert "cases without a verdict of blind: 5; run evaluate again" in line
    assert "This evaluation failed" not in (tmp_path / PAGE).read_text()
    assert "5 cases have no score" in refused(capsys, "report", tmp_path, "--judge", "blind")


def test_a_run_of_another_model_that_is_half_done_stops_none(tmp_path, capsys):
    given = ("--limit", 1, "--out", tmp_path)
    run("first", "copy_reference:size=24", *given)
    (answers,) = tmp_path.glob("first/*/answers.jsonl")
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:2]))
    run("first", "copy_reference:size=16", *given)
    captured = capsys.readouterr()
    assert f"other runs in {tmp_path} are not whole: 3 cases" in captured.err
    assert "3 cases have no score" in refused(capsys, "report", tmp_path)
    run("first", "copy_reference:size=24", *given)
    main(["report", str(tmp_path)])


def test_wrong_names_are_told_before_anything_is_drawn(tmp_path, capsys):
    given = ("first", "copy_reference:size=16", "--out", tmp_path)
    assert "unknown judge 'x'" in refused(capsys, "evaluate", *given, "--judge", "x")
    assert "no option 'a=b'" in refused(
        capsys, "evaluate", *given[:2], "copy_reference:a=b", *given[2:], "--judge", "pixels"
    )
    assert "SUITE ',' names none" in refused(capsys, "evaluate", ",", *given[1:])
    assert not [*tmp_path.iterdir()]


def test_a_diagnosis_of_other_cases_needs_another_folder(tmp_path, capsys):
    given = ("first", "copy_reference:size=16", "--out", tmp_path, "--diagnose")
    main(["evaluate", *map(str, given), "1"])
    line = refused(capsys, "evaluate", *given, "2")
    assert "is of settings.cases=1, not 2: name another --out" in line


def test_a_pipeline_is_swept_and_each_setting_is_a_model_of_its_own(tmp_path, capsys):
    run("first", "starter", "--sweep", "steps=1,2", "--limit", 1, "--out", tmp_path)
    runs = sorted(path.parent.name for path in tmp_path.glob("sweep-first/*/run.json"))
    assert runs == ["starter-steps=1", "starter-steps=2"]
    settings = [row["settings"] for row in json.loads((tmp_path / DATA).read_text())["sweep"]]
    assert settings == [{"steps": "1"}, {"steps": "2"}]


def test_edits_have_settings_of_their_own_each_in_a_folder_of_its_own(tmp_path):
    given = ("edits", "starter", "--steps", 1, "--limit", 1, "--out", tmp_path)
    for more in ((), ("--no-compositing",), ("--upscaler", "none", "--threshold", 1)):
        run(*given, *more)
    runs = {path.parent.name: path.parent for path in tmp_path.glob("edits/*/run.json")}
    assert set(runs) == {
        "starter-steps=1", "starter-compositing=off-steps=1", "starter-steps=1-threshold=1",
    }  # fmt: skip
    prints = [json.loads((one / "run.json").read_text())["model"] for one in runs.values()]
    assert len({one["fingerprint"] for one in prints}) == 3
    source = _cases("instruction_edit", 1, 32)[0].instruction.references[0].image
    images = {
        name: np.asarray(load_image(one / "images/instruction_edit/0000.png"))
        for name, one in runs.items()
    }
    assert (images["starter-steps=1-threshold=1"] == source).all()
    assert (images["starter-compositing=off-steps=1"] != source).any()


def test_a_threshold_needs_an_edit_without_a_mask(tmp_path, capsys):
    given = ("starter", "--steps", 1, "--out", tmp_path, "--judge", "pixels")
    for more in (("--threshold", 0.1), ("--sweep", "threshold=0,1")):
        line = refused(capsys, "evaluate", "masked", *given, *more)
        assert "masked has no edits without a mask" in line
    line = refused(capsys, "evaluate", "both", *given, "--group", "masked_edit", "--threshold", 0)
    assert "both (masked_edit) has no edits without a mask" in line
    assert not list(tmp_path.iterdir())
    run("masked,both", "starter", "--steps", 1, "--limit", 1, "--threshold", 0, "--out", tmp_path)
    assert len(list(tmp_path.glob("*/*/run.json"))) == 2


def test_thresholds_are_swept(tmp_path):
    run("edits", "starter", "--steps", 1, "--limit", 1, "--sweep", "threshold=0,1", "--out",
        tmp_path)  # fmt: skip
    rows = json.loads((tmp_path / DATA).read_text())["sweep"]
    assert [row["settings"] for row in rows] == [{"threshold": "0"}, {"threshold": "1"}]
    assert "O against threshold" in (tmp_path / PAGE).read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("starter", "--upscaler-steps", "2"), "--upscaler-steps needs an upscaler"),
        (("starter", "--upscaler", "none", "--upscaler-steps", "2"), "needs an upscaler"),
        (("starter:upscaler=starter", "--upscaler-steps", "2"), "is a base model"),
        (("starter", "--upscaler", "starter"), "is a base model: name an upscaler"),
        (("starter", "--seam", "0.6"), "--seam must be at most 0.5, not 0.6"),
        (("starter", "--threshold", "3"), "--threshold: must be a number from 0 to 1"),
        (("starter", "--threshold", "0.1", "--no-compositing"), "--threshold changes nothing with"),
        (("starter", "--seam", "0.1", "--diagnose", "1"), "leave --seam out"),
        (("copy_reference", "--upscaler", "any"), "--upscaler changes nothing: it is of saved"),
        (("copy_reference", "--no-compositing"), "--no-compositing changes nothing: it is of"),
        (("starter:threshold=0.1", "--threshold", "0.2"), "--threshold changes nothing: it is of"),
        (("starter:seam=0.1", "--seam", "0.2", "--steps", "5"), "--seam changes nothing: it is of"),
        (("starter", "--seam", "0.1"), "--seam changes nothing: first has no edits"),
        (("starter", "--no-compositing"), "--no-compositing changes nothing: first has no edits"),
        (("starter", "--sweep", "seam=0,0.1"), "--sweep seam changes nothing: first has no edits"),
        (("starter", "--sweep", "compositing=on,off"), "--sweep compositing changes nothing"),
        (("nobody",), "there is no model 'nobody'"),
        (("copy_reference:colour=red",), "no option 'colour=red'"),
        (("copy_reference", "copy_reference"), "two models would share"),
        (("copy_reference", "--sweep", "steps=1", "--diagnose", "1"), "two commands"),
        (("copy_reference", "--limit", "1", "--diagnose", "1"), "leave --group and --limit out"),
        (("copy_reference", "--group", "cats"), "has no group cats: use some of text_to_image"),
        (("copy_reference", "--judge", "pixels"), "judge pixels is named twice"),
        (("copy_reference", "--sweep", "steps=1"), "copy_reference is none: leave it out"),
        (("starter", "--sweep", "steps=1", "--sweep", "steps=2"), "names steps twice"),
        (("starter", "--sweep", "colour=1"), "write e.g. steps=5,10,20"),
        (("starter:steps=many",), "steps=many must be a whole number"),
        (("starter", "--guidance", "0.5"), "guidance=0.5 must be a number from 1"),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, arguments, words):
    assert words in refused(capsys, "evaluate", "first", *arguments, "--out", tmp_path,
                            "--judge", "pixels")  # fmt: skip


def test_an_unknown_judge_and_an_empty_folder_are_one_line(tmp_path, capsys):
    line = refused(capsys, "evaluate", "first", "copy_reference", "--out", tmp_path, "--judge", "x")
    assert "unknown judge 'x': use one of pixels" in line
    assert "holds no evaluation" in refused(capsys, "report", tmp_path / "none")


def test_labels_are_folders_and_tell_models_apart():
    assert label("pipeline:model=starter") == "starter"
    assert label("pipeline:model=starter,batch=8,steps=10") == "starter-steps=10"
    assert label("pipeline:model=../out/a b/export") == "out_a_b_export"
    assert label("copy_reference:size=64") == "copy_reference-size=64"
    assert "/" not in label("openai_edit:url=http://localhost:8000/v1")


def test_a_phase_is_told_before_its_first_piece_is_done(capsys):
    show = _ProgressLine()
    for phase, done in (("images", 0), ("images", 1), ("images", 2), ("verdicts of truth", 0)):
        show(Progress(phase=phase, done=done, total=2, failed=0, seconds=0.1, fresh=done))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0].strip() for line in lines] == [
        "images: 0 of 2", "images: 2 of 2", "verdicts of truth: 0 of 2",
    ]  # fmt: skip


def test_progress_in_words():
    words = progress_words(
        Progress(phase="images", done=30, total=100, failed=2, seconds=10, fresh=20)
    )
    assert words == "  images: 30 of 100, 2 failed, 2.00/s, 0:35 left"
    assert reports.PAGE == "report.html"


def test_the_help_names_every_judge_and_peer():
    names = {*found(judges_folder, "JUDGE"), *found(peers_folder, "PEER")} - {PIPELINE}
    assert len(names) >= 8
    assert [name for name in sorted(names) if name not in EXAMPLES] == []
