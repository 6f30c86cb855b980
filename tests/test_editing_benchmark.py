"""The benchmark of compositing's settings, on answers that are known."""

from __future__ import annotations

import sys
from collections import Counter

from benchmarks.editing import kind_of, main
from instruct_imagen.cli import main as command
from instruct_imagen.evaluation.suites.registry import open_suite


def test_copied_sources_are_exact_and_right_answers_are_not(tmp_path, monkeypatch, capsys):
    given = ("few_unmasked_edits", "copy_reference:size=32", "--limit", "2", "--out", tmp_path)
    command(["evaluate", *map(str, given)])
    (folder,) = (tmp_path / "few_unmasked_edits").iterdir()
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["editing.py", str(folder), "--thresholds", "0.16"])
    assert main() == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    exact = {(row[0], row[1]): float(row[-1]) for row in rows}
    assert exact == {
        **{("instruction_edit", name): 1.0 for name in ("source", "as", "threshold")},
        ("instruction_edit", "target"): 0.0,
        **{("no_op", name): 1.0 for name in ("source", "target", "as", "threshold")},
    }


def test_kinds_of_change_are_those_that_the_words_ask_for():
    cases = open_suite("few_masked_edits").cases(8)
    found = [(kind_of(case), case.instruction.text) for case in cases]
    assert Counter(kind for kind, _ in found) == {
        "remove": 46, "replace": 94, "add": 42, "move or mirror": 18,
    }  # fmt: skip
    said = [kind for kind, text in found if "take away" in text or "remove the" in text]
    assert len(said) > 5 and set(said) == {"remove"}
