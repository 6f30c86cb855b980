"""How a judge scores the true targets of the frozen suites: what keeps a right model below 1.

    python benchmarks/suite_targets.py editing many unseen text_fidelity
    python benchmarks/suite_targets.py in_domain zero_shot --every 5

Prints SC, PQ and O of each group and every target that has less than 1, with the judge's reason.
Ends with 1 where the mean O of a group is below what is asked of a judge.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict

import torch

from instruct_imagen.evaluation.case import Case
from instruct_imagen.evaluation.judges.base import Judge, Verdict
from instruct_imagen.evaluation.judges.registry import open_judge
from instruct_imagen.evaluation.known_answers import ASKED_TARGET
from instruct_imagen.evaluation.suites.registry import open_suite, suite_names


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", choices=suite_names(), metavar="SUITE")
    parser.add_argument("--judge", default="truth", help="name:option=value,… (truth)")
    parser.add_argument("--size", type=int, default=32, help="side of the pictures (32)")
    parser.add_argument("--every", type=int, default=1, help="every so many cases of a group (1)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    judge = open_judge(chosen.judge)
    enough, misses = True, []
    print(f"{'suite':14} {'group':28} cases     O    SC    PQ")
    for suite in chosen.suites:
        groups: dict[str, list[Case]] = defaultdict(list)
        for case in open_suite(suite).cases(chosen.size):
            groups[case.group].append(case)
        for group, cases in groups.items():
            some = cases[:: chosen.every]
            verdicts = verdicts_of(judge, some)
            names = ("overall", "sc", "pq")
            means = [sum(getattr(one, name) for one in verdicts) / len(some) for name in names]
            numbers = " ".join(f"{mean:5.3f}" for mean in means)
            print(f"{suite:14} {group:28} {len(some):5d} {numbers}", flush=True)
            enough = enough and means[0] >= ASKED_TARGET
            misses += [
                f"{suite} {case.id}: {why(one)}"
                for case, one in zip(some, verdicts, strict=True)
                if one.overall < 1
            ]
    print("", *misses, sep="\n")
    return 0 if enough else 1


def verdicts_of(judge: Judge, cases: list[Case]) -> list[Verdict]:
    """On the cases' own targets, one at a time: little is held."""
    found = []
    for case in cases:
        assert case.target is not None
        found += judge.judge([case], [case.target])
    return found


def why(verdict: Verdict) -> str:
    """What is below 1."""
    parts = [f"{one.condition} {one.value:g} ({one.reason})" for one in verdict.scores]
    parts = [part for part, one in zip(parts, verdict.scores, strict=True) if one.value < 1]
    if verdict.pq < 1:
        parts.append(f"PQ {verdict.pq:g} ({verdict.pq_reason})")
    return "; ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
