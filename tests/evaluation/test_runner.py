"""Runs: resumable, independent of the number of processes, honest about failures."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.record import (
    ANSWERS,
    RUN,
    alone_in,
    image_path,
    read_answers,
    read_judgements,
    verdicts_path,
)
from instruct_imagen.evaluation.runner import Job, run_suite, selected
from instruct_imagen.instruction import without_markers
from tests.evaluation.small import BatchPainter, Painter, PixelJudge, Raw, SmallSuite


def job(model=BatchPainter, judge=PixelJudge, suite=SmallSuite, **more) -> Job:
    return Job(suite=suite, model=model, judges=(judge,), spec="painter", **more)


def contents(folder):
    """Everything that a run keeps, but for the time that it took."""
    answers = read_answers(folder)
    images = {i: image_path(folder, a.case.id).read_bytes() for i, a in sorted(answers.items())}
    return images, sorted(read_judgements(folder, "pixels").items())


def test_every_case_has_an_image_a_line_and_a_verdict(tmp_path):
    assert run_suite(tmp_path, job()) == 0
    answers, verdicts = read_answers(tmp_path), read_judgements(tmp_path, "pixels")
    cases = SmallSuite().cases(16)
    assert list(answers) == list(verdicts) == list(range(len(cases)))
    for index, case in enumerate(cases):
        answer = answers[index]
        assert (answer.case.id, answer.case.group, answer.case.seed) == (
            case.id, case.group, case.seed,
        )  # fmt: skip
        assert answer.case.text == case.instruction.text
        assert answer.case.references == case.references
        assert verdicts[index].sha256 == answer.sha256
        assert [s[0] for s in verdicts[index].scores] == [c.name for c in case.conditions]
        assert 0 < answer.target_distance < 1
    run = json.loads((tmp_path / RUN).read_text())
    assert run["suite"]["sha256"] == SmallSuite().sha256
    assert run["model"]["fingerprint"] == "painter"
    assert run["judges"] == {"pixels": "pixels 1.0"}


def test_processes_and_batches_change_nothing(tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        assert run_suite(tmp_path / name, job(), workers=workers) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert run_suite(tmp_path / "single", job(model=Painter)) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "single")


class Counting(Painter):
    drawn: list[int] = []  # noqa: RUF012 - shared on purpose

    def generate(self, instruction, *, seed):
        self.drawn.append(seed)
        return super().generate(instruction, seed=seed)


def test_a_second_run_draws_nothing_and_damage_is_made_good(tmp_path):
    Counting.drawn.clear()
    run_suite(tmp_path, job(model=Counting))
    before, drawn = contents(tmp_path), len(Counting.drawn)
    assert drawn == 10
    run_suite(tmp_path, job(model=Counting))
    assert len(Counting.drawn) == drawn
    image_path(tmp_path, "subject/0001").write_bytes(b"half a picture")
    image_path(tmp_path, "subject/0000").unlink()
    with (tmp_path / ANSWERS).open("a") as file:
        file.write('{"case": {"id": "half a li')
    with verdicts_path(tmp_path, "pixels").open("a") as file:
        file.write('{"id": "')
    assert run_suite(tmp_path, job(model=Counting)) == 0
    assert len(Counting.drawn) == drawn + 2
    assert contents(tmp_path) == before
    assert all(line.endswith("}") for line in (tmp_path / ANSWERS).read_text().splitlines())


class Slow(Painter):
    def generate(self, instruction, *, seed):
        time.sleep(0.1)
        return super().generate(instruction, seed=seed)


def test_killed_at_any_moment_it_goes_on(tmp_path):
    run_suite(tmp_path / "whole", job(model=Slow))
    process = multiprocessing.get_context("spawn").Process(
        target=run_suite, args=(tmp_path / "killed", job(model=Slow))
    )
    process.start()
    answers = tmp_path / "killed" / ANSWERS
    while not (answers.is_file() and answers.read_bytes().count(b"\n") >= 3):
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert 3 <= len(read_answers(tmp_path / "killed")) < 10
    assert run_suite(tmp_path / "killed", job(model=Slow)) == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_failed_case_is_kept_with_its_error_and_tried_again(tmp_path):
    text = SmallSuite().cases(16)[4].instruction.text
    broken = partial(BatchPainter, broken=text)
    with pytest.warns(UserWarning, match="one by one"):
        assert run_suite(tmp_path, job(model=broken)) >= 1
    answers = read_answers(tmp_path)
    failed = {index for index, answer in answers.items() if answer.error}
    assert 4 in failed
    assert len(failed) < 10
    assert answers[4].error.startswith("RuntimeError: cannot draw ")
    assert "\n" not in answers[4].error
    assert failed.isdisjoint(read_judgements(tmp_path, "pixels"))
    assert run_suite(tmp_path, job()) == 0
    assert not any(answer.error for answer in read_answers(tmp_path).values())


class Wide(Painter):
    def generate(self, instruction, *, seed):
        return super().generate(instruction, seed=seed).resize((32, 16))


def test_an_image_of_another_size_is_a_failure(tmp_path):
    assert run_suite(tmp_path, job(model=Wide), limit=1) == 5
    assert "(32, 16), not (16, 16)" in read_answers(tmp_path)[0].error


class PhotographSuite(SmallSuite):
    """Edits of pictures that have a size of their own."""

    def cases(self, size):
        photograph = np.full((12, 20, 3), 90, np.uint8)
        found = []
        for case in super().cases(size):
            shown = [replace(one, image=photograph) for one in case.instruction.references]
            asked = replace(case.instruction, references=tuple(shown))
            found.append(replace(case, instruction=asked, target=None))
        return found


class Sized(Painter):
    def __init__(self, *size):
        super().__init__()
        self._wanted = size

    def generate(self, instruction, *, seed):
        return super().generate(instruction, seed=seed).resize(self._wanted)


def test_an_edit_may_have_the_size_of_its_source_and_no_other(tmp_path):
    suite = partial(PhotographSuite, each=1, groups=("instruction_edit",))
    for name, size, failed in (("own", (20, 12), 0), ("square", (16, 16), 0), ("no", (12, 20), 1)):
        own = Job(suite=suite, model=partial(Sized, *size), judges=(), spec="sized")
        assert run_suite(tmp_path / name, own) == failed
        answer = read_answers(tmp_path / name)[0]
        assert answer.error == (
            "the image is (12, 20), not (16, 16) or (20, 12), its source's" if failed else ""
        )
    suite = partial(PhotographSuite, each=1, groups=("subject",))
    own = Job(suite=suite, model=partial(Sized, 20, 12), judges=(), spec="sized")
    assert run_suite(tmp_path / "none", own) == 1


class Moody(PixelJudge):
    def judge(self, cases, images):
        if any(case.id == "subject/0001" for case in cases):
            raise ValueError("not this one")
        return super().judge(cases, images)


class Forgetful(PixelJudge):
    def judge(self, cases, images):
        return [*super().judge(cases, images)][:-1]


def test_a_judge_that_fails_fails_the_cases_that_it_fails_on(tmp_path):
    assert run_suite(tmp_path, job(judge=Moody)) == 1
    verdicts = read_judgements(tmp_path, "pixels")
    assert [v.id for v in verdicts.values() if v.error] == ["subject/0001"]
    assert run_suite(tmp_path, job()) == 0
    assert run_suite(tmp_path / "other", job(judge=Forgetful)) == 10
    assert "verdicts on" in read_judgements(tmp_path / "other", "pixels")[0].error


def test_another_judge_of_the_name_judges_again_and_draws_nothing(tmp_path):
    Counting.drawn.clear()
    run_suite(tmp_path, job(model=Counting))
    run_suite(tmp_path, job(model=Counting, judge=partial(PixelJudge, strict=100)))
    assert len(Counting.drawn) == 10
    verdicts = read_judgements(tmp_path, "pixels").values()
    assert {v.fingerprint for v in verdicts} == {"pixels 100"}
    assert {v.sc for v in verdicts} == {0}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"model": partial(BatchPainter, fingerprint="other")}, "model.fingerprint=painter"),
        ({"suite": partial(SmallSuite, each=3)}, "suite.sha256"),
        ({"purpose": "sweep"}, "purpose=suite"),
    ],
)
def test_a_folder_of_something_else_is_refused_with_the_cure(tmp_path, changed, named):
    run_suite(tmp_path, job())
    before = contents(tmp_path)
    with pytest.raises(EvaluationError, match=f"{named}.*name another --out"):
        run_suite(tmp_path, job(**changed))
    assert contents(tmp_path) == before


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(EvaluationError, match="something else"):
        run_suite(tmp_path, job())


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    with alone_in(tmp_path), pytest.raises(EvaluationError, match="another evaluation"):
        run_suite(tmp_path, job())


def test_a_limit_takes_the_first_of_each_group_and_grows(tmp_path):
    assert selected({"a": 3, "b": 1, "c": 2}, 2) == [0, 1, 3, 4, 5]
    assert run_suite(tmp_path, job(model=Painter), limit=1) == 0
    assert sorted(read_answers(tmp_path)) == [0, 2, 4, 6, 8]
    assert run_suite(tmp_path, job(model=Painter)) == 0
    run_suite(tmp_path / "all", job(model=Painter))
    assert contents(tmp_path) == contents(tmp_path / "all")


def test_some_groups_alone(tmp_path):
    assert selected({"a": 3, "b": 1, "c": 2}, 2, ["c", "a"]) == [0, 1, 4, 5]
    assert run_suite(tmp_path, job(), only=["subject"]) == 0
    assert {a.case.group for a in read_answers(tmp_path).values()} == {"subject"}
    with pytest.raises(EvaluationError, match="no group subjekt: use some of text_to_image"):
        run_suite(tmp_path, job(), only=["subjekt"])


def test_models_of_raw_inputs_are_asked_for_captions(tmp_path):
    run_suite(tmp_path, job(model=Raw))
    for index, case in enumerate(SmallSuite().cases(16)):
        text = read_answers(tmp_path)[index].case.text
        assert without_markers(text) == case.prompt


class Shuffled(SmallSuite):
    def cases(self, size):
        return [*super().cases(size)][::-1]


class Escaping(SmallSuite):
    def cases(self, size):
        from dataclasses import replace

        return [replace(case, id=f"../{case.id}") for case in super().cases(size)]


def test_suites_that_break_their_promise_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match="group by group"):
        run_suite(tmp_path / "a", job(suite=Shuffled))
    with pytest.raises(EvaluationError, match="cannot name a file"):
        run_suite(tmp_path / "b", job(suite=Escaping))
    assert not (tmp_path / "subject").exists()


class Suicide(Painter):
    def generate(self, instruction, *, seed):
        os.kill(os.getpid(), signal.SIGKILL)


class Unopened(Painter):
    opened: list[int] = []  # noqa: RUF012 - shared on purpose

    def __init__(self):
        if multiprocessing.parent_process() is not None:
            raise ValueError("no model here")
        super().__init__()


def test_a_worker_that_ends_or_cannot_begin_is_one_line(tmp_path):
    with pytest.raises(EvaluationError, match="status -9: run the same command again"):
        run_suite(tmp_path / "a", job(model=Suicide), workers=2)
    with pytest.raises(EvaluationError, match="ValueError: no model here"):
        run_suite(tmp_path / "b", job(model=Unopened), workers=2)


def test_progress_counts_every_case_once(tmp_path):
    seen = []
    run_suite(tmp_path, job(), report=seen.append)
    for phase in ("images", "verdicts of pixels"):
        counts = [p.done for p in seen if p.phase == phase]
        assert counts == sorted(counts)
        assert (counts[0], counts[-1]) == (0, 10)
    last = [p for p in seen if p.phase == "images"][-1]
    assert last.remaining == 0
    assert np.isnan(seen[0].remaining)
