"""Verdicts on claims, from runs whose figures are known."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from instruct_imagen.cli import main
from instruct_imagen.evaluation.case import EvaluationError
from instruct_imagen.evaluation.claims import (
    CLAIMS,
    Claim,
    claims_table,
    find,
    read_claims,
)
from instruct_imagen.evaluation.judges.base import Score, Verdict
from instruct_imagen.evaluation.runner import Job, run_suite
from instruct_imagen.recipes.claims import SINGLE_TASKS, VARIANTS
from tests.evaluation.small import Painter, PixelJudge, SmallSuite

GROUPS = ("edge_to_image", "subject")
CLAIM = Claim(
    title="better",
    source="Table 0",
    suite="few_in_domain",
    groups=GROUPS,
    first="instruct",
    second="single-{group}",
    paper=(0.7, 0.5),
)


def measured(value):
    """Of an image with PQ 1, of this O."""
    return {"overall": value, "accuracy": float(value == 1), "sc": value**2}


def scores(first, second, *, suite="few_in_domain"):
    """Both arms on 40 cases a group: the values that a function of the case gives."""
    table = {}
    for group in GROUPS:
        for arm, value in (("instruct", first), (f"single-{group}", second)):
            table[arm, suite, group] = {f"{group}/{n:04d}": measured(value(n)) for n in range(40)}
    return table


def better(n):
    return 1.0 if n % 4 else 0.5


def worse(n):
    return 0.5 if n % 3 else 0.0


def test_a_clear_difference_is_a_verdict_either_way():
    found = find(CLAIM, {"seed0": scores(better, worse)})
    assert found.verdict == "yes"
    assert found.first.value == pytest.approx(np.mean([better(n) for n in range(40)]))
    assert found.second.value == pytest.approx(np.mean([worse(n) for n in range(40)]))
    assert found.comparison.difference.low > 0
    turned = find(CLAIM, {"seed0": scores(worse, better)})
    assert turned.verdict == "no"
    assert turned.comparison.difference.value == pytest.approx(-found.comparison.difference.value)


def test_no_clear_difference_is_none():
    assert find(CLAIM, {"seed0": scores(better, better)}).verdict == "undecided"
    # Better and worse as often: the interval holds 0.
    mixed = find(CLAIM, {"seed0": scores(lambda n: float(n % 2), lambda n: float(n % 2 == 0))})
    assert mixed.verdict == "undecided"
    assert mixed.comparison.better == mixed.comparison.worse == 0.5


def test_seeds_that_disagree_decide_nothing():
    agreed = {f"seed{n}": scores(better, worse) for n in range(3)}
    assert find(CLAIM, agreed).verdict == "yes"
    found = find(CLAIM, agreed | {"seed2": scores(worse, lambda n: worse(n) + 0.01 * (n == 1))})
    assert found.comparison.difference.clear
    assert found.verdict == "undecided"
    assert found.by_seed["seed2"] < 0 < found.by_seed["seed1"]


def test_an_arm_that_is_missing_leaves_a_claim_open():
    whole = scores(better, worse)
    missing = {key: value for key, value in whole.items() if key[0] != "single-subject"}
    assert find(CLAIM, {"seed0": missing}) is None
    fewer = dict(whole)
    fewer["single-subject", "few_in_domain", "subject"] = {"subject/0001": measured(1.0)}
    assert find(CLAIM, {"seed0": fewer}) is None
    assert find(CLAIM, {"seed0": missing, "seed1": whole}).by_seed.keys() == {"seed1"}


def test_accuracy_counts_what_is_wholly_consistent():
    claim = Claim(
        title="", source="", suite="editing", groups=("subject",), first="instruct",
        second="single-subject", measure="accuracy", paper=(0.5, 0.1),
    )  # fmt: skip
    found = find(claim, {"seed0": scores(better, worse, suite="editing")})
    assert found.first.value == pytest.approx(0.75)
    assert found.second.value == 0
    found = find(replace(claim, measure="sc"), {"seed0": scores(better, worse, suite="editing")})
    assert found.first.value == pytest.approx(0.75 + 0.25 * 0.25)


def test_the_claims_name_arms_that_are_trained():
    trained = {*VARIANTS, "masked_edit", "masked_edit_stage_1"}
    for claim in CLAIMS:
        for group in claim.groups:
            assert set(claim.arms_of(group)) <= trained
    singles = {claim.arms_of(g)[1] for claim in CLAIMS for g in claim.groups if "{" in claim.second}
    assert singles == {f"single-{row}" for row in SINGLE_TASKS}


def test_the_table_has_a_row_for_each_claim():
    findings = [None] * len(CLAIMS)
    lines = claims_table(findings).splitlines()
    assert len(lines) == 2 + len(CLAIMS)
    assert all("not run yet" in line for line in lines[2:])


class Fixed(PixelJudge):
    """All conditions alike: what the first pixel says."""

    name = "fixed"

    def _one(self, case, image):
        value = int(image[0, 0, 0]) / 2
        scores = tuple(Score(condition=one.name, value=value, reason="") for one in case.conditions)
        return Verdict(scores=scores, pq=1.0, pq_reason="")


class Marked(Painter):
    """Images that say how they are to be judged."""

    def __init__(self, value):
        super().__init__(f"marked {value}")
        self._value = value

    def generate(self, instruction, *, seed):
        image = super().generate(instruction, seed=seed)
        image.putpixel((0, 0), (self._value, 0, 0))
        return image


def evaluated(folder, arm, value, suite="few_masked_edits", group="masked_edit", limit=None):
    """A run of an arm, as `runs/claims.sh` leaves it."""
    label = f"{folder.name}_{arm}_model"
    job = Job(
        suite=partial(SmallSuite, each=3, name=suite, groups=(group,)),
        model=partial(Marked, value),
        judges=(Fixed,),
        spec=f"pipeline:model={folder / arm / 'model'},steps=4",
    )
    return run_suite(folder / "evaluation" / suite / label, job, limit=limit)


def test_claims_are_read_from_what_evaluate_leaves(tmp_path, capsys):
    seed = tmp_path / "seed0"
    assert evaluated(seed, "masked_edit", 2) == 0
    assert evaluated(seed, "masked_edit_stage_1", 1) == 0
    table = read_claims(tmp_path)["seed0"]
    assert {arm for arm, _, _ in table} == {"masked_edit", "masked_edit_stage_1"}
    main(["claims", str(tmp_path)])
    printed = capsys.readouterr().out
    assert (tmp_path / "claims.md").read_text() == printed
    rows = [line for line in printed.splitlines() if "stage-1" in line]
    assert ["1.00 / 0.71" in rows[0], "1.00 / 0.50" in rows[1], "1.00 / 0.00" in rows[2]] == 3 * [
        True
    ]
    assert all("**yes** (1 seed)" in row for row in rows)
    stored = json.loads((tmp_path / "claims.json").read_text())
    assert [one["verdict"] for one in stored] == 3 * ["yes"]


def test_claims_of_cases_without_a_score_are_refused(tmp_path):
    with pytest.raises(EvaluationError, match=r"run runs/claims\.sh first"):
        read_claims(tmp_path)
    seed = tmp_path / "seed0"
    evaluated(seed, "masked_edit", 2)
    (verdicts,) = seed.glob("evaluation/*/*/verdicts-fixed.jsonl")
    verdicts.write_text("".join(verdicts.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(EvaluationError, match="cases without a score: 1"):
        read_claims(tmp_path)


def test_a_single_case_has_no_interval_and_the_file_stays_json(tmp_path, capsys):
    for arm, value in (("masked_edit", 2), ("masked_edit_stage_1", 1)):
        evaluated(tmp_path / "seed0", arm, value, limit=1)
    main(["claims", str(tmp_path)])
    assert "nan" not in capsys.readouterr().out
    content = (tmp_path / "claims.json").read_text()
    assert "NaN" not in content
    assert {one["verdict"] for one in json.loads(content)} == {"undecided"}


def test_seeds_with_other_cases_and_arms_in_two_settings_are_refused(tmp_path):
    for seed, limit in (("seed0", 1), ("seed1", 2)):
        evaluated(tmp_path / seed, "masked_edit", 2, limit=limit)
    with pytest.raises(EvaluationError, match="seed1 has other cases of masked_edit"):
        read_claims(tmp_path)
    other = tmp_path / "other" / "seed0"
    run = evaluated(other, "masked_edit", 2)
    assert run == 0
    (folder,) = other.glob("evaluation/few_masked_edits/*")
    folder.rename(folder.with_name("first"))
    evaluated(other, "masked_edit", 1)
    with pytest.raises(EvaluationError, match="masked_edit was evaluated in two settings"):
        read_claims(tmp_path / "other")
