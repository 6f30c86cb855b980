"""Which ways to enlarge the benchmarks compare, and what they print of it."""

from __future__ import annotations

from types import SimpleNamespace

from benchmarks.enlarging import pairs_of, told


def test_like_is_compared_with_like() -> None:
    arms = [
        "references, 2 steps", "no references, 2 steps", "references, 8 steps",
        "no references, 8 steps", "bicubic",
    ]  # fmt: skip
    assert pairs_of(arms) == [
        ("references, 2 steps", "no references, 2 steps"),
        ("references, 8 steps", "no references, 8 steps"),
        ("references, 2 steps", "bicubic"),
        ("references, 8 steps", "references, 2 steps"),
        ("no references, 8 steps", "no references, 2 steps"),
    ]
    assert pairs_of(arms[3:]) == [("no references, 8 steps", "bicubic")]  # trained on text alone


def test_differences_are_paired_and_an_unknown_interval_is_left_out(capsys) -> None:
    cases = [SimpleNamespace(group="one")] * 3
    values = {
        "references, 8 steps": {"psnr": [1.0, 5.0, 9.0]},
        "bicubic": {"psnr": [0.0, 4.0, 8.0]},
    }
    told("pictures", cases, values)
    assert "| references, 8 steps − bicubic | +1.000 [+1.000, +1.000] |" in capsys.readouterr().out
    single = {arm: {"psnr": row["psnr"][:1]} for arm, row in values.items()}
    told("pictures", cases[:1], single)
    assert "| bicubic | 0.000 |\n" in capsys.readouterr().out
