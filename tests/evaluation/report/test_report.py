"""Reports of real runs of small models, whose figures are known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.record import image_path
from instruct_imagen.evaluation.report import DATA, DIAGNOSIS, PAGE, TABLE, write_report
from instruct_imagen.evaluation.report.paper import AVERAGES, IN_DOMAIN, PAPER
from instruct_imagen.evaluation.report.results import read_results
from instruct_imagen.evaluation.runner import Job, run_suite
from tests.evaluation.small import Painter, PixelJudge, SmallSuite

TASKS = ("text_to_image", "edge_to_image", "subject")


class Marked(Painter):
    """Images whose first pixel tells a fixed judge what to say."""

    def __init__(self, value: int, fingerprint: str = "") -> None:
        super().__init__(fingerprint or f"marked {value}")
        self._value = value

    def generate(self, instruction, *, seed):
        image = super().generate(instruction, seed=seed)
        image.putpixel((0, 0), (self._value, 0, 0))
        return image


class MarkJudge(PixelJudge):
    """The last condition has half the mark of the image, all others the whole."""

    name = "marks"

    def _one(self, case, image):
        mark = int(image[0, 0, 0]) / 2
        half = {1.0: 0.5, 0.5: 0.0, 0.0: 0.0}[mark]
        scores = [Score(condition=c.name, value=mark, reason="its <mark>") for c in case.conditions]
        scores[-1] = replace(scores[-1], value=half)
        return Verdict(scores=tuple(scores), pq=1.0, pq_reason="always")


class Twins(SmallSuite):
    """Subjects with and without their references, and some that no training has shown."""

    def cases(self, size):
        cases = [*super().cases(size)]
        with_, without = cases[:2], cases[2:4]
        pairs = [
            replace(one, pair=other.id, unseen="concept")
            for one, other in zip(with_, without, strict=True)
        ]
        return [*pairs, *without, *cases[4:]]


SUITES = {
    "in_domain": partial(SmallSuite, name="in_domain", groups=TASKS),
    "extra": partial(Twins, name="extra", groups=("subject", "text_to_image", "masked_edit")),
}


def open_suite(name):
    return SUITES[name]()


def evaluate(folder, model, label, *, suites=tuple(SUITES), judge=MarkJudge, **more):
    for suite in suites:
        job = Job(suite=SUITES[suite], model=model, judges=(judge,), spec="m", **more)
        run_suite(folder / suite / label, job)


@pytest.fixture
def folder(tmp_path):
    evaluate(tmp_path, partial(Marked, 2), "good")
    evaluate(tmp_path, partial(Marked, 1), "poor")
    return tmp_path


def test_the_figures_are_those_of_the_verdicts(folder):
    page, failed = write_report(folder, open_suite)
    assert (page, failed) == (folder / PAGE, 0)
    found = json.loads((folder / DATA).read_text())
    assert found["judge"] == "marks"
    assert list(found["suites"]) == ["in_domain", "extra"]
    for row in found["groups"]:
        assert row["models"]["good"]["sc"]["value"] == 0.5
        assert row["models"]["good"]["overall"]["value"] == pytest.approx(0.5**0.5)
        assert row["models"]["poor"]["overall"]["value"] == 0
        assert row["models"]["good"]["sc"]["cases"] == row["cases"] == 2
    average = found["averages"]["in_domain"]["good"]
    assert (average["tasks"], average["of"]) == (3, len(IN_DOMAIN))
    assert average["overall"]["value"] == pytest.approx(0.5**0.5)
    assert found["averages"]["zero_shot"] == {"good": None, "poor": None}


def test_conditions_that_hold_a_case_down_are_counted(folder):
    write_report(folder, open_suite)
    rows = {r["kind"]: r["models"]["good"] for r in json.loads((folder / DATA).read_text())
            ["conditions"]}  # fmt: skip
    assert rows["text"]["least"] == 1
    assert rows["subject"]["least"] == rows["edge"]["least"] == 0
    assert rows["subject"]["score"]["value"] == 1


def test_models_are_compared_on_the_same_cases(folder):
    write_report(folder, open_suite)
    rows = json.loads((folder / DATA).read_text())["comparisons"]
    assert [(r["first"], r["second"], r["suite"]) for r in rows] == [
        ("good", "poor", "in_domain"), ("good", "poor", "extra"),
    ]  # fmt: skip
    assert rows[0]["overall"]["better"] == 1
    assert rows[0]["overall"]["difference"]["value"] == pytest.approx(0.5**0.5)


def test_pairs_unseen_and_references_have_their_tables(folder):
    write_report(folder, open_suite)
    found = json.loads((folder / DATA).read_text())
    (row,) = [row for row in found["fidelity"] if row["model"] == "good"]
    assert (row["group"], row["difference"]["cases"]) == ("subject", 2)
    assert row["with"]["value"] == row["without"]["value"] == 0.5
    (row,) = found["composition"]
    assert row["group"] == "subject"
    assert row["models"]["good"]["concept"]["sc"]["cases"] == 2
    assert row["models"]["good"]["seen"]["sc"]["cases"] == 2
    assert row["models"]["good"]["style"] is None
    counts = {r["references"]: r["models"]["good"]["sc"]["cases"] for r in found["references"]}
    assert sum(counts.values()) == 12
    assert counts[0] == 4


def test_a_failed_case_fails_the_report_and_leaves_no_mean_behind(folder):
    text = SmallSuite(groups=TASKS).cases(16)[2].instruction.text
    model = partial(Painter, fingerprint="broken", broken=text)
    evaluate(folder, model, "broken", suites=("in_domain",), judge=NoMarks)
    page, failed = write_report(folder, open_suite)
    assert failed >= 1
    found = json.loads((folder / DATA).read_text())
    first = found["failures"][0]
    assert (first["model"], first["case"]) == ("broken", "edge_to_image/0000")
    assert first["error"].startswith("RuntimeError: cannot draw")
    assert all(row["models"]["broken"] is None for row in found["references"])
    assert all("broken" not in row["models"] for row in found["conditions"])
    assert any(row["models"]["good"] for row in found["references"])
    rows = {(r["suite"], r["group"]): r["models"] for r in found["groups"]}
    assert rows["in_domain", "edge_to_image"]["broken"] is None
    assert rows["in_domain", "subject"]["broken"] is not None
    assert found["averages"]["in_domain"]["broken"] is None
    assert [r["overall"] for r in found["comparisons"] if "broken" in r["first"]] == [None, None]
    html = page.read_text()
    assert html.index("This evaluation failed") < html.index("<nav>")
    assert "1 case failed" in (folder / TABLE).read_text()


def test_a_failed_case_leaves_no_mean_of_pairs_or_of_the_unseen(folder):
    path = folder / "extra" / "poor" / "verdicts-marks.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["index"] != 3))
    write_report(folder, open_suite)
    found = json.loads((folder / DATA).read_text())
    rows = {row["model"]: row for row in found["fidelity"]}
    assert rows["good"]["difference"]["cases"] == 2
    assert rows["poor"]["difference"] is None
    (row,) = found["composition"]
    assert row["models"]["poor"]["concept"]["sc"]["cases"] == 2  # its group is whole
    path.write_text("".join(line for line in lines if json.loads(line)["index"] != 1))
    write_report(folder, open_suite)
    (row,) = json.loads((folder / DATA).read_text())["composition"]
    assert row["models"]["poor"]["concept"] is None


def test_failures_of_a_diagnosis_leave_the_suites_means(folder):
    text = SmallSuite(groups=TASKS).cases(16)[2].instruction.text
    job = Job(suite=SUITES["in_domain"], model=partial(Painter, broken=text), judges=(),
              spec="good", purpose="diagnosis")  # fmt: skip
    run_suite(folder / "diagnosis-in_domain" / "good", job)
    _, failed = write_report(folder, open_suite)
    assert failed >= 1
    rows = {(r["suite"], r["group"]): r["models"]
            for r in json.loads((folder / DATA).read_text())["groups"]}  # fmt: skip
    assert rows["in_domain", "edge_to_image"]["good"]["sc"]["cases"] == 2


def test_judges_that_come_one_after_the_other_can_both_be_read(folder):
    for label, value in (("good", 2), ("poor", 1)):
        evaluate(folder, partial(Marked, value), label, judge=PixelJudge)
    for judge in ("marks", "pixels"):
        assert write_report(folder, open_suite, judge)[1] == 0


def test_two_suites_of_one_name_are_refused(folder):
    (folder / "in_domain").rename(folder / "first")
    evaluate(folder, partial(Marked, 2), "good", suites=("in_domain",))
    with pytest.raises(EvaluationError, match="of the same suite name and model"):
        read_results(folder)


def test_part_of_a_group_and_of_the_tasks_is_said_in_the_markdown_table(tmp_path):
    job = Job(suite=SUITES["in_domain"], model=partial(Marked, 2), judges=(MarkJudge,), spec="m")
    run_suite(tmp_path / "in_domain" / "m", job, limit=1, only=["subject"])
    write_report(tmp_path, open_suite)
    lines = (tmp_path / TABLE).read_text().splitlines()
    assert any(line.startswith("| Subject | 1 of 2 |") for line in lines)
    assert any("average" in line and line.endswith(", 1 of 8 tasks |") for line in lines)
    evaluate(tmp_path, partial(Marked, 1), "n", suites=("in_domain",))
    html = write_report(tmp_path, open_suite)[0].read_text()
    assert "1 of 8 tasks" in html
    assert "3 of 8 tasks" in html


class NoMarks(MarkJudge):
    def _one(self, case, image):
        image = np.zeros_like(image)
        return super()._one(case, image)


def test_what_was_not_drawn_or_judged_is_a_failure(folder):
    path = folder / "in_domain" / "poor"
    lines = (path / "answers.jsonl").read_text().splitlines()
    (path / "answers.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    judged = (path / "verdicts-marks.jsonl").read_text().splitlines()
    (path / "verdicts-marks.jsonl").write_text("\n".join(judged[1:]) + "\n")
    _, failed = write_report(folder, open_suite)
    assert failed == 2
    errors = {one.case: one.error for one in read_results(folder).failures}
    assert errors["text_to_image/0000"].startswith("not judged by marks")
    assert errors["number 5"].startswith("not drawn yet")


def test_other_weights_under_one_label_are_a_failure(folder):
    evaluate(folder, partial(Marked, 2, "new"), "late", suites=("in_domain",))
    evaluate(folder, partial(Marked, 2, "old"), "late", suites=("extra",))
    (failure,) = read_results(folder).failures
    assert (failure.model, failure.error) == (
        "late", "is of other weights or settings than its other suites",
    )  # fmt: skip


def test_the_page_holds_everything_and_asks_for_nothing(folder):
    page, _ = write_report(folder, open_suite)
    html = page.read_text()
    assert not re.search(r"(?:src|href)=[\"'](?!data:|#)", html)
    assert "its &lt;mark&gt;" in html
    assert "<mark>" not in html
    for title in ("Table 4", "By kind of condition", "Seen and unseen", "Models compared",
                  "Text fidelity", "Masked editing", "Best, median and worst"):  # fmt: skip
        assert title in html
    for row in (*IN_DOMAIN.values(), AVERAGES["in_domain"]):
        assert row.title in html
    case = SUITES["in_domain"]().cases(16)[0]
    assert case.id in html
    assert image_path(folder / "in_domain" / "good", case.id).is_file()
    assert html.count("<section") == html.count("</section>")


def test_pictures_of_a_suite_that_has_changed_are_left_out_and_said_so(folder):
    page, _ = write_report(folder, lambda name: SmallSuite(each=7, name=name))
    html = page.read_text()
    assert "has changed since it was evaluated" in html
    assert "Best, median and worst" not in html


def test_sweeps_and_diagnoses_have_their_parts(folder):
    for steps, value in (("5", 1), ("10", 2), ("20", 2)):
        evaluate(folder, partial(Marked, value, steps), f"m-{steps}", suites=("extra",),
                 purpose="sweep", settings={"steps": steps})  # fmt: skip
        (folder / "sweep-extra").mkdir(exist_ok=True)
        (folder / "extra" / f"m-{steps}").rename(folder / "sweep-extra" / f"m-{steps}")
    diagnosed = folder / "diagnosis-extra" / "good"
    job = Job(suite=SUITES["extra"], model=partial(Marked, 2), judges=(), spec="good",
              purpose="diagnosis")  # fmt: skip
    run_suite(diagnosed, job)
    roles = [{"role": "subject", "references": 4, "dropped": 0.5, "swapped": None,
              "ignored": 0.75, "copied": 0.25, "confused": None, "exchanges": 0}]  # fmt: skip
    (diagnosed / DIAGNOSIS).write_text(json.dumps(roles))
    page, failed = write_report(folder, open_suite)
    assert failed == 0
    found = json.loads((folder / DATA).read_text())
    assert [row["settings"]["steps"] for row in found["sweep"]] == ["5", "10", "20"]
    assert [row["scores"]["sc"]["value"] for row in found["sweep"]] == [0, 0.5, 0.5]
    assert list(found["models"]) == ["good", "poor"]
    assert found["diagnoses"][0]["roles"] == roles
    html = page.read_text()
    assert html.count("<circle") == 3
    assert "75%" in html


def test_the_markdown_table_has_the_papers_rows_and_ours(folder):
    write_report(folder, open_suite)
    lines = (folder / TABLE).read_text().splitlines()
    assert len({line.count(" | ") for line in lines}) == 1
    assert any(re.match(r"\| Edge2Img \| 2 \| 0.84 / 0.71 / 0.77 \| 0.50 / 1.00 / 0.71", line)
               for line in lines)  # fmt: skip
    assert any(line.startswith("| extra: masked edit | 2 | – |") for line in lines)


def test_a_folder_without_runs_or_with_several_judges_is_one_line(tmp_path, folder):
    with pytest.raises(EvaluationError, match="holds no evaluation"):
        read_results(tmp_path / "nothing")
    evaluate(folder, partial(Marked, 2), "good", suites=("extra",), judge=PixelJudge)
    with pytest.raises(EvaluationError, match="verdicts of marks, pixels: choose"):
        read_results(folder)
    with pytest.raises(EvaluationError, match="no verdicts of truth: use one of marks, pixels"):
        read_results(folder, "truth")


@pytest.mark.parametrize("suite", list(PAPER))
def test_the_papers_averages_are_those_of_its_rows(suite):
    for name in ("single", "multi", "prior", "sc", "pq", "overall"):
        values = [getattr(row, name) for row in PAPER[suite].values()]
        stated = getattr(AVERAGES[suite], name)
        if None in values:
            assert stated is None
        else:
            assert np.mean(values) == pytest.approx(stated, abs=0.011)


def test_an_image_that_is_gone_leaves_the_figures_and_is_named(folder):
    path = image_path(folder / "extra" / "good", "subject/0000")
    path.unlink()
    page, failed = write_report(folder, open_suite)
    assert failed == 0
    assert f"There are no pictures: {path}" in page.read_text()
