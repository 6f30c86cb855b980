"""`clusters report`, `pairs` and `learn`: what a person sees of a build, and says of it."""

from __future__ import annotations

import csv
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instruct_imagen.cli import main
from instruct_imagen.cli.cluster_settings import settings_from
from instruct_imagen.data.clusters import borderline_pairs
from instruct_imagen.data.clusters.borderline_pairs import OTHER, SAME, kinds_of, nearest_pairs
from instruct_imagen.data.clusters.far_pairs import far_from, stand_for
from instruct_imagen.data.clusters.finished import Finished
from instruct_imagen.data.clusters.labelled_pairs import learn, read_answers
from instruct_imagen.data.clusters.near_duplicates import Measured, Thresholds, near_duplicates
from instruct_imagen.data.clusters.pages.report import CLUSTERS, PAGE, drawn_by_lot
from instruct_imagen.data.clusters.rows import ClusterError
from tests.data.clusters.builds import EACH, THINGS, drawing, encoded, write_corpus

STRICT = (
    "filters.min_side=48", "filters.min_quality=0.2", "least=0.4", "duplicates.difference=0.05",
    "duplicates.correlation=0.995", "duplicates.hash_radius=16", "dtype=float32",
)  # fmt: skip
"""With these no changed picture is found, so that there is something to learn."""


def copies(corpus: Path) -> set[frozenset[str]]:
    """Adds near-duplicates of some drawings; pairs of keys."""
    found = set()
    for thing in THINGS:
        for number in range(2):
            file = io.BytesIO()
            larger = drawing(thing, number).resize((90, 86), Image.Resampling.BICUBIC)
            larger.save(file, "JPEG", quality=40)
            name = f"{thing}_{number}_copy.jpg"
            (corpus / name).write_bytes(file.getvalue())
            (corpus / name).with_suffix(".txt").write_text(f"a {thing} of the town")
            found.add(frozenset((name, f"{thing}_{number}.png")))
    return found | {frozenset(("star_0.png", "zz_near.png")),
                    frozenset(("star_0_copy.jpg", "zz_near.png"))}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[frozenset[str]]]:
    """Folder of a build with a hold-out, and the near-duplicates of its corpus."""
    root = tmp_path_factory.mktemp("pages")
    write_corpus(root / "corpus")
    same = copies(root / "corpus")
    held = root / "test"
    held.mkdir()
    (held / "<wheel>.png").write_bytes(encoded(drawing("wheel", EACH - 1)))
    arguments = ["build", str(root / "corpus"), str(root / "out"), "--holdout", str(held)]
    main(["clusters", *arguments, *STRICT])
    return root / "out", same


class Seen(HTMLParser):
    """What a page has; it must be well formed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.words = ""
        self.pictures_in_cards: list[int] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            self.sources.append(given["src"] or "")
            self.pictures_in_cards[-1] += 1
        if "card" in (given.get("class") or "").split():
            self.pictures_in_cards.append(0)
        if tag not in ("img", "meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_report_says_what_the_build_did(
    built: tuple[Path, set[frozenset[str]]], tmp_path: Path
) -> None:
    build, _ = built
    page = (build / PAGE).read_text()
    seen, found = Seen(page), Finished(build)
    clusters = found.counts("members")["clusters"]
    assert f"{clusters} clusters of five" in seen.words
    for step in ("words", "pixels", "cut"):
        for reason, number in found.counts(step).items():
            assert re.search(rf"{re.escape(reason)}.*?{number:,}", seen.words, re.DOTALL), reason
    assert "wheel_6.png" in seen.words
    assert "test: <wheel>.png" in seen.words
    assert "the same bytes" in seen.words
    assert "correlation at least 0.94 and difference at most 0.92; equal bytes do" in seen.words
    assert "correlation at least 0.995 and difference at most 0.05." in seen.words
    assert seen.pictures_in_cards.count(5) == min(CLUSTERS, clusters) > 2
    pairs = found.counts("duplicates")["by sight"]
    assert seen.pictures_in_cards.count(2) == 1 + 2 * pairs == 3  # the hold-out's first
    assert all(source.startswith("data:image/jpeg;base64,") for source in seen.sources)
    assert "http" not in page

    again = tmp_path / "again.html"
    main(["clusters", "report", str(build), str(again)])
    assert again.read_text() == page
    main(["clusters", "report", str(build), str(again), "--seed", "1"])
    assert Seen(again.read_text()).sources != seen.sources


def test_a_report_is_of_a_whole_build(
    built: tuple[Path, set[frozenset[str]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build = Path(shutil.copytree(built[0], tmp_path / "out"))
    arguments = ["clusters", "build", str(built[0].parent / "corpus"), str(build), *STRICT]
    held = ["--holdout", str(built[0].parent / "test")]
    written = (build / PAGE).stat().st_mtime_ns
    main([*arguments, *held])
    assert (build / PAGE).stat().st_mtime_ns == written  # of this very build
    main([*arguments, "filters.min_side=50", "--until", "words"])
    with pytest.raises(ClusterError, match="has not come to its end"):
        Finished(build)
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["clusters", "report", str(tmp_path), str(tmp_path / "page.html")])
    assert "holds no clusters: build them first" in capsys.readouterr().err
    (built[0].parent / "corpus").rename(built[0].parent / "elsewhere")
    try:
        main(["clusters", "report", str(built[0]), str(tmp_path / "page.html")])
    finally:
        (built[0].parent / "elsewhere").rename(built[0].parent / "corpus")
    assert Seen((tmp_path / "page.html").read_text()).pictures_in_cards[-1] == 1  # of the hold-out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def fill(path: Path, same: set[frozenset[str]], separator: str = ",") -> int:
    """Answers as somebody who knows the corpus; how many are near-duplicates."""
    rows = rows_of(path)
    for row in rows:
        row["same"] = "yes" if {row["first"], row["second"]} in same else "no"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return sum(row["same"] == "yes" for row in rows)


def test_from_a_sheet_to_better_thresholds(
    built: tuple[Path, set[frozenset[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, same = built
    sheet = tmp_path / "sheet"
    main(["clusters", "pairs", str(build), str(sheet), "--count", "80"])
    rows = rows_of(sheet / "pairs.csv")
    assert len(rows) == 80
    assert {row["verdict"] for row in rows} == {OTHER, SAME}
    assert {row["same"] for row in rows} == {""}
    page = (sheet / "pairs.html").read_text()
    seen = Seen(page)
    assert seen.pictures_in_cards == [2] * 80
    assert page.count('type="radio"') == 160
    with pytest.raises(SystemExit):
        main(["clusters", "pairs", str(build), str(sheet)])
    assert "perhaps with answers: name another folder" in capsys.readouterr().err

    known = fill(sheet / "pairs.csv", same, ";")  # as some spreadsheets save it
    assert known > 5
    main(["clusters", "learn", str(build), str(sheet / "pairs.csv")])
    printed = capsys.readouterr().out
    assert f"80 labelled pairs, {known} near-duplicates and {80 - known} others" in printed
    rates = re.findall(r"recall ([\d.]+), false merges ([\d.]+)", printed)
    merged_before = [row for row in rows if row["verdict"] == SAME]
    found_before = [row for row in merged_before if {row["first"], row["second"]} in same]
    assert found_before == merged_before
    assert rates[0] == (f"{len(found_before) / known:.3f}", "0.000")
    assert float(rates[1][0]) >= 0.8
    assert float(rates[1][1]) == 0
    assert float(rates[0][0]) < float(rates[2][0]) <= float(rates[1][0])
    given = printed.splitlines()[-1].removeprefix("clusters build … ").split()
    thresholds = settings_from(given, None).duplicates
    found = Finished(build)
    places = found.where({key for pair in same for key in pair})
    merged = set()
    for domain in found.domains:
        pairs = np.asarray(found.candidates(domain))
        keys = {row: key for key, (own, row) in places.items() if own == domain}
        for pair in pairs[near_duplicates(found.measured(domain, pairs), thresholds)].tolist():
            merged.add(frozenset(keys.get(row, str(row)) for row in pair))
    # What was printed of the pairs is true of what was printed of the settings.
    assert len(merged & same) >= round(float(rates[1][0]) * known)
    assert not {frozenset((row["first"], row["second"])) for row in rows} & merged - same


def test_what_is_drawn_by_lot_stands_for_all_candidates(
    built: tuple[Path, set[frozenset[str]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build, same = built
    main(["clusters", "pairs", str(build), str(tmp_path / "sheet"), "--count", "30"])
    path = tmp_path / "sheet" / "pairs.csv"
    fill(path, same)
    found, answers = Finished(build), read_answers(path)[0]
    whole = learn(found, answers, path)
    assert whole.drawn[0] == whole.drawn[1] == sum(whole.far) + 30
    asked = found.measured(found.domains[0], np.asarray(found.candidates(found.domains[0]))[::40])
    far, _, near, _ = far_from(found, asked, found.thresholds)
    total = whole.drawn[1]
    # A third of each domain by lot: in the mean of many draws what all of them come to.
    monkeypatch.setattr(borderline_pairs, "LOOK", total // 3)
    sums, shares = [], []
    for seed in range(10):
        some, weights, close, drawn = far_from(found, asked, found.thresholds, seed=seed)
        assert total // 3 <= drawn[0] < total // 3 + 1 + len(found.domains) and drawn[1] == total
        assert weights.sum() + close.sum() == pytest.approx(total)
        sums.append(close.sum())
        shares.append(weights[some.similarity > 0.9].sum())
    assert np.mean(sums) == pytest.approx(near.sum(), rel=0.2)
    assert np.mean(shares) == pytest.approx((far.similarity > 0.9).sum(), rel=0.2)
    assert np.std(sums) > 0
    capsys.readouterr()
    main(["clusters", "learn", str(build), str(path)])
    printed = capsys.readouterr().out
    assert f"of {total:,} candidates were drawn by lot and measured" in printed
    sampled = learn(found, answers, path)
    assert sum(sampled.far) == pytest.approx(total - 30, abs=10)
    assert sampled.far_before.recall == pytest.approx(whole.far_before.recall, abs=0.2)


def test_an_answer_stands_for_all_that_are_as_near() -> None:
    near = np.array([0, 7.5, 3, 1, 0, 0])
    assert stand_for(np.array([1, 1, 1, 2, 3, 3]), near).tolist() == [2.5, 2.5, 2.5, 3, 1, 1]


def test_pairs_are_the_nearest_of_every_kind(built: tuple[Path, set[frozenset[str]]]) -> None:
    found = Finished(built[0])
    some, more = nearest_pairs(found, 12), nearest_pairs(found, 40)
    assert {pair.keys for pair in some} < {pair.keys for pair in more}
    kinds, known = ([pair.kind for pair in pairs] for pairs in (some, more))
    assert len(set(kinds)) > 2
    most = max(map(kinds.count, kinds))
    for kind in set(kinds):  # as many of each, but for those of which there are no more
        assert kinds.count(kind) >= most - 1 or kinds.count(kind) == known.count(kind)
    assert nearest_pairs(found, 12) == some
    other = nearest_pairs(found, 12, seed=1)
    assert other != some
    assert {pair.keys for pair in other} == {pair.keys for pair in some}


def test_what_is_drawn_by_lot_is_of_all_domains_alike() -> None:
    rng, counts = np.random.default_rng(0), {"art": 3, "food": 0, "people": 40}
    every = [("art", place) for place in range(3)] + [("people", place) for place in range(40)]
    assert sorted(drawn_by_lot(rng, counts, 100)) == every
    some = drawn_by_lot(rng, counts, 20)
    assert len(set(some)) == 20
    assert set(some) < set(every)
    assert drawn_by_lot(rng, {}, 5) == drawn_by_lot(rng, {"art": 0}, 5) == []


def test_which_measure_decides() -> None:
    measured = Measured(
        similarity=np.array([0.995, 0.2, 0.2, 0.98], np.float32),
        correlation=np.array([0.1, 0.93, 0.99, 0.1], np.float32),
        difference=np.array([2.0, 0.1, 0.69, 3.0], np.float32),
    )
    assert kinds_of(measured, Thresholds()).tolist() == [0, 1, 2, 0]
    assert near_duplicates(measured, Thresholds()).tolist() == [True, False, True, False]


HEAD = "first,second,same\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + "star_1.png,star_2.png,\n" * 3, "has no answer: write yes"),
        (
            HEAD + "star_1.png,star_2.png,maybe\n,star_1.png,yes\n",
            "line 2: same='maybe' must be yes, no or empty; line 3: first and second must name",
        ),
        (
            HEAD + "star_1.png,star_2.png,yes\nstar_2.png,star_1.png,no\n",
            "line 3: line 2 says the opposite of the same pair",
        ),
        (HEAD + "star_1.png,comet.png,yes\n", "line 2: 'comet.png' is no row that was compared"),
        (
            HEAD + "star_1.png,star_2.png,no\nstar_1.png,star_3.png,no\n",
            "pairs of both kinds, not from 0 near-duplicates of 2 pairs",
        ),
        ("first,second\na,b\n", "has no column same: fill the file that"),
        ("", "has no column first, second, same"),
    ],
)
def test_a_sheet_that_teaches_nothing(
    text: str,
    line: str,
    built: tuple[Path, set[frozenset[str]]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["clusters", "learn", str(built[0]), str(tmp_path / "pairs.csv")])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1
